"""`decide(state, now) -> (decision, state)`: how many replicas there are to be. The only door to scaling.

The chain: what happened since the last look is learned -> the outlook that follows from all that was learned -> what
each signal asks for -> the largest -> limits (bounds, unknown metrics, replicas that cannot start, stabilisation
windows, steps) -> the decision with everything that led to it. Nothing here reads a clock; time is monotonic seconds of
the caller.
"""

import math
from typing import Any

from batchedllm.core.readings import FleetLoad
from batchedllm.core.record import changed
from batchedllm.core.scaling import budget, limits, seasonal, stabilization, steps, supply, wording, zero
from batchedllm.core.scaling.learning import Lesson, learn
from batchedllm.core.scaling.outlook import Outlook, outlook, startup_seconds
from batchedllm.core.scaling.signals import opinions
from batchedllm.core.scaling.signals.latency import is_not_a_matter_of_replicas
from batchedllm.core.scaling.signals.opinion import Opinion
from batchedllm.core.scaling.signals.past_demand import NAME as PAST_DEMAND
from batchedllm.core.scaling.signals.queue_depth import NAME as QUEUE_DEPTH
from batchedllm.core.scaling.signals.token_rate import NAME as TOKEN_RATE
from batchedllm.core.scaling.types import Decision, Memory, ScalingState

OFF = "scaling is off: spec.replicas, or minReplicas, is kept"

REACTIVE = frozenset({QUEUE_DEPTH, TOKEN_RATE})
"""Signals that ask for replicas because of what comes now; the past asks for those that these would get too late."""

LONG_PAST = frozenset({PAST_DEMAND, seasonal.FORECAST})
"""Signals that say the same a minute later."""

AGING_SECONDS = 10.0
"""When to look again at what was just seen, if nothing new is: lateness of a minute is over after that minute."""

DOUBTED = (
    "queue_depth_total",
    "running_total",
    "kv_cache_usage_fraction_mean",
    "gpu_utilization_percent_mean",
    "gpu_power_watts_mean",
    "full_batch",
    "running_max",
)
"""Numbers of a load that are read as unknown where no fleet can have them."""


def decide(state: ScalingState, now_seconds: float) -> tuple[Decision, ScalingState]:
    """Decide on the number of replicas, and return the state to pass in next time.

    In the modes `recommend` and `external` the decision is taken alike; not applying it is the caller's part. In mode
    `off` nothing changes and nothing is remembered but what was learned.
    """
    if state.policy.mode == "off":
        return _off(state), changed(state, memory=state.memory.timeless())
    scheduled, load = state.scheduled, _believable(state.load)
    if load is not state.load:
        state = changed(state, load=load)
    state = changed(state, memory=_refreshed(state, now_seconds))
    memory, prospect = _informed(state, now_seconds)
    state = changed(state, memory=memory, scheduled=zero.bounds(state, now_seconds))
    if state.policy.budget is not None:
        state = changed(state, scheduled=budget.bounds(state))
    opinion = (*opinions(state, prospect), *seasonal.opinions(state))
    strongest = _strongest(opinion)
    situation = _situation(state, opinion, strongest, now_seconds)
    needed = situation.base if strongest is None or strongest.replicas is None else strongest.replicas
    draft = limits.apply(limits.Draft(needed), situation)
    decision = _decision(situation, draft, opinion, strongest, prospect)
    memory = steps.propose(situation.memory, now_seconds, decision.from_replicas, decision.to_replicas)
    asked = _asked(opinion)
    watch = memory.watch.with_asked(now_seconds, asked * prospect.held)
    memory = changed(memory, watch=watch, seasons=seasonal.recorded(state, asked))
    return decision, changed(state, memory=memory, scheduled=scheduled)


def _off(state: ScalingState) -> Decision:
    wanted = state.fleet.wanted
    return Decision(wanted, wanted, "off", OFF, (), ())


def _informed(state: ScalingState, now_seconds: float) -> tuple[Memory, Outlook]:
    """Learn from what is seen, and look ahead with it."""
    memory = state.memory
    startup = startup_seconds(state)
    lesson: Lesson = learn(
        *(memory.experience, memory.watch, state.load, state.objective, now_seconds),
        met_by_tokens_per_second=memory.watch.met_anyway(startup, limits.hold_seconds(state), now_seconds),
        startup_seconds=startup,
    )
    memory = changed(memory, experience=lesson.experience, watch=lesson.watch)
    return memory, outlook(lesson.experience, lesson.watch, state, now_seconds, is_told=lesson.is_told)


def _asked(opinion: tuple[Opinion, ...]) -> int:
    """Return what is asked for because of what comes now: once it is there, the past needs no more for the same."""
    return max((one.replicas or 0 for one in opinion if one.signal in REACTIVE), default=0)


def _believable(load: FleetLoad | None) -> FleetLoad | None:
    """Turn numbers that no fleet can have into unknown ones. Readings have none; this door trusts nobody."""
    if load is None:
        return None
    unknown: dict[str, Any] = {name: None for name in DOUBTED if not _is_possible(getattr(load, name))}
    if not (_is_possible(load.stalled_queue_depth) and _is_possible(load.stalled_running)):
        unknown["queue_depth_total"] = None
    return changed(load, **unknown) if unknown else load


