"""Past demand: the replicas that the bursts of the past half hour would have needed, kept for the next ones."""

from typing import Final

from batchedllm.core.scaling.history import busiest, fewest_replicas
from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.signals.opinion import (
    NOBODY_REPORTS,
    NOT_TOLD,
    Opinion,
    thousands,
    uncounted_replicas,
    working_replicas,
    worth,
)
from batchedllm.core.scaling.types import ScalingState

NAME: Final = "pastDemand"


def past_demand(state: ScalingState, outlook: Outlook) -> Opinion:
    """Ask for the fewest replicas that would have kept enough of the past in time, with a margin for the unseen.

    A burst that is over before a replica can start is met by those that are there, or not at all.
    """
    if state.policy.signals.past_demand.role == "off":
        return Opinion(NAME, None, "off: not read")
    load = state.load
    if load is None or working_replicas(load) <= 0:
        return Opinion(NAME, None, NOBODY_REPORTS, known=False)
    if not outlook.is_known:
        return Opinion(NAME, None, NOT_TOLD)
    allowed, margin = outlook.attainable_late_share, outlook.margin
    fewest = fewest_replicas(outlook.past, outlook.late_shares, allowed, state.bounds.high, margin)
    return Opinion(NAME, worth(fewest) + uncounted_replicas(load), _words(outlook, fewest), known=load.is_complete)


def _words(outlook: Outlook, fewest: float) -> str:
    sudden = (0.0, *outlook.past[1:])
    if not any(sudden):
        return "nothing in the past half hour came faster than replicas were there for it"
    objective, margin = outlook.objective, outlook.margin
    share = sum(sudden) / sum(outlook.past)
    is_reached = outlook.attainable_late_share <= objective.late_share
    as_many = f"{objective.attainment:.0%} of all" if is_reached else "as many as more could"
    unseen = f", had it been {margin:.2f} times as much: for bursts not seen yet" if margin > 1 else ""
    return (
        f"{share:.1%} of the requests of the past half hour came faster than replicas are added, at up to "
        f"{thousands(busiest(sudden, objective.attainment))} tokens/s; {fewest:.1f} replicas would have kept "
        f"{as_many} in time{unseen}"
    )
