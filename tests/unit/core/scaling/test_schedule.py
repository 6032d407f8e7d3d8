"""Which bounds hold at a time of the day, the week and the year, and what decisions make of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.api.scaling import Scaling
from batchedllm.api.schedules import Schedule
from batchedllm.core.decision_log import is_news, with_news
from batchedllm.core.readings import FleetLoad
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Now
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.schedule import Bounds, bounds_at, policy_bounds
from batchedllm.core.scaling.types import Fleet, ScalingState
from samples import DEFAULTS, NOW, gathered, resource

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Schedule(
    name="office", time_zone="Europe/Berlin", start="0 8 * * 1-5", end="0 18 * * 1-5", min_replicas=3, max_replicas=12
)
NIGHT = Schedule(name="night", time_zone="Etc/UTC", start="0 22 * * *", end="0 4 * * *", max_replicas=2)
WEDNESDAY = datetime(2026, 11, 25, tzinfo=BERLIN)


def scaling(*schedules: Schedule, low: int = 1, high: int = 8) -> Scaling:
    return Scaling(min_replicas=low, max_replicas=high, schedules=list(schedules))


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return WEDNESDAY.replace(hour=hour, minute=minute, second=second)


def in_force(bounds: Bounds) -> tuple[int, int, str, str]:
    return bounds.low, bounds.high, bounds.low_by, bounds.high_by


# What holds


def test_without_schedules_the_policy_holds_for_ever() -> None:
    assert bounds_at(scaling(), at(12)) == Bounds(1, 8, "minReplicas", "maxReplicas", None)


def test_the_policys_own_bounds_are_those_where_no_time_is_known() -> None:
    assert policy_bounds(scaling(OFFICE, low=2, high=5)) == Bounds(2, 5)


def test_an_upper_bound_of_none_holds_nothing_up() -> None:
    assert Bounds(0, 1).hold_up("maxReplicas", 1)
    assert not Bounds(0, 1).hold_up("maxReplicas", 0)
    assert not Bounds(0, 1).hold_up("minReplicas", 1)
    assert not Bounds(0, 0).hold_up("maxReplicas", 0)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (at(7, 59, 59), (1, 8, "minReplicas", "maxReplicas")),
        (at(8), (3, 12, "schedule:office", "schedule:office")),
        (at(17, 59, 59), (3, 12, "schedule:office", "schedule:office")),
        (at(18), (1, 8, "minReplicas", "maxReplicas")),
    ],
)
def test_a_schedule_holds_from_its_start_up_to_its_end(time, expected) -> None:
    assert in_force(bounds_at(scaling(OFFICE), time)) == expected


@pytest.mark.parametrize(("time", "seconds"), [(at(7, 59, 30), 30.0), (at(8), 36000.0), (at(17, 59, 59), 1.0)])
def test_the_next_change_is_known_to_the_second(time, seconds) -> None:
    assert bounds_at(scaling(OFFICE), time).changes_in_seconds == seconds


def test_times_are_those_of_the_schedules_zone() -> None:
    assert bounds_at(scaling(OFFICE), datetime(2026, 11, 25, 7, 0, tzinfo=UTC)).low == 3
    assert bounds_at(scaling(OFFICE), datetime(2026, 7, 1, 6, 0, tzinfo=UTC)).low == 3, "summer time"


def test_a_weekend_between_two_starts_is_outside() -> None:
    assert bounds_at(scaling(OFFICE), datetime(2026, 11, 28, 12, 0, tzinfo=BERLIN)).low == 1


def test_a_schedule_may_run_over_midnight() -> None:
    assert bounds_at(scaling(NIGHT), datetime(2026, 11, 25, 23, 0, tzinfo=UTC)).high == 2
    assert bounds_at(scaling(NIGHT), datetime(2026, 11, 26, 3, 59, tzinfo=UTC)).high == 2
    assert bounds_at(scaling(NIGHT), datetime(2026, 11, 26, 4, 0, tzinfo=UTC)).high == 8


def test_an_end_of_every_day_ends_a_schedule_that_starts_once_a_month() -> None:
    monthly = NIGHT.model_copy(update={"start": "0 0 1 * *", "end": "0 18 * * *"})

    assert bounds_at(scaling(monthly), datetime(2026, 11, 1, 17, 0, tzinfo=UTC)).high == 2
    assert bounds_at(scaling(monthly), datetime(2026, 11, 2, 10, 0, tzinfo=UTC)).high == 8


def test_a_day_on_which_the_hour_of_the_start_does_not_exist_still_starts() -> None:
    early = OFFICE.model_copy(update={"start": "30 2 * * *", "end": "0 5 * * *"})

    assert bounds_at(scaling(early), datetime(2026, 3, 29, 4, 0, tzinfo=BERLIN)).low == 3


def test_the_first_schedule_that_sets_a_bound_decides_it() -> None:
    fair = Schedule(name="fair", time_zone="Europe/Berlin", start="0 0 * * 3", end="0 0 * * 4", max_replicas=30)

    assert in_force(bounds_at(scaling(fair, OFFICE), at(12))) == (3, 30, "schedule:office", "schedule:fair")
    assert in_force(bounds_at(scaling(OFFICE, fair), at(12))) == (3, 12, "schedule:office", "schedule:office")


def test_where_two_schedules_contradict_each_other_the_upper_bound_counts() -> None:
    thrift = Schedule(name="thrift", time_zone="Etc/UTC", start="0 0 * * *", end="59 23 * * *", max_replicas=2)

    assert in_force(bounds_at(scaling(thrift, OFFICE), at(12)))[:2] == (2, 2)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 365 * 86400), st.sampled_from([OFFICE, NIGHT]))
def test_nothing_changes_before_the_change_that_is_announced_and_something_does_then(second, schedule) -> None:
    now, policy = WEDNESDAY.astimezone(UTC) + timedelta(seconds=second), scaling(schedule)
    bounds = bounds_at(policy, now)
    assert bounds.changes_in_seconds is not None
    change = now + timedelta(seconds=bounds.changes_in_seconds)

    assert bounds.changes_in_seconds > 0
    assert in_force(bounds_at(policy, change - timedelta(seconds=1))) == in_force(bounds)
    assert in_force(bounds_at(policy, change)) != in_force(bounds)


# What decisions make of it


def decided(policy: Scaling, time: datetime, wanted: int, queue: float = 0.0):
    load = FleetLoad(wanted, (), queue, 0.0, 0.0, None, 0.0, no_gpu_metrics=True)
    state = ScalingState(policy, Fleet(wanted, wanted, 0), load, scheduled=bounds_at(policy, time))
    return decide(state, 1000.0)[0]


def test_a_schedule_that_begins_brings_its_replicas_at_once_and_says_so() -> None:
    decision = decided(scaling(OFFICE), at(8), wanted=1)

    assert (decision.to_replicas, decision.winner) == (3, "schedule:office")
    assert "limited by schedule:office 3" in decision.reason


def test_more_load_than_a_schedule_allows_is_limited_by_it() -> None:
    decision = decided(scaling(NIGHT), datetime(2026, 11, 25, 23, 0, tzinfo=UTC), wanted=2, queue=900.0)

    assert (decision.to_replicas, decision.limited_by) == (2, ("schedule:night",))
    assert decision.is_capped


def test_a_decision_is_looked_at_again_when_a_schedule_changes() -> None:
    policy = scaling(OFFICE, low=3)

    assert decided(policy, at(17, 59, 30), wanted=3).retry_seconds == 30.0
    assert decided(scaling(low=3), at(17, 59, 30), wanted=3).retry_seconds is None


def test_an_upper_bound_of_a_schedule_is_worth_a_record_and_a_lower_one_is_not() -> None:
    capped = decided(scaling(NIGHT), datetime(2026, 11, 25, 23, 0, tzinfo=UTC), wanted=2, queue=900.0)
    kept_up = decided(scaling(OFFICE), at(12), wanted=3)

    assert is_news(capped, "auto", {})
    assert not is_news(capped, "auto", {"decisions": with_news(capped, "auto", {}, NOW.wall)})
    assert kept_up.limited_by == ("schedule:office",)
    assert not is_news(replace(kept_up, from_replicas=3), "auto", {})


def test_a_reconciliation_holds_the_schedule_of_its_time() -> None:
    spec = {"scaling": {"maxReplicas": 8, "schedules": [OFFICE.model_dump(by_alias=True, exclude_none=True)]}}
    outcome = reconcile(gathered(resource(spec)), DEFAULTS, Now(at(12), 1000.0))

    deployment = next(one for one in outcome.apply if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 3
    assert outcome.look_again_seconds <= 6 * 3600


def test_the_condition_names_the_schedule() -> None:
    spec = {"scaling": {"maxReplicas": 8, "schedules": [OFFICE.model_dump(by_alias=True, exclude_none=True)]}}
    load = FleetLoad(3, (), 0.0, 0.0, 0.0, None, 0.0, no_gpu_metrics=True)
    outcome = reconcile(gathered(resource(spec), load=load), DEFAULTS, Now(at(12), 1000.0))

    conditions = {one["type"]: one for one in outcome.status["conditions"]}
    assert conditions["ScalingActive"]["message"].startswith("between 3 and 12 replicas (schedule:office)")
