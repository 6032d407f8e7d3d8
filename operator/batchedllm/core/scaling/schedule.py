"""The bounds of the number of replicas that hold at a given time: the policy's, or those of a schedule.

Times are those of the schedule's zone; the tzdata package brings the rules of the zones. Where a clock is put forward
or back, a time that does not exist or exists twice is taken as Debian's cron takes it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from batchedllm.api.scaling import Scaling
from batchedllm.api.schedules import Schedule
from batchedllm.core.record import record

PREFIX: Final = "schedule:"
"""Before a schedule's name, where decisions tell what bounded them."""


@record
class Bounds:
    """Fewest and most replicas at one time."""

    low: int
    high: int
    low_by: str = "minReplicas"
    """What set `low`: a field of the policy, or `schedule:NAME`."""
    high_by: str = "maxReplicas"
    changes_in_seconds: float | None = None
    """When a schedule begins or ends next. None: there is none."""

    def bounded(self, replicas: int) -> int:
        """Bring a number of replicas within the bounds; the lower one yields if they contradict."""
        return min(self.high, max(self.low, replicas))

    @property
    def named(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Both bounds with what set them."""
        return (self.low_by, self.low), (self.high_by, self.high)

    def hold_up(self, limit: str, replicas: int) -> bool:
        """Whether a limit of this name is the upper bound and stopped at this number; not where none is wanted."""
        return limit == self.high_by and replicas == self.high > 0


@record
class _Times:
    """One schedule around one minute."""

    holds: bool
    changes_at: datetime


def bounds_at(scaling: Scaling, wall: datetime) -> Bounds:
    """Return the bounds that hold at `wall` (aware of its zone).

    Of several schedules that hold, the first in the list that sets a bound decides it. Two of them may contradict
    each other (fewest 5 by one, most 3 by another): the upper bound counts.
    """
    minute = wall.replace(second=0, microsecond=0)
    times = [(schedule, _times(schedule, minute)) for schedule in scaling.schedules]
    holding = [schedule for schedule, around in times if around.holds]
    low, low_by = next(_set(holding, "min_replicas"), (scaling.min_replicas, "minReplicas"))
    high, high_by = next(_set(holding, "max_replicas"), (scaling.max_replicas, "maxReplicas"))
    changes = min(((around.changes_at - wall).total_seconds() for _, around in times), default=None)
    return Bounds(min(low, high), high, low_by, high_by, changes)


def policy_bounds(scaling: Scaling) -> Bounds:
    """Return the bounds of the policy itself, where no time is known."""
    return Bounds(scaling.min_replicas, scaling.max_replicas)


def _set(holding: list[Schedule], field: str) -> Iterator[tuple[int, str]]:
    for schedule in holding:
        value = getattr(schedule, field)
        if value is not None:
            yield value, f"{PREFIX}{schedule.name}"


@lru_cache(maxsize=4096)
def _times(schedule: Schedule, minute: datetime) -> _Times:
    """Look at one schedule. Kept for the minute: a search in a calendar takes longer than a decision.

    It holds if it began later than it ended last. A start and an end at the same time: the start counts.
    """
    local = minute.astimezone(ZoneInfo(schedule.time_zone))
    began, ended = _last(schedule.start, local), _last(schedule.end, local)
    holds = began is not None and (ended is None or began >= ended)
    following = _next(schedule.end if holds else schedule.start, local)
    return _Times(holds, following)


def _last(expression: str, local: datetime) -> datetime | None:
    """The last time up to and including `local`; CronSim in reverse begins before a whole second, hence the tick."""
    return next(CronSim(expression, local + timedelta(microseconds=1), reverse=True), None)


def _next(expression: str, local: datetime) -> datetime:
    return next(CronSim(expression, local))
