"""What is learned of a single replica."""

from dataclasses import replace
from itertools import pairwise
from math import exp, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.core.scaling.capacity import (
    PRIOR_REQUESTS,
    SAMPLES_FULL,
    UNKNOWN_TOKENS_PER_SECOND,
    Capacity,
    Work,
    _assumed,
    _never_falling,
    held_within,
)
from batchedllm.core.scaling.levels import COUNT, LEVELS, NOTHING, index_of, with_added
from batchedllm.core.scaling.objective import Objective

SLO = Objective()
ALLOWED_SECONDS = 2.5


def full(tokens_per_second: float, samples: int = 20) -> Capacity:
    capacity = Capacity()
    for _ in range(samples):
        capacity = capacity.with_full(tokens_per_second)
    return capacity


def seen(capacity: Capacity, tokens_per_second: float, requests: float, late: float) -> Capacity:
    index = index_of(tokens_per_second)
    return replace(
        capacity,
        answered=with_added(capacity.answered, index, requests),
        late=with_added(capacity.late, index, late),
    )


def held(capacity: Capacity) -> float:
    return held_within(capacity.late_shares(SLO, ALLOWED_SECONDS), SLO.late_share)


def test_a_minute_of_work_teaches_the_same_in_fifteen_samples_as_in_thirty() -> None:
    often = rarely = Capacity().with_busy(Work(100, 0.005))
    for _ in range(30):
        often = often.with_busy(Work(24_000, 0.025))
    for _ in range(15):
        rarely = rarely.with_busy(Work(24_000, 0.025, seconds=4.0))

    assert rarely.busy_weight == pytest.approx(often.busy_weight, rel=0.01)
    assert rarely.tokens_per_second == pytest.approx(often.tokens_per_second, rel=0.01)
    assert rarely.is_known


def test_no_single_sample_makes_a_speed_known_however_long_it_is() -> None:
    lucky = Capacity().with_busy(Work(100, 0.005)).with_busy(Work(90_000, 1.0, seconds=120.0))

    assert not lucky.is_known
    assert lucky.busy_weight == pytest.approx(2 * 0.95**2)


def test_before_anything_is_seen_a_cautious_speed_stands_in() -> None:
    assert Capacity().tokens_per_second == UNKNOWN_TOKENS_PER_SECOND
    assert not Capacity().is_known
    assert held(Capacity()) == pytest.approx(0.75 * UNKNOWN_TOKENS_PER_SECOND, rel=0.2)


def test_a_full_replica_shows_its_speed_but_never_in_one_sample() -> None:
    assert full(30_000, 1).tokens_per_second == pytest.approx(12_000)
    assert full(1e9, 1).tokens_per_second < 2 * UNKNOWN_TOKENS_PER_SECOND
    assert full(30_000, int(SAMPLES_FULL)).tokens_per_second == pytest.approx(30_000)
    assert full(30_000).is_known


def test_a_known_speed_follows_a_change_and_one_absurd_sample_moves_it_little() -> None:
    poisoned = full(30_000).with_full(1e9)
    assert poisoned.tokens_per_second == pytest.approx(30_000, rel=0.06)
    assert full(30_000).with_full(0.0).tokens_per_second == pytest.approx(30_000, rel=0.06)

    changed = full(30_000)
    for _ in range(200):
        changed = changed.with_full(20_000)
    assert changed.tokens_per_second == pytest.approx(20_000, rel=0.01)


def test_how_much_longer_steps_have_become_tells_how_busy_a_replica_is() -> None:
    capacity = Capacity().with_busy(Work(100, 0.005))
    for _ in range(300):
        capacity = capacity.with_busy(Work(24_000, 0.025))  # 80 % busy

    assert capacity.tokens_per_second == pytest.approx(30_000, rel=0.02)
    assert capacity.is_known
    assert capacity.fastest_step_seconds == pytest.approx(0.005, rel=0.01)


def test_a_replica_that_is_hardly_busy_teaches_no_speed() -> None:
    capacity = Capacity().with_busy(Work(100, 0.005))

    assert capacity.with_busy(Work(900, 0.00515)).busy_weight == 0
    assert capacity.with_busy(Work(900, 0.00516)).busy_weight > 0
    assert capacity.with_busy(Work(900, 0.004)).busy_weight == 0


