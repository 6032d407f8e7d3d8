"""Latency against the SLO: it teaches what a replica holds, and while it is bad nothing is removed.

It adds nothing by itself. Late requests beside a queue are the queue's to answer; late ones without a queue, on
replicas that have little to do, are not a matter of replicas: steps that take too many tokens make them wait.
"""

from typing import Final

from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.signals.opinion import NOBODY_REPORTS, NOT_TOLD, Opinion
from batchedllm.core.scaling.types import ScalingState

NAME: Final = "latency"

FEWEST_REQUESTS: Final = 30.0
"""Of a minute, below which a share of them says little."""
MUCH_TO_DO: Final = 0.35
"""Load of a replica, as a share of its full speed, from which on more replicas shorten its waits."""


def latency(state: ScalingState, outlook: Outlook) -> Opinion:
    """Keep what there is while more than twice as many as allowed are late and the replicas have much to do."""
    if state.load is None or not state.load.reporting_replicas:
        return Opinion(NAME, None, NOBODY_REPORTS)
    if not outlook.is_known:
        return Opinion(NAME, None, NOT_TOLD)
    late, allowed = outlook.late_share, outlook.objective.late_share
    numbers = f"{late:.1%} of {outlook.answered:.0f} requests of the last minute late, {allowed:.0%} may be"
    if outlook.answered < FEWEST_REQUESTS or late <= 2 * allowed:
        return Opinion(NAME, None, f"{numbers}: no objection to removing replicas")
    if is_not_a_matter_of_replicas(state, outlook):
        return Opinion(NAME, None, f"{numbers}, with a short queue and little to do: a smaller batch would help")
    return Opinion(NAME, state.fleet.wanted, f"{numbers}: no replica is removed")


def is_not_a_matter_of_replicas(state: ScalingState, outlook: Outlook) -> bool:
    """Tell whether requests are late although the queue was short for a minute and the replicas have little to do."""
    load = state.load
    if load is None or load.queue_depth_total is None or not load.reporting_replicas:
        return False
    late = outlook.answered >= FEWEST_REQUESTS and outlook.late_share > 2 * outlook.objective.late_share
    queued = max(load.queue_depth_total / load.reporting_replicas, outlook.longest_queue)
    short = queued <= state.policy.signals.queue_depth.per_replica
    demand = outlook.demands[-1][1]
    return late and short and demand < MUCH_TO_DO * outlook.speed * load.reporting_replicas
