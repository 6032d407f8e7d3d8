"""What the demand of the past asks for."""

from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.core.scaling.capacity import Capacity
from batchedllm.core.scaling.history import History, LateOfThePast, busiest, fewest_replicas
from batchedllm.core.scaling.levels import COUNT, LEVELS, NOTHING, RATIO, index_of, with_added
from batchedllm.core.scaling.objective import Objective

SHARP = tuple(0.0 if level <= 10_000 else 1.0 for level in LEVELS)
"""A replica that holds 10,000 tokens per second, and not one more."""


def past(*came: tuple[float, float]) -> tuple[float, ...]:
    found = NOTHING
    for demand, requests in came:
        found = with_added(found, index_of(demand), requests)
    return found


def watched(history: History, minutes: float, demand: float, requests: float, *, met: bool = False) -> History:
    for _ in range(round(minutes * 30)):
        history = history.after(2.0, demand, requests, is_met_anyway=met)
    return history


def test_a_past_that_one_replica_holds_asks_for_one() -> None:
    assert fewest_replicas(past((9_000, 500)), SHARP, 0.03, 64) == 1.0
    assert fewest_replicas(NOTHING, SHARP, 0.03, 64) == 1.0


def test_bursts_ask_for_the_replicas_that_hold_them_unless_too_few_requests_came_in_them() -> None:
    assert fewest_replicas(past((5_000, 900), (80_000, 100)), SHARP, 0.03, 64) == pytest.approx(8, rel=0.2)
    assert fewest_replicas(past((5_000, 990), (80_000, 10)), SHARP, 0.03, 64) == 1.0


def test_part_of_a_replica_more_than_one_is_told_as_such() -> None:
    assert 1.1 < fewest_replicas(past((13_000, 500)), SHARP, 0.03, 64) < 1.5
    assert 1.6 < fewest_replicas(past((18_000, 0.5)), SHARP, 0.03, 64) < 2.2


def test_what_is_allowed_exactly_is_enough() -> None:
    assert fewest_replicas(past((5_000, 100)), SHARP, 0.0, 64) == 1.0
    assert fewest_replicas(past((80_000, 100)), SHARP, 0.0, 64) == pytest.approx(8, rel=0.2)


RISING = tuple(index / 100 for index in range(COUNT))
"""Of a hundred requests at level 20 twenty are late."""


def came(**amounts: float) -> tuple[float, ...]:
    """Requests that came at level 20 are `at_20`."""
    return tuple([amounts.get(f"at_{index}", 0.0) for index in range(COUNT)])


def test_who_would_have_been_late_is_read_at_the_level_of_each_replicas_part() -> None:
    def late(levels: int, **amounts: float) -> float:
        return LateOfThePast(came(**amounts), RISING).below(levels)

    assert late(0, at_20=100) == pytest.approx(20)
    assert late(3, at_20=100) == pytest.approx(17)
    assert late(2, at_20=100, at_10=50) == pytest.approx(18 + 4)
    assert late(5, at_0=100, at_1=100) == 0
    assert late(-3, at_20=100) == pytest.approx(23)
    assert late(1000, at_55=100) == 0
    assert late(0) == 0
    assert late(-1000, at_0=100) == pytest.approx(55)


def test_between_two_levels_lateness_changes_evenly() -> None:
    def fewest(late_share: float, margin: float = 1.0, **amounts: float) -> float:
        return fewest_replicas(came(**amounts), RISING, late_share, 64, margin)

    assert fewest(0.175, at_20=100) == pytest.approx(RATIO**2.5)
    assert fewest(0.17, at_20=100) == pytest.approx(RATIO**3)
    assert fewest(0.22 / 1.5, at_20=100, at_10=50) == pytest.approx(RATIO**2)
    assert fewest(0.005, at_3=100) == pytest.approx(RATIO**2.5)
    assert fewest(0.175, margin=1.5, at_20=100) == pytest.approx(1.5 * RATIO**2.5)
    assert fewest(0.21, margin=RATIO**0.5, at_20=100) == 1.0
    assert fewest(0.203, margin=RATIO**0.5, at_20=100) == pytest.approx(RATIO**0.2)


