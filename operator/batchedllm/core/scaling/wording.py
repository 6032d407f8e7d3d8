"""A decision in one line that a person can read."""

from batchedllm.core.scaling import budget, limits, supply, zero


def sentence(from_replicas: int, to_replicas: int, why: str, limits: tuple[str, ...]) -> str:
    """Say what happens, why, and what limited it: '3 → 5: 41 requests queued ...; limited by maxReplicas 5'."""
    change = f"{from_replicas} → {to_replicas}" if from_replicas != to_replicas else f"stays at {to_replicas}"
    return "; ".join((f"{change}: {why}", *limits))


def limit(name: str, situation: limits.Situation, replicas: int) -> str:
    """Say a limit, which brought the outcome to `replicas`, with its numbers."""
    policy, fleet = situation.state.policy, situation.state.fleet
    up, down = policy.scale_up, policy.scale_down
    words = {
        "unknownMetrics": "nothing is removed while metrics are unknown",
        "unschedulableReplicas": f"nothing is added while no node is found for {fleet.unschedulable} replica(s)",
        zero.WAKE: f"awake until {policy.idle_seconds} s have passed without a request",
        zero.IDLE: f"no request for {policy.idle_seconds} s, so no replica is kept",
        budget.BUDGET: budget.words(situation.state),
        limits.CAPACITY_GIVEN_UP: supply.words(situation.memory.supply, up),
        "failingReplicas": f"nothing is added while {fleet.failing} replica(s) cannot start",
        "scaleUp.stabilizationSeconds": f"a need must last {up.stabilization_seconds} s first",
        "scaleDown.stabilizationSeconds": (
            f"{limits.hold_seconds(situation.state):.0f} s of lower need come before any removal"
        ),
        "scaleUp.maxStep": f"limited to {up.max_step} added per {up.period_seconds} s",
        "scaleDown.maxStep": f"limited to {limits.most_removed(situation)} removed per {down.period_seconds} s",
    }
    return words.get(name, f"limited by {name} {replicas}")