def busy_for_long(tokens_per_second: float, step_seconds: float, looks: int = 3000) -> Capacity:
    capacity = Capacity().with_busy(Work(1, 0.005))
    for _ in range(looks):
        capacity = capacity.with_busy(Work(tokens_per_second, step_seconds))
    return capacity


def test_of_a_replica_with_little_to_do_a_likely_speed_is_concluded_and_the_least_that_it_can_be() -> None:
    """Steps a quarter longer than the fastest: a fifth is due to the load, which is below half of the speed."""
    capacity = busy_for_long(9_000, 0.00625)

    assert capacity.tokens_per_second == pytest.approx(9_000 / sqrt(0.2), rel=0.05)
    assert capacity.least_tokens_per_second == pytest.approx(9_000 / 0.65, rel=0.05)


@pytest.mark.parametrize(("step_seconds", "speed"), [(0.0125, 24_000 / 0.65), (0.02, 32_000), (0.05, 24_000 / 0.9)])
def test_from_a_good_half_of_its_speed_on_a_queues_law_tells_it(step_seconds: float, speed: float) -> None:
    capacity = busy_for_long(24_000, step_seconds)

    assert capacity.tokens_per_second == capacity.least_tokens_per_second == pytest.approx(speed, rel=0.01)


def test_a_fleet_that_never_had_less_to_do_is_not_held_to_be_idle() -> None:
    """Its fastest step was hardly faster than the others: that says nothing of how much more it can do."""
    capacity = replace(Capacity().with_busy(Work(18_000, 0.009)), assumed_tokens_per_second=34_000)
    for _ in range(3000):
        capacity = capacity.with_busy(Work(20_000, 0.01))

    assert capacity.tokens_per_second == pytest.approx(20_000 / (0.65 * 0.9), rel=0.05)


def test_no_single_fast_step_makes_all_the_others_slow() -> None:
    """An absurd one would make a replica with little to do seem full for ever."""
    first = Capacity().with_busy(Work(3_000, 0.006), Work(1, 1e-9))
    assert (first.fastest_step_seconds, first.fastest_step_tokens_per_second) == pytest.approx((0.002, 1_000), rel=0.01)
    known = busy_for_long(9_000, 0.02).with_busy(Work(1, 1e-9))
    assert known.fastest_step_seconds == pytest.approx(0.0025, rel=0.02)


def test_the_first_steps_that_are_seen_are_believed_at_once_and_later_ones_half() -> None:
    """A replica that was first seen at work is soon known to have had much to do."""
    first = Capacity().with_busy(Work(9_000, 0.2), Work(3_000, 0.07))
    assert (first.fastest_step_seconds, first.fastest_step_tokens_per_second) == pytest.approx((0.07, 3_000))

    known = busy_for_long(9_000, 0.02).with_busy(Work(101, 0.004))
    assert (known.fastest_step_seconds, known.fastest_step_tokens_per_second) == pytest.approx((0.0045, 51), rel=0.02)
    assert known.with_busy(*[Work(101, 0.004)] * 10).fastest_step_seconds == pytest.approx(0.004, rel=0.001)


def test_the_least_speed_is_never_above_the_likely_one_and_both_are_what_a_full_replica_does() -> None:
    assert full(30_000).least_tokens_per_second == full(30_000).tokens_per_second
    assert Capacity().least_tokens_per_second == UNKNOWN_TOKENS_PER_SECOND


def test_before_any_step_was_seen_nobody_knows_how_busy_a_replica_is() -> None:
    assert Capacity().busyness(Work(1000, 0.01)) is None
    assert Capacity().with_busy(Work(100, 0.005)).busyness(Work(1000, 0.00625)).likely == pytest.approx(sqrt(0.2))


def test_pods_teach_together_what_they_teach_one_after_the_other() -> None:
    done = [Work(100, 0.005), Work(20_000, 0.02), Work(90, 0.0045), Work(9_000, 0.00625, 3.0)]
    singly = Capacity()
    for one in done:
        singly = singly.with_busy(one)

    together = Capacity().with_busy(*done)
    assert together.tokens_per_second == pytest.approx(singly.tokens_per_second, rel=1e-4)
    assert together.busy_weight == pytest.approx(singly.busy_weight, rel=1e-4)
    assert together.fastest_step_seconds == pytest.approx(singly.fastest_step_seconds, rel=1e-4)


