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
    objective = outlook.objective
    fewest = fewest_replicas(outlook.past, outlook.late_shares, objective.late_share, state.bounds.high, outlook.margin)
    span = "last minutes, steady ones," if outlook.is_steady else "past half hour"
    margin = f", had it been {outlook.margin:.2f} times as much: for bursts not seen yet" if outlook.margin > 1 else ""
    reason = (
        f"{objective.attainment:.0%} of the requests of the {span} came at up to "
        f"{thousands(busiest(outlook.past, objective.attainment))} tokens/s; {fewest:.1f} replicas would have kept as "
        f"many in time{margin}"
    )
    return Opinion(NAME, worth(fewest) + uncounted_replicas(load), reason, known=load.is_complete)