def _is_possible(value: float | None) -> bool:
    return value is None or 0 <= value < math.inf


def _refreshed(state: ScalingState, now_seconds: float) -> Memory:
    """Bring the memory up to the present: changes made since, batches seen. A memory of another clock is dropped."""
    memory, policy = state.memory, state.policy
    if memory.needs and memory.needs[-1][0] > now_seconds:
        memory = changed(memory.timeless(), full_batch=memory.full_batch)
    period = max(policy.scale_up.period_seconds, policy.scale_down.period_seconds)
    memory = steps.observe(memory, now_seconds, state.fleet.wanted, period)
    nodes = memory.supply
    if policy.mode == "auto":
        nodes = supply.observe(nodes, now_seconds, state.fleet, policy.scale_up, state.bounds.low)
    return changed(
        memory,
        supply=nodes,
        spending=budget.spent(state),
        busy_at_seconds=zero.busy_at_seconds(state, memory, now_seconds),
        full_batch=_full_batch(memory.full_batch, state.load),
    )


def _full_batch(remembered: float | None, load: FleetLoad | None) -> float | None:
    """The batch of a full replica: as just seen, else as remembered, which a larger batch without a queue corrects."""
    if load is None:
        return remembered
    if load.full_batch:
        return load.full_batch
    if remembered is not None and load.running_max is not None:
        return max(remembered, load.running_max)
    return remembered


def _strongest(candidates: tuple[Opinion, ...]) -> Opinion | None:
    """The opinion that asks for the most replicas; of equal ones the first."""
    with_say = [opinion for opinion in candidates if opinion.replicas is not None]
    return max(with_say, key=lambda opinion: opinion.replicas or 0, default=None)


def _situation(
    state: ScalingState, candidates: tuple[Opinion, ...], strongest: Opinion | None, now_seconds: float
) -> limits.Situation:
    """Record the present need and gather what the limits look at.

    While something is unknown, the need for scale-down is no lower than what is there: a window with a hole in it
    does not prove that replicas were idle.
    """
    policy = state.policy
    certain = strongest is not None and all(opinion.known for opinion in candidates)
    low = state.fleet.wanted if strongest is None or strongest.replicas is None else strongest.replicas
    high = low if certain else max(low, state.fleet.wanted)
    horizon = max(policy.scale_up.stabilization_seconds, limits.hold_seconds(state))
    memory = stabilization.record(state.memory, now_seconds, low, high, horizon)
    base = state.bounds.bounded(state.fleet.wanted)
    return limits.Situation(state, memory, now_seconds, base, certain)


def _decision(
    situation: limits.Situation,
    draft: limits.Draft,
    candidates: tuple[Opinion, ...],
    strongest: Opinion | None,
    prospect: Outlook,
) -> Decision:
    state = situation.state
    wanted = state.fleet.wanted
    unknown = dict.fromkeys(opinion.reason for opinion in candidates if not opinion.known)
    why = strongest.reason if strongest is not None else "; ".join(unknown)
    winner, limited_by = _winner(situation, draft, strongest), draft.limited_by
    if winner in (state.bounds.low_by, state.bounds.high_by) and winner not in limited_by:
        limited_by = (*limited_by, winner)
    limited = tuple(wording.limit(name, situation, draft.replicas) for name in limited_by)
    rests = state.memory.supply.rests(situation.now_seconds)
    account = budget.account(state)
    return Decision(
        from_replicas=wanted,
        to_replicas=draft.replicas,
        winner=winner,
        reason=wording.sentence(wanted, draft.replicas, why, limited),
        candidates=tuple(opinion.candidate for opinion in candidates),
        limited_by=limited_by,
        retry_seconds=limits.soonest(draft.retry_seconds, state.bounds.changes_in_seconds, _aging(state, strongest)),
        bounds=state.bounds,
        late_without_queue=is_not_a_matter_of_replicas(state, prospect),
        given_up=supply.words(state.memory.supply, state.policy.scale_up) if rests else "",
        spent_replica_hours=None if account is None else account.spent,
    )


def _aging(state: ScalingState, strongest: Opinion | None) -> float | None:
    """Return when replicas that are there may be asked for no longer though nothing new was seen; None: not soon."""
    if strongest is None or strongest.replicas is None or strongest.signal in LONG_PAST:
        return None
    keeps = max(1, state.bounds.low) < strongest.replicas <= state.fleet.wanted
    return AGING_SECONDS if keeps else None


def _winner(situation: limits.Situation, draft: limits.Draft, strongest: Opinion | None) -> str:
    """Who decided: a bound that had to be restored, `hold` where nothing may or needs to move, else the signal."""
    if draft.replicas == situation.base != situation.state.fleet.wanted:
        return situation.bound_at(situation.base, situation.state.fleet.wanted)
    if limits.CAPACITY_GIVEN_UP in draft.limited_by and draft.replicas < situation.base:
        return limits.CAPACITY_GIVEN_UP
    if strongest is None:
        return "hold"
    if draft.replicas == situation.base and strongest.replicas != situation.base:
        return "hold"
    return strongest.signal
