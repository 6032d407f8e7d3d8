"""A decision in one line that a person can read."""

from collections.abc import Callable
from typing import Final

from batchedllm.core.scaling import budget, limits, supply, zero


def sentence(from_replicas: int, to_replicas: int, why: str, limits: tuple[str, ...]) -> str:
    """Say what happens, why, and what limited it: '3 → 5: 41 requests queued ...; limited by maxReplicas 5'."""
    change = f"{from_replicas} → {to_replicas}" if from_replicas != to_replicas else f"stays at {to_replicas}"
    return "; ".join((f"{change}: {why}", *limits))


def limit(name: str, situation: limits.Situation, replicas: int) -> str:
    """Say a limit, which brought the outcome to `replicas`, with its numbers."""
    words = _WORDS.get(name)
    return words(situation) if words is not None else f"limited by {name} {replicas}"


def _stepped(change: str, step: int, period_seconds: int) -> str:
    return f"limited to {step} {change} per {period_seconds} s"


_WORDS: Final[dict[str, Callable[[limits.Situation], str]]] = {
    "unknownMetrics": lambda _: "nothing is removed while metrics are unknown",
    "unschedulableReplicas": lambda its: (
        f"nothing is added while no node is found for {its.state.fleet.unschedulable} replica(s)"
    ),
    zero.WAKE: lambda its: f"awake until {its.state.policy.idle_seconds} s have passed without a request",
    zero.IDLE: lambda its: f"no request for {its.state.policy.idle_seconds} s, so no replica is kept",
    budget.BUDGET: lambda its: budget.words(its.state),
    limits.CAPACITY_GIVEN_UP: lambda its: supply.words(its.memory.supply, its.state.policy.scale_up),
    "failingReplicas": lambda its: f"nothing is added while {its.state.fleet.failing} replica(s) cannot start",
    "scaleUp.stabilizationSeconds": lambda its: (
        f"a need must last {its.state.policy.scale_up.stabilization_seconds} s first"
    ),
    "scaleDown.stabilizationSeconds": lambda its: (
        f"{limits.hold_seconds(its.state):.0f} s of lower need come before any removal"
    ),
    "scaleUp.maxStep": lambda its: _stepped(
        "added", its.state.policy.scale_up.max_step, its.state.policy.scale_up.period_seconds
    ),
    "scaleDown.maxStep": lambda its: _stepped(
        "removed", limits.most_removed(its), its.state.policy.scale_down.period_seconds
    ),
}
"""By limit, its words; written only for the limits that bite."""
