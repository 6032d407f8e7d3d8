"""`spec.scaling.schedules` of a BatchedLLM: other bounds at some times of the day, week or year."""

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import Field

from batchedllm.api.base import LIST_BY_NAME, ApiModel, Rule, number

MOST_SCHEDULES = 16

CronExpression = Annotated[
    str, Field(min_length=9, max_length=100, pattern=r"^[0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4}$")
]
"""Minute, hour, day of the month, month and day of the week, as in a CronJob."""


class Schedule(ApiModel):
    """Bounds that hold from one time to another, again and again."""

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Name, told in decisions as `schedule:NAME`.",
    )
    time_zone: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
        description="IANA time zone of `start` and `end`, such as `Europe/Berlin` or `Etc/UTC`.",
    )
    start: CronExpression = Field(
        description="When the bounds begin to hold: minute, hour, day of the month, month, day of the week (cron). "
        "`0 8 * * 1-5` is at 8:00 from Monday to Friday."
    )
    end: CronExpression = Field(description="When they cease to hold (cron), such as `0 18 * * 1-5`.")
    min_replicas: int | None = Field(
        default=None, ge=0, le=1000, description="Fewest replicas meanwhile. Unset: `scaling.minReplicas`."
    )
    max_replicas: int | None = Field(
        default=None, ge=1, le=1000, description="Most replicas meanwhile. Unset: `scaling.maxReplicas`."
    )
    rules = (
        Rule(
            "has(self.minReplicas) || has(self.maxReplicas)",
            "needs minReplicas, maxReplicas or both: without them the schedule changes nothing",
        ),
        Rule(
            "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "must be at most maxReplicas of the same schedule",
            f"'is ' + {number('self.minReplicas')} + ', must be at most maxReplicas of the same schedule (' + "
            f"{number('self.maxReplicas')} + ')'",
            ".minReplicas",
        ),
        Rule("self.start != self.end", "must differ from start, else the schedule never holds", None, ".end"),
    )


Schedules = Annotated[list[Schedule], Field(max_length=MOST_SCHEDULES, json_schema_extra=LIST_BY_NAME)]
"""At most `MOST_SCHEDULES`, each with a name of its own; the first that holds and sets a bound decides it."""

WITHIN_THE_POLICY = (
    Rule(
        "!has(self.schedules) || self.schedules.all(s, !has(s.minReplicas) || has(s.maxReplicas) || "
        "s.minReplicas <= self.maxReplicas)",
        "a schedule's minReplicas must be at most maxReplicas; give the schedule a maxReplicas of its own",
        None,
        ".schedules",
    ),
    Rule(
        "!has(self.schedules) || self.schedules.all(s, !has(s.maxReplicas) || has(s.minReplicas) || "
        "s.maxReplicas >= self.minReplicas)",
        "a schedule's maxReplicas must be at least minReplicas; give the schedule a minReplicas of its own",
        None,
        ".schedules",
    ),
)
"""CEL rules of `spec.scaling`: what a schedule leaves open comes from there."""

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def time_zone_fault(name: str) -> str | None:
    """Say what is wrong with the name of a time zone; None if it is one."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return "is no time zone of the IANA database; write it as Europe/Berlin, America/New_York or Etc/UTC"
    return None


def cron_fault(expression: str) -> str | None:
    """Say what is wrong with a cron expression; None if there are times that it names."""
    try:
        next(CronSim(expression, _ANY_TIME))
    except CronSimError as error:
        return (
            f"is no cron expression ({str(error).lower()}); write minute, hour, day of the month, month and day of the "
            "week, as in 0 8 * * 1-5"
        )
    except StopIteration:
        return "names a time that never comes; check day of the month, month and day of the week against each other"
    return None