def test_a_fastest_step_that_nobody_sees_again_is_forgotten_within_days_of_work() -> None:
    """An absurd one, or that of a GPU which has been throttled since."""
    capacity = Capacity().with_busy(Work(3_000, 0.002))
    for _ in range(24 * 60):
        capacity = capacity.with_busy(Work(4_000, 0.006, 60.0), Work(4_000, 0.006, 60.0))
    assert capacity.fastest_step_seconds == pytest.approx(0.002 * exp(0.2), rel=0.001), "after a day"

    for _ in range(5 * 24 * 60):
        capacity = capacity.with_busy(Work(4_000, 0.006, 60.0))
    assert capacity.fastest_step_seconds == pytest.approx(0.006, rel=0.01)


def test_what_a_full_replica_does_counts_before_what_a_busy_one_lets_conclude() -> None:
    capacity = full(30_000)
    for _ in range(50):
        capacity = capacity.with_busy(Work(50_000, 0.02)).with_busy(Work(100, 0.001))

    assert capacity.tokens_per_second == pytest.approx(30_000)


def test_requests_that_were_in_time_raise_the_load_that_is_held_and_late_ones_lower_it() -> None:
    capacity = full(30_000)
    assumed = held(capacity)

    assert held(seen(capacity, 28_000, 10_000, late=50)) > assumed
    assert held(seen(capacity, 10_000, 10_000, late=900)) < 10_000 < assumed


def test_one_late_request_decides_nothing() -> None:
    capacity = full(30_000)

    assert held(seen(capacity, 15_000, 2, late=1)) == held(capacity)


def test_the_assumed_lateness_grows_with_the_square_of_the_load_and_then_as_in_a_fluid() -> None:
    def assumed(utilization: float) -> float:
        return _assumed(LEVELS[30] / utilization, 0.03, 2.5)[30]

    assert (assumed(0.375), assumed(0.75)) == (pytest.approx(0.0075), pytest.approx(0.03))
    assert assumed(0.94) == assumed(0.96) == assumed(1.1) == pytest.approx(0.045)
    assert (assumed(1.5), assumed(2.0)) == (pytest.approx(0.5), pytest.approx(0.75))


def test_neighbours_that_fall_get_their_common_mean_by_weight() -> None:
    assert _never_falling([0.1, 0.5, 0.3, 0.2, 0.9], [1, 1, 2, 1, 1]) == pytest.approx((0.1, 0.325, 0.325, 0.325, 0.9))
    assert _never_falling([0.1, 0.6, 0.5], [1, 1, 3]) == pytest.approx((0.1, 0.525, 0.525)), "to the end"
    assert _never_falling([0.9, 0.5, 0.1], [1, 1, 1]) == pytest.approx((0.5, 0.5, 0.5)), "all of them"
    two = _never_falling([0.5, 0.4, 0.9, 0.6, 0.2], [2, 1, 1, 3, 1])
    assert two == pytest.approx((1.4 / 3, 1.4 / 3, 0.58, 0.58, 0.58)), "two that were put together"
    assert _never_falling([0.5, 0.4, 0.9, 0.6, 0.0], [2, 1, 1, 3, 4]) == pytest.approx((4.1 / 11,) * 5), "and both"
    assert _never_falling([0.1, 0.2, 0.2], [1, 1, 1]) == (0.1, 0.2, 0.2)


def test_late_requests_are_shared_with_higher_loads_and_none_is_lost() -> None:
    assumed = full(1e6).late_shares(SLO, ALLOWED_SECONDS)
    capacity = seen(full(1e6), 200, 540, late=54)
    shares = capacity.late_shares(SLO, ALLOWED_SECONDS)

    weighed = sum(share * (answers + PRIOR_REQUESTS) for share, answers in zip(shares, capacity.answered, strict=True))
    assert weighed == pytest.approx(54 + PRIOR_REQUESTS * sum(assumed))
    assert shares[0] == shares[5] < 0.05


def test_where_every_load_makes_them_late_the_least_is_held() -> None:
    assert held_within((1.0,) * COUNT, 0.03) == LEVELS[0]
    assert held_within((0.03,) * COUNT, 0.03) == LEVELS[-1]


def test_samples_count_alike_until_the_speed_is_known_and_are_held_within_a_factor_of_two_then() -> None:
    assert (full(5.0, 1).full_tokens_per_second, full(5.0, 1).full_samples) == (5.0, 1.0)
    assert full(20.0, 1).with_full(10.0) == replace(full(20.0, 1), full_tokens_per_second=15.0, full_samples=2.0)
    assert full(20_000, 10).with_full(1e9).tokens_per_second == pytest.approx(20_000 + 20_000 / 11)
    assert full(20_000, 10).with_full(1.0).tokens_per_second == pytest.approx(20_000 - 10_000 / 11)
    assert full(20_000, 90).with_full(1e9).tokens_per_second == pytest.approx(20_000 + 20_000 / 30)


