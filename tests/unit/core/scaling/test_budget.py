"""A budget of replica-hours a day: what it counts, what it leaves, and that it is never exceeded."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.api.scaling import Budget, Scaling
from batchedllm.api.schedules import Schedule
from batchedllm.core.scaling import budget
from batchedllm.core.scaling.budget import Account
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.schedule import Bounds
from batchedllm.core.scaling.types import Fleet, Memory, ScalingState, Spending
from imagined_pods import ImaginedPod, load_of

HOUR = 3600.0
DAY = 24 * HOUR
MIDNIGHT = 20_000 * DAY


def state(
    hours: int = 48,
    *,
    wanted: int = 3,
    pending: int = 0,
    at: float = MIDNIGHT,
    spending: Spending | None = None,
    **more,
) -> ScalingState:
    policy = Scaling(min_replicas=1, max_replicas=20, budget=Budget(replica_hours_per_day=hours), **more)
    memory = Memory(spending=spending or Spending())
    return ScalingState(policy, Fleet(wanted, wanted, pending), None, memory, wall_seconds=at)


def spent(first: ScalingState, *looks: tuple[float, int]) -> Spending:
    """What is added up when the fleet is looked at again, each time (seconds later, so many replicas)."""
    now, spending = first.wall_seconds, budget.spent(first)
    for seconds, wanted in looks:
        now += seconds
        spending = budget.spent(state(wanted=wanted, at=now, spending=spending))
    return spending


def test_replicas_above_the_fewest_cost_what_they_run() -> None:
    assert budget.spent_hours(spent(state(), (HOUR / 2, 3), (HOUR / 2, 5))) == pytest.approx(0.5 * 2 + 0.5 * 4)
    assert spent(state(wanted=1), (HOUR, 1)).hours == ()


def test_replicas_that_start_or_that_go_are_paid_as_well() -> None:
    begun = spent(state())
    later = budget.spent(state(wanted=2, pending=4, at=MIDNIGHT + HOUR, spending=begun))

    assert budget.spent_hours(later) == pytest.approx(5)


def test_hours_are_kept_by_the_clock() -> None:
    spending = spent(state(at=MIDNIGHT + 0.75 * HOUR), (HOUR / 2, 3))

    assert spending.hours == ((480_000, pytest.approx(0.5)), (480_001, pytest.approx(0.5)))


def test_an_hour_counts_until_all_of_it_is_a_day_ago() -> None:
    spending = spent(state(at=MIDNIGHT + HOUR / 2), (HOUR, 5))  # 2 hours in each of two hours of the clock
    left = [
        budget.spent_hours(budget.spent(state(wanted=1, at=MIDNIGHT + DAY + hours * HOUR, spending=spending)))
        for hours in (0.0, 0.99, 1.0, 1.99, 2.0)
    ]

    assert left == pytest.approx([4, 4, 2, 2, 0])


def test_a_time_in_which_nobody_looked_counts_with_what_there_is_now_but_no_longer_than_a_day() -> None:
    assert budget.spent_hours(spent(state(), (5 * HOUR, 3))) == pytest.approx(10)
    assert budget.spent_hours(spent(state(), (10 * DAY, 3))) == pytest.approx(48)


def test_a_clock_that_was_put_back_costs_nothing() -> None:
    assert budget.spent_hours(spent(state(), (HOUR, 3), (-2 * HOUR, 3))) <= 2
    assert budget.spent_hours(spent(state(), (HOUR, 3), (-2 * HOUR, 3), (HOUR, 3))) <= 4


def test_without_a_budget_or_a_clock_nothing_is_added_up_or_bounded() -> None:
    plain = replace(state(), policy=Scaling(max_replicas=20))
    timeless = replace(state(spending=Spending(((480_000, 7.0),), MIDNIGHT)), wall_seconds=None)

    assert budget.spent(plain) == budget.spent(timeless) == Spending()
    assert budget.account(plain) is None
    assert budget.bounds(plain) == plain.bounds
    assert budget.words(plain) == ""
    assert budget.spent_hours(Spending()) == 0


def test_the_fewest_replicas_are_paid_first() -> None:
    found = budget.account(state(48, spending=Spending(((480_000, 4.0),), MIDNIGHT + HOUR)))

    assert found == Account(spent=28.0, budget=48.0)
    assert found.left == 20.0
    assert Account(50.0, 48.0).left == 0.0


@pytest.mark.parametrize(
    ("left", "wanted", "high"),
    [
        (24.0, 1, 17),
        (6.0, 1, 5),
        (6.0, 5, 5),
        (6.0, 7, 7),
        (5.9, 7, 6),
        (1.4, 1, 1),
        (1.4, 2, 2),
        (0.9, 2, 1),
        (0, 9, 1),
    ],
)
def test_what_is_left_lasts_an_hour_and_longer_where_replicas_are_added(left: float, wanted: int, high: int) -> None:
    bounds = budget.bounds(state(48, wanted=wanted, spending=Spending(((480_000, 24 - left),), MIDNIGHT + HOUR)))

    assert (bounds.high, bounds.high_by) == (high, "budget")


def test_a_lower_bound_of_a_schedule_is_kept_whatever_it_costs() -> None:
    broke = state(48, spending=Spending(((480_000, 24.0),), MIDNIGHT + HOUR))
    night = replace(broke, scheduled=Bounds(4, 20, "schedule:night"))

    assert budget.bounds(night) == Bounds(4, 4, "schedule:night", "budget")


def test_a_budget_that_is_large_enough_bounds_nothing() -> None:
    assert budget.bounds(state(24 * 40)).high_by == "maxReplicas"


def test_a_decision_says_that_the_budget_held_it() -> None:
    pod = ImaginedPod("a")
    queued = load_of(pod.did(0.0, queued=900, running=100))
    poor = replace(state(26, wanted=1, spending=Spending(((480_000, 0.2),), MIDNIGHT)), load=queued)

    decision, after = decide(poor, 0.0)

    assert (decision.to_replicas, decision.winner, decision.limited_by) == (2, "queueDepth", ("budget",))
    assert decision.reason.endswith("; 24.2 of 26 replica-hours of a day are spent, so at most 2")
    assert decision.spent_replica_hours == pytest.approx(24.2)
    assert decision.is_capped
    assert after.memory.spending.at_seconds == MIDNIGHT
    assert after.memory.timeless().spending == after.memory.spending
    assert after.scheduled is None


def test_replicas_that_are_no_longer_affordable_go_at_once() -> None:
    decision, _ = decide(state(30, wanted=8, spending=Spending(((480_000, 3.5),), MIDNIGHT)), 0.0)

    assert (decision.to_replicas, decision.winner) == (3, "budget")


@settings(deadline=None, max_examples=40)
@given(
    least=st.integers(0, 3),
    more=st.integers(0, 60),
    needs=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), min_size=1, max_size=8),
)
def test_no_24_hours_cost_more_whatever_is_asked_for(least: int, more: int, needs: list[tuple[int, int]]) -> None:
    """Looked at every quarter of an hour."""
    policy = Scaling(
        min_replicas=least, max_replicas=40, budget=Budget(replica_hours_per_day=max(1, 24 * least + more))
    )
    now, wanted, spending = MIDNIGHT, least, Spending()
    ran: list[float] = []
    for quarters, need in needs:
        for _ in range(quarters):
            seen = ScalingState(policy, Fleet(wanted, wanted, 0), None, Memory(spending=spending), wall_seconds=now)
            spending = budget.spent(seen)
            wanted = budget.bounds(replace(seen, memory=Memory(spending=spending))).bounded(need)
            ran.append(wanted / 4)
            now += HOUR / 4
            assert sum(ran[-96:]) <= policy.budget.replica_hours_per_day


def test_what_is_kept_is_read_again() -> None:
    spending = spent(state(), (HOUR, 3), (1.5 * HOUR, 4))

    assert budget.from_json(budget.to_json(spending)) == spending
    assert budget.to_json(Spending()) == {}


@pytest.mark.parametrize(
    "document",
    [
        *(None, [], {}, {"at": 1}, {"at": "x", "hours": []}, {"at": 1, "hours": [[1]]}, {"at": 1, "hours": [[1.5, 2]]}),
        *(
            {"at": 1, "hours": [[1, -2]]},
            {"at": True, "hours": []},
            {"at": 1, "hours": [[hour, 1] for hour in range(99)]},
        ),
        {"at": 1, "hours": 7},
    ],
)
def test_what_is_no_spending_is_forgotten(document) -> None:
    assert budget.from_json(document) == Spending()


def test_a_schedule_may_ask_for_more_than_the_budget_has() -> None:
    night = Schedule(name="night", time_zone="Etc/UTC", start="0 22 * * *", end="0 6 * * *", min_replicas=9)

    assert Scaling(min_replicas=1, max_replicas=9, budget=Budget(replica_hours_per_day=24), schedules=[night]).budget
