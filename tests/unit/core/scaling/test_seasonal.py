"""Replicas ahead of time, from what was needed at this time a day and a week ago."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.api.scaling import Scaling
from batchedllm.core.readings import FleetLoad
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.seasonal import SLOTS_OF_A_WEEK, forecast, from_json, recorded
from batchedllm.core.scaling.types import Fleet, Memory, ScalingState

HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0
MONDAY_9 = 1_764_061_200.0 // DAY * DAY + 9 * HOUR
POLICY = Scaling(max_replicas=20, prediction="seasonal")


def slot(seconds: float) -> int:
    return int(seconds // 600)


def needed(*needs: tuple[float, int]) -> tuple[tuple[int, int], ...]:
    return tuple((slot(at), need) for at, need in needs)


def look(at: float, queue: float = 0.0, *, memory: Memory | None = None, policy: Scaling = POLICY, **fleet):
    load = FleetLoad(2, (), queue, 20.0 if queue else 0.0, 0.0, None, 0.0, no_gpu_metrics=True)
    pods = Fleet(2, 2, 0, **fleet)
    return decide(ScalingState(policy, pods, load, memory or Memory(), wall_seconds=at), 1000.0)


# What is expected


def test_nothing_is_expected_where_nothing_is_known() -> None:
    assert forecast((), MONDAY_9, 120) is None
    assert forecast(needed((MONDAY_9 - 2 * DAY, 9)), MONDAY_9, 120) is None


@pytest.mark.parametrize("ago", [DAY, WEEK])
def test_what_was_needed_a_day_or_a_week_ago_is_expected_less_a_fifth(ago: float) -> None:
    expected = forecast(needed((MONDAY_9 - ago, 10)), MONDAY_9, 0)

    assert (expected.replicas, expected.before) == (8, 10)


def test_the_larger_of_the_two_counts_and_a_fraction_of_a_replica_is_one() -> None:
    assert forecast(needed((MONDAY_9 - WEEK, 3), (MONDAY_9 - DAY, 6)), MONDAY_9, 0).replicas == 5


def test_it_looks_ahead_by_as_long_as_a_replica_takes_to_start() -> None:
    yesterday = needed((MONDAY_9 - DAY, 10))

    assert forecast(yesterday, MONDAY_9 - 121, 120) is None
    assert forecast(yesterday, MONDAY_9 - 120, 120).replicas == 8
    assert forecast(yesterday, MONDAY_9 + 599, 120).replicas == 8
    assert forecast(yesterday, MONDAY_9 + 600, 120) is None


def test_four_fifths_are_four_fifths_of_large_numbers_too() -> None:
    assert forecast(needed((MONDAY_9 - DAY, 505)), MONDAY_9, 0).replicas == 404


def test_one_replica_that_was_needed_is_expected() -> None:
    assert forecast(((slot(MONDAY_9 - DAY), 1),), MONDAY_9, 0).replicas == 1


# What decisions make of it


def test_replicas_are_there_before_the_load_and_the_decision_says_why() -> None:
    memory = Memory(seasons=needed((MONDAY_9 - DAY, 10)))
    decision, _ = look(MONDAY_9 - 200, memory=memory, startup_seconds=240.0)

    assert (decision.to_replicas, decision.winner) == (8, "forecast")
    assert "up to 10 were needed, 80 % of them are kept" in decision.reason
    assert look(MONDAY_9 - 200, memory=memory, startup_seconds=60.0)[0].to_replicas == 2


def test_it_never_asks_for_more_than_the_bounds_and_never_removes() -> None:
    memory = Memory(seasons=needed((MONDAY_9 - DAY, 90)))
    decision, _ = look(MONDAY_9, memory=memory, policy=POLICY.model_copy(update={"max_replicas": 3}))
    busy, _ = look(MONDAY_9, 200.0, memory=Memory(seasons=needed((MONDAY_9 - DAY, 2))))

    assert decision.to_replicas == 3
    assert busy.winner == "queueDepth"
    assert busy.to_replicas > 2


def test_where_nothing_is_known_of_the_time_that_is_said() -> None:
    decision, _ = look(MONDAY_9)

    assert [(one.replicas, one.reason) for one in decision.candidates if one.signal == "forecast"] == [
        (None, "nothing is known of this time of the day")
    ]


def test_a_need_of_two_is_worth_remembering_and_one_of_one_is_not() -> None:
    state = ScalingState(POLICY, Fleet(2, 2, 0), None, wall_seconds=MONDAY_9)

    assert recorded(state, 1) == ()
    assert recorded(state, 2) == needed((MONDAY_9, 2))
    again = replace(state, memory=Memory(seasons=recorded(state, 2)))
    assert recorded(again, 2) is again.memory.seasons
    assert recorded(again, 3) == needed((MONDAY_9, 3))


def test_off_and_without_a_wall_clock_there_is_no_candidate_and_nothing_is_recorded() -> None:
    memory = Memory(seasons=needed((MONDAY_9 - DAY, 10)))
    off, after = look(MONDAY_9, 90.0, memory=memory, policy=POLICY.model_copy(update={"prediction": "off"}))
    timeless, _ = look(None, 90.0, memory=memory)

    assert "forecast" not in {one.signal for one in (*off.candidates, *timeless.candidates)}
    assert after.memory.seasons == memory.seasons


def test_the_most_that_the_signals_asked_for_in_ten_minutes_is_remembered() -> None:
    _, first = look(MONDAY_9, 60.0)
    _, less = look(MONDAY_9 + 60, 30.0, memory=first.memory)
    _, later = look(MONDAY_9 + 600, 30.0, memory=less.memory)

    (slot_of_first, need), (slot_of_later, lower) = later.memory.seasons
    assert (slot_of_first, slot_of_later) == (slot(MONDAY_9), slot(MONDAY_9) + 1)
    assert need > lower > 1
    assert less.memory.seasons == first.memory.seasons


def test_a_forecast_does_not_feed_itself_and_rest_leaves_no_trace() -> None:
    memory = Memory(seasons=needed((MONDAY_9 - DAY, 10)))
    decision, after = look(MONDAY_9, memory=memory)

    assert decision.to_replicas > 2
    assert after.memory.seasons == memory.seasons


def test_what_is_older_than_a_week_or_of_the_future_is_forgotten() -> None:
    memory = Memory(seasons=needed((MONDAY_9 - WEEK - 700, 5), (MONDAY_9 - WEEK, 6), (MONDAY_9 + DAY, 7)))
    _, after = look(MONDAY_9, 60.0, memory=memory)

    assert [at for at, _ in after.memory.seasons] == [slot(MONDAY_9 - WEEK), slot(MONDAY_9)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3 * SLOTS_OF_A_WEEK), st.integers(0, 400)), max_size=30))
def test_the_memory_is_bounded_and_in_order_whatever_the_clock_does(looks) -> None:
    memory = Memory()
    for at, queue in looks:
        _, state = look(at * 600.0, float(queue), memory=memory)
        memory = replace(Memory(), seasons=state.memory.seasons)

    slots = [at for at, _ in memory.seasons]
    assert slots == sorted(set(slots))
    assert not slots or slots[-1] - slots[0] <= SLOTS_OF_A_WEEK
    assert from_json([list(one) for one in memory.seasons]) == memory.seasons


def test_what_was_kept_is_read_again_and_no_more_of_it_than_a_week() -> None:
    assert from_json([[1, 1], [2, 5], [9, 3]]) == ((1, 1), (2, 5), (9, 3))
    assert from_json([]) == ()
    long = [[at, 2] for at in range(2 * SLOTS_OF_A_WEEK)]
    assert from_json(long) == tuple(map(tuple, long[-SLOTS_OF_A_WEEK - 1 :]))


@pytest.mark.parametrize(
    "document",
    [None, 5, "abc", [[1]], [[1, 2, 3]], [["1", 2]], [[1, 0]], [[1, True]], [[2, 5], [1, 5]], [[1, 5], [1, 6]]],
)
def test_what_somebody_made_of_the_kept_seasons_is_forgotten_where_it_is_not_readable(document) -> None:
    assert from_json(document) == ()