def test_a_busier_replica_counts_for_more() -> None:
    capacity = Capacity().with_busy(Work(1.0, 0.005)).with_busy(Work(13_000, 0.01)).with_busy(Work(24_000, 0.025))
    kept = 1 - 1 / 500

    assert capacity.fastest_step_seconds == pytest.approx(0.005, rel=1e-4)
    assert capacity.busy_weight == pytest.approx(0.25 * kept + 0.64, rel=1e-4)
    assert capacity.busy_tokens_per_second_sum == pytest.approx(0.25 * 20_000 * kept + 0.64 * 30_000, rel=1e-4)


def test_where_no_load_makes_requests_late_all_of_the_scale_is_held() -> None:
    assert held_within(NOTHING, 0.03) == LEVELS[-1]


def test_a_replica_with_more_than_it_can_do_falls_behind() -> None:
    shares = full(30_000).late_shares(SLO, ALLOWED_SECONDS)

    assert shares[index_of(20_000)] < 0.03 < shares[index_of(60_000)]
    assert shares[index_of(300_000)] > 0.9


@pytest.mark.parametrize("late_share", [0.01, 0.03, 0.5])
@pytest.mark.parametrize("allowed_seconds", [0.01, 2.5, 20.0])
def test_lateness_is_assumed_to_grow_with_the_square_of_the_load_and_beyond_its_speed_as_in_a_fluid(
    late_share: float, allowed_seconds: float
) -> None:
    """At three quarters of the speed just as many are late as may be, and until it falls behind half as many more."""

    def assumed(level: float, speed: float) -> float:
        few = 1.5 * late_share
        if level <= 0.95 * speed:
            return min(few, late_share * (level / (0.75 * speed)) ** 2)
        return max(few, 1 - allowed_seconds / (10.0 * (level / speed - 1))) if level > speed else few

    for speed in (150.0, 3_000.0, 10_000.0, 31_234.0, 77_777.0, 5e6, 1e8):
        expected = [assumed(level, speed) for level in LEVELS]
        assert _assumed(speed, late_share, allowed_seconds) == pytest.approx(expected), speed


def test_a_speed_that_no_full_replica_confirms_for_an_hour_yields_to_what_busy_ones_let_conclude() -> None:
    """So a memory of another model, or of other traffic, is unlearned although no queue ever lasts."""
    wrong = full(15_000, samples=30).faded(3600.0)
    assert UNKNOWN_TOKENS_PER_SECOND < wrong.tokens_per_second < 15_000

    for _ in range(300):
        wrong = wrong.with_busy(Work(24_000, 0.025)).with_busy(Work(100, 0.005))
    assert wrong.tokens_per_second == pytest.approx(30_000, rel=0.05)


def test_what_was_seen_fades_and_the_speed_stays_for_half_an_hour() -> None:
    capacity = seen(full(30_000, samples=30), 20_000, 100, late=10).faded(1800.0)

    assert sum(capacity.answered) == pytest.approx(36.8, abs=0.1)
    assert sum(capacity.late) == pytest.approx(3.68, abs=0.01)
    assert capacity.tokens_per_second == pytest.approx(30_000)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, COUNT - 1), st.floats(0, 1e4), st.floats(0, 1)), max_size=20),
    st.floats(1, 1e6),
    st.floats(0.01, 60),
    st.sampled_from([0.5, 0.9, 0.97, 0.99]),
)
def test_shares_never_fall_with_the_load_and_are_shares_whatever_was_seen(sights, speed, allowed, attainment) -> None:
    capacity = replace(Capacity(answered=NOTHING, late=NOTHING), full_tokens_per_second=speed, full_samples=30.0)
    for index, requests, part in sights:
        capacity = seen(capacity, LEVELS[index], requests, late=part * requests)
    shares = capacity.late_shares(Objective(attainment=attainment), allowed)

    assert len(shares) == COUNT
    assert all(0 <= left <= right + 1e-12 <= 1 + 1e-9 for left, right in pairwise(shares))
    assert held_within(shares, 1 - attainment) in LEVELS
