"""Scaling to zero, where `minReplicas` is 0: asleep after a time without any request, awake when somebody asks.

Nothing measures the requests to a model without replicas, so a sleeping model wakes only when it is told to.
"""

from typing import Final

from batchedllm.core.readings import FleetLoad
from batchedllm.core.record import changed
from batchedllm.core.scaling.schedule import Bounds
from batchedllm.core.scaling.types import Memory, ScalingState

WAKE: Final = "wake"
"""What keeps one replica while the model is awake, as decisions name it."""
IDLE: Final = "idle"
"""What leaves none, as decisions name it."""
SPEC_REPLICAS: Final = "spec.replicas"


def busy_at_seconds(state: ScalingState, memory: Memory, now_seconds: float) -> float | None:
    """Return when the model was last in use or woken. None: not since this process looks at it, and it is asleep.

    It is in use unless every replica is known to have nothing: a replica that starts or is silent may be waited for.
    """
    before, fleet = memory.busy_at_seconds, state.fleet
    if state.wake.is_new:
        return now_seconds
    if fleet.wanted == 0:
        return before
    if before is None or fleet.pending > 0 or not is_idle(state.load):
        return now_seconds
    return before


def is_idle(load: FleetLoad | None) -> bool:
    """Whether all replicas are known to hold no request, and to have had none for the short window."""
    return (
        load is not None
        and load.is_complete
        and load.queue_depth_total == 0
        and load.running_total == 0
        and load.tokens_per_second_total == 0
    )


def bounds(state: ScalingState, now_seconds: float) -> Bounds:
    """Return the bounds with what sleep and waking make of them."""
    given, busy_at = state.bounds, state.memory.busy_at_seconds
    if given.low > 0:
        return given
    if state.wake.floor > 0:
        return changed(given, low=min(given.high, state.wake.floor), low_by=SPEC_REPLICAS)
    left = -1.0 if busy_at is None else busy_at + state.policy.idle_seconds - now_seconds
    if left <= 0:
        return changed(given, high=0, high_by=IDLE)
    changes = min(left, left if given.changes_in_seconds is None else given.changes_in_seconds)
    return changed(given, low=1, low_by=WAKE, changes_in_seconds=changes)