def test_no_more_are_asked_for_than_there_may_be() -> None:
    assert fewest_replicas(past((4_000_000, 10)), SHARP, 0.03, 20) == 20.0
    for none_or_one in (0, 1):
        assert fewest_replicas(past((4_000_000, 10)), SHARP, 0.03, none_or_one) == 1.0
    assert fewest_replicas(past((40_000, 10)), SHARP, 0.03, 20, margin=100) == 20.0


def test_a_margin_is_for_larger_bursts_and_not_for_more_replicas_than_those_need() -> None:
    burst = past((80_000, 100))

    assert fewest_replicas(burst, SHARP, 0.03, 64, margin=1.5) == pytest.approx(12, rel=0.2)
    assert fewest_replicas(past((200, 3)), SHARP, 0.03, 64, margin=1.5) == 1.0
    assert fewest_replicas(past((9_000, 500)), SHARP, 0.03, 64, margin=1.5) > 1.15
    assert fewest_replicas(past((LEVELS[-1], 500)), SHARP, 0.03, 10_000, margin=1.5) > 300


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(LEVELS), st.floats(0.1, 1e5)), min_size=1, max_size=12),
    st.floats(0.01, 0.5),
    st.integers(1, 1000),
)
def test_more_allowed_lateness_or_less_demand_never_asks_for_more(came, late_share, most) -> None:
    shares = Capacity().late_shares(Objective(), 2.5)
    needed = fewest_replicas(past(*came), shares, late_share, most)

    assert 1 <= needed <= most
    assert fewest_replicas(past(*came), shares, min(1.0, late_share * 1.5), most) <= needed * 1.02
    halved = past(*((demand / 2, requests) for demand, requests in came))
    assert fewest_replicas(halved, shares, late_share, most) <= needed * 1.02


def test_the_busiest_load_of_the_past_is_told_by_share() -> None:
    came = past((5_000, 97), (80_000, 3))

    assert busiest(came, 0.97) == pytest.approx(5_000, rel=0.1)
    assert busiest(came, 0.98) == pytest.approx(80_000, rel=0.1)
    assert busiest(past((5_000, 0.5)), 0.97) == pytest.approx(5_000, rel=0.1)
    assert busiest(NOTHING, 0.97) == 0.0


def test_a_burst_is_kept_for_half_an_hour_however_calm_it_is_since() -> None:
    history = watched(watched(History(), 1, 80_000, 20), 10, 5_000, 4)
    burst = index_of(80_000)

    assert history.unmet[burst] / sum(history.unmet) > 0.2


def test_the_past_is_forgotten() -> None:
    level = index_of(5_000)
    history = History().after(1.0, 5_000, 10, is_met_anyway=False).after(60.0, 0, 0, is_met_anyway=False)

    assert history.unmet[level] == pytest.approx(10 * exp(-60 / 1200))
    assert (history.seconds, history.silent_seconds, history.watched_seconds) == (1, 60, 61)
    heard = history.after(2.0, 5_000, 10, is_met_anyway=False)
    assert (heard.seconds, heard.silent_seconds) == (pytest.approx(62 + exp(-62 / 1200)), 0)
    assert heard.demand_sum == pytest.approx(5_000 * (2 + exp(-62 / 1200)))
    assert heard.demand_square_sum == pytest.approx(5_000**2 * (2 + exp(-62 / 1200)))


def test_what_added_replicas_meet_asks_for_none_to_be_kept() -> None:
    history = watched(History(), 5, 80_000, 20, met=True)

    assert fewest_replicas(history.unmet, SHARP, 0.03, 64) == 1.0
    assert sum(history.unmet) == pytest.approx(history.unmet[0])


def test_the_margin_follows_how_varied_traffic_is_up_to_what_traffic_can_be() -> None:
    uneven = History()
    for _ in range(10):
        uneven = watched(watched(uneven, 0.5, 40_000, 20), 0.5, 5_000, 4)
    silence = watched(History(), 60, 0, 0)
    first = silence.after(2.0, 80_000, 20, is_met_anyway=False)

    assert uneven.margin == 1 + 0.5 * (uneven.variation - 0.5) * 600 / (600 + 600)
    assert 1.02 < uneven.margin < 1.2
    assert first.variation > 20
    assert first.margin == pytest.approx(1 + 0.75 * 600 / (600 + 3602))


