"""A budget of replica-hours a day: what is left of it bounds the replicas.

`minReplicas` run all day and are paid for first; the rest of a day's budget is for the replicas above. Their hours
are added up by the hour of the clock, and count until all of that hour is a day ago. What is left has to last: for an
hour at the replicas there are, for an hour and a half where some are to be added. So a budget runs out slowly, and a
replica that it brings back is not removed again at once.
"""

from typing import Any, Final

from batchedllm.core.record import changed, record
from batchedllm.core.scaling.schedule import Bounds
from batchedllm.core.scaling.types import ScalingState, Spending

BUDGET: Final = "budget"
"""What bounds the replicas then, as decisions name it."""
HOUR_SECONDS: Final = 3600.0
HOURS: Final = 24
KEPT_HOURS: Final = 1.0
"""For how long the budget has to last at the replicas that there are."""
_MOST: Final = 1e12
"""Beyond any time and cost."""
ADDED_HOURS: Final = 1.5
"""For how long it has to last where replicas are added."""


def spent(state: ScalingState) -> Spending:
    """Return the spending with what the replicas above `minReplicas` cost since it was last added up.

    A time in which nobody looked counts with the replicas that there are now. A clock that was put back costs nothing.
    """
    before, now = state.memory.spending, state.wall_seconds
    if state.policy.budget is None or now is None:
        return Spending()
    since = now if before.at_seconds is None else max(before.at_seconds, now - HOURS * HOUR_SECONDS)
    extra = max(0, max(state.fleet.wanted, state.fleet.ready + state.fleet.pending) - state.policy.min_replicas)
    oldest = int(now // HOUR_SECONDS) - HOURS
    hours = {hour: hours for hour, hours in before.hours if oldest <= hour <= now // HOUR_SECONDS}
    while extra and since < now:
        hour = int(since // HOUR_SECONDS)
        until = min(now, (hour + 1) * HOUR_SECONDS)
        hours[hour] = hours.get(hour, 0.0) + extra * (until - since) / HOUR_SECONDS
        since = until
    return Spending(tuple(sorted(hours.items())), now)


def spent_hours(spending: Spending) -> float:
    """Return the replica-hours above `minReplicas` that count."""
    return sum(hours for _, hours in spending.hours)


@record
class Account:
    """Where a budget is, in replica-hours of a day; `minReplicas` are taken to run all day."""

    spent: float
    budget: float

    @property
    def left(self) -> float:
        """What the replicas above `minReplicas` may still cost."""
        return max(0.0, self.budget - self.spent)


def account(state: ScalingState) -> Account | None:
    """Return it; None where there is no budget."""
    if state.policy.budget is None:
        return None
    always = HOURS * state.policy.min_replicas
    return Account(always + spent_hours(state.memory.spending), float(state.policy.budget.replica_hours_per_day))


def bounds(state: ScalingState) -> Bounds:
    """Return the bounds with what the budget makes of them. Fewer than the lower bound it never leaves."""
    given, found = state.bounds, account(state)
    if found is None:
        return given
    least = state.policy.min_replicas
    there = max(0, state.fleet.wanted - least)
    affordable = max(int(found.left / ADDED_HOURS), min(there, int(found.left / KEPT_HOURS)))
    high = max(given.low, least + affordable)
    return changed(given, high=high, high_by=BUDGET) if high < given.high else given


def words(state: ScalingState) -> str:
    """Say where the budget is."""
    found = account(state)
    if found is None:
        return ""
    return f"{found.spent:.1f} of {found.budget:.0f} replica-hours of a day are spent, so at most {state.bounds.high}"


def from_json(document: Any) -> Spending:  # noqa: ANN401 - whatever somebody wrote into a ConfigMap
    """Read a spending as JSON has it. What is not of this form is forgotten."""
    try:
        at, hours = document["at"], tuple((hour, spent) for hour, spent in document["hours"])
    except (TypeError, ValueError, KeyError):
        return Spending()
    is_valid = _is_number(at) and all(type(hour) is int and _is_number(spent) for hour, spent in hours)
    return Spending(tuple(sorted(hours)), float(at)) if is_valid and len(hours) <= HOURS + 1 else Spending()


def to_json(spending: Spending) -> dict[str, Any]:
    """Return it as JSON has it; empty where nothing was spent."""
    if not spending.hours:
        return {}
    return {"at": spending.at_seconds, "hours": [[hour, round(hours, 3)] for hour, hours in spending.hours]}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST
