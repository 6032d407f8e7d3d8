"""Queue depth: demand that is late already, and what to add so that it is caught up with."""

from typing import Final

from batchedllm.core.readings import FleetLoad
from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.signals.opinion import (
    NOBODY_REPORTS,
    Opinion,
    plural,
    replicas_in_words,
    rounded_up,
    stalled_words,
    uncounted_replicas,
    working_replicas,
    worth,
)
from batchedllm.core.scaling.types import ScalingState

NAME: Final = "queueDepth"

DRAIN_SECONDS: Final = 60.0
"""Time for working off a queue where replicas start faster and the resource names none."""

SAFE_OCCUPANCY: Final = 0.8
"""Share of a full batch, and of the KV cache, that a replica may be predicted to hold after a removal. The limit that
llm-d's autoscaler calls saturated (0.80 of the KV cache) and NVIDIA Dynamo's factor below its limits (0.8)."""


def queue_depth(state: ScalingState, outlook: Outlook) -> Opinion:
    """Ask for the replicas that work off what waits, beside what arrives, within the drain time.

    While no more than `perReplica` requests wait for each replica and the arrivals are not more than the ready ones do:
    the fewest on which the queue is predicted to stay where it is, see `_fewest`.
    """
    load = state.load
    if load is None or load.queue_depth_total is None or load.running_total is None or not load.reporting_replicas:
        return Opinion(NAME, None, f"{NOBODY_REPORTS} its queue", known=False)
    working = working_replicas(load)
    if working <= 0:
        return Opinion(NAME, None, stalled_words(load), known=False)
    queued = load.queue_depth_total - load.stalled_queue_depth
    running = load.running_total - load.stalled_running
    needed = _catching_up(state, outlook, working, queued, running)
    if needed is None:
        needed = _fewest(load, _predicting_batch(state, outlook), working, queued + running)
    reason = _words(state, queued, running, working)
    if load.stalled_pods:
        reason += f"; {stalled_words(load)}"
    return Opinion(NAME, needed + uncounted_replicas(load), reason, known=load.is_complete)


def _catching_up(state: ScalingState, outlook: Outlook, working: int, queued: float, running: float) -> int | None:
    """Return the replicas that catch up; None where there is nothing to catch up with.

    The queue that will have built up is counted too: what arrives beyond what the ready replicas do, for as long as a
    start takes, but no longer than it has been so already (of what has lasted for some time, that much more is to be
    expected: Lindy's law). It goes by what a replica does at least: too few would be late a second time. Until it was
    seen what one does, a queue asks for no less than what holds it, see `_holding`: an assumed speed may be ten times
    the real one, and then no queue would be worth a replica.
    """
    expected = working * state.policy.signals.queue_depth.per_replica
    holding = _holding(state, working, queued, running) if queued > expected else None
    if not outlook.is_known:
        return holding
    late, speed = max(0.0, queued - expected) * outlook.tokens, outlook.least_speed
    held = sustained(state, outlook) * speed / outlook.speed
    needed = 0.0 if outlook.speed_is_known else float(holding or 0)
    drain_seconds = _drain_seconds(state, outlook)
    for window_seconds, demand in outlook.demands:
        lasting_seconds = min(window_seconds, outlook.startup_seconds)
        coming = max(0.0, demand - working * speed) * lasting_seconds
        if late + coming > 0:
            catching_up = (late + coming) / (drain_seconds * speed)
            needed = max(needed, demand / held + catching_up)
    return worth(needed) if needed > 0 else None


def _drain_seconds(state: ScalingState, outlook: Outlook) -> float:
    """Return the time in which a queue is to be worked off.

    Unless it is set, no less than a start takes: what queued meanwhile is late already, and replicas that would work it
    off sooner are paid for as long as any other.
    """
    chosen = state.policy.signals.queue_depth.drain_seconds
    return chosen or max(DRAIN_SECONDS, outlook.startup_seconds)


def sustained(state: ScalingState, outlook: Outlook) -> float:
    """Return the tokens per second that a replica is asked to hold for long."""
    return min(outlook.held, state.policy.signals.token_rate.target / 100 * outlook.speed)


def _holding(state: ScalingState, working: int, queued: float, running: float) -> int:
    """Ask for the replicas that hold what waits and runs, with no more than `perReplica` waiting at each.

    `ceil((running + queued) / (full batch + perReplica))`, at least one more than there are. One replica holds a full
    batch and the queue it is expected to work off; the total is what must be held (the requests in the system, Little's
    law). `ceil(queued / perReplica)`, the HPA's form for a total, counts a replica as four requests when its batch
    takes a hundred: it overshoots tenfold on real traces.
    """
    batch = max(running / working, full_batch(state) or 0.0)
    held = batch + state.policy.signals.queue_depth.per_replica
    return max(working + 1, rounded_up((running + queued) / held))


def _fewest(load: FleetLoad, batch: float | None, working: int, requests: float) -> int:
    """Fewest of the working replicas on which the present load fits into `SAFE_OCCUPANCY` of batch and KV cache.

    The load is spread over fewer replicas, n/(n-1) and so on, and all known limits must still hold (the rule of
    NVIDIA Dynamo's and llm-d's autoscalers). With no limit known and requests there, nothing can be predicted.
    """
    if requests <= 0:
        return 1
    limits: list[float] = []
    if batch:
        limits.append(requests / (SAFE_OCCUPANCY * batch))
    if load.kv_cache_usage_fraction_mean is not None:
        limits.append(working * load.kv_cache_usage_fraction_mean / SAFE_OCCUPANCY)
    return min(working, max(1, rounded_up(max(limits)))) if limits else working


def _predicting_batch(state: ScalingState, outlook: Outlook) -> float | None:
    """Return the batch that a removal must leave room in; None where tokens predict better.

    A lasting queue may have shown a small one: long prompts fill an engine's steps while its batch has room. Once the
    speed of a full replica is known the token rate asks for what such a replica does, whatever it was that filled it.
    """
    by_tokens = outlook.is_known and outlook.speed_is_known and state.policy.signals.token_rate.role != "off"
    return state.batch_limit if by_tokens else full_batch(state)


def full_batch(state: ScalingState) -> float | None:
    """Requests one replica computes at a time: as learned from a lasting queue, else as configured."""
    return state.memory.full_batch or state.batch_limit


def _words(state: ScalingState, queued: float, running: float, working: int) -> str:
    expected = state.policy.signals.queue_depth.per_replica
    return (
        f"{queued:.0f} {plural(queued, 'request')} queued and {running:.0f} running on {replicas_in_words(working)}, "
        f"{expected} queued per replica {'is' if expected == 1 else 'are'} expected"
    )