def test_silence_makes_no_traffic_more_varied_before_something_comes() -> None:
    """Else the margin would grow, and replicas be added, while nobody sends anything."""
    burst = watched(watched(History(), 1, 5_000, 4), 1, 80_000, 20)
    silence = watched(burst, 10, 0, 0)

    assert silence.variation == burst.variation
    assert 1 < silence.margin < burst.margin
    assert silence.after(2.0, 200, 1, is_met_anyway=False).variation > 2 * burst.variation


def test_a_burst_that_does_not_come_again_is_forgotten_after_an_hour_of_silence_too() -> None:
    burst = watched(watched(watched(History(), 1, 80_000, 20), 1, 40_000, 20), 1, 20_000, 20)

    kept = watched(burst, 57.9, 0, 0)
    assert kept.unmet[index_of(80_000)] / sum(kept.unmet) == pytest.approx(1 / 3, rel=0.1)
    assert fewest_replicas(kept.unmet, SHARP, 0.03, 64) > 7

    lower = watched(burst, 59.5, 0, 0)
    assert lower.unmet[index_of(80_000)] == lower.unmet[index_of(40_000)] == 0
    assert 1.5 < fewest_replicas(lower.unmet, SHARP, 0.03, 64) < 2.5

    forgotten = watched(burst, 61, 0, 0)
    assert fewest_replicas(forgotten.unmet, SHARP, 0.03, 64) == 1.0
    assert sum(forgotten.unmet) == forgotten.unmet[0] == pytest.approx(1800 * exp(-62.5 / 20), rel=0.05)


def test_a_burst_that_comes_again_within_an_hour_is_kept() -> None:
    history = History()
    for _ in range(4):
        history = watched(watched(history, 0.5, 80_000, 20), 59, 0, 0)

    assert fewest_replicas(history.unmet, SHARP, 0.03, 64) > 7
    again = history.after(2.0, 80_000, 20, is_met_anyway=True)
    assert watched(again, 1, 0, 0).unmet[index_of(80_000)] == 0, "what is met anyway does not renew it"


@pytest.mark.parametrize("level", [1, 2, 20, 21, COUNT - 1])
def test_any_load_is_forgotten_an_hour_after_its_last_request(level: int) -> None:
    history = History().after(2.0, LEVELS[level], 0.5, is_met_anyway=False)
    for _ in range(360):
        history = history.after(10.0, 0.0, 0.0, is_met_anyway=False)

    assert history.ages_seconds[level] == 3600
    assert history.unmet[level] > 0
    later = history.after(0.5, 0.0, 0.0, is_met_anyway=False)
    assert (later.unmet[level], later.unmet[0]) == (0, pytest.approx(0.5 * exp(-3600.5 / 1200)))
    assert later.after(2.0, 0.5, 1.0, is_met_anyway=False).silent_seconds == 0


@pytest.mark.parametrize("seconds", [0.0, -5.0, 1e6])
def test_a_clock_that_stood_still_or_jumped_teaches_nothing(seconds: float) -> None:
    history = watched(History(), 1, 5_000, 4)

    assert history.after(seconds, 9e9, 1e9, is_met_anyway=False) == history


def test_varied_traffic_gets_a_margin_that_shrinks_the_longer_it_is_watched() -> None:
    steady, early = watched(History(), 5, 5_000, 4), History()
    for _ in range(5):
        early = watched(watched(early, 0.1, 80_000, 20), 0.9, 0, 0)
    late = early
    for _ in range(55):
        late = watched(watched(late, 0.1, 80_000, 20), 0.9, 0, 0)

    assert (steady.variation, steady.margin) == (pytest.approx(0, abs=1e-6), 1.0)
    assert min(early.variation, late.variation) > 2
    assert 1 < late.margin < early.margin < 2
    assert late.margin == 1 + 0.5 * (2 - 0.5) * 600 / (600 + 3600)
    assert History().variation == 0.0
    assert len(late.unmet) == COUNT


def test_amounts_of_another_scale_are_refused_rather_than_misread() -> None:
    with pytest.raises(ValueError, match="shorter"):
        busiest((0.0,), 0.97)
