"""While the speed of a full replica was not seen it is assumed, and an assumption alone adds no replica.

A cautious guess is a fraction of what a large GPU does. Taken at its word it would, when an operator first sees a fleet
that serves well, ask for a multiple of it within seconds, or keep a second replica of a model that hardly does anything
for ever. As long as nobody waits and nobody is late the replicas there are prove that they are enough.
"""

from typing import Final

from batchedllm.core.record import changed
from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.signals.opinion import Opinion
from batchedllm.core.scaling.signals.past_demand import NAME as PAST_DEMAND
from batchedllm.core.scaling.signals.queue_depth import NAME as QUEUE_DEPTH
from batchedllm.core.scaling.signals.token_rate import NAME as TOKEN_RATE
from batchedllm.core.scaling.types import ScalingState

BY_SPEED: Final = frozenset({QUEUE_DEPTH, TOKEN_RATE, PAST_DEMAND})
"""Signals that ask for replicas by what one does."""

ENOUGH: Final = "the speed is assumed, and nobody waits or is late: no replica is added"


def is_enough(state: ScalingState, outlook: Outlook) -> bool:
    """Tell whether the speed is assumed and the replicas there are serve well: a short queue, few late requests."""
    load = state.load
    if outlook.speed_is_known or not outlook.is_known or load is None or load.queue_depth_total is None:
        return False
    expected = load.reporting_replicas * state.policy.signals.queue_depth.per_replica
    return load.queue_depth_total <= expected and outlook.late_share <= outlook.objective.late_share


def without_addition(opinion: Opinion, replicas: int) -> Opinion:
    """Return the opinion, with no more than there are where it goes by the speed."""
    most = max(1, replicas)
    if opinion.signal not in BY_SPEED or opinion.replicas is None or opinion.replicas <= most:
        return opinion
    return changed(opinion, replicas=most, reason=f"{opinion.reason}; {ENOUGH}")
