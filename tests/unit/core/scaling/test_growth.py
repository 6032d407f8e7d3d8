"""How much steady traffic grows while a replica starts."""

from dataclasses import replace

import pytest

from batchedllm.core.scaling.growth import MEMORY_SECONDS, PRIOR_SECONDS, Growth
from batchedllm.core.scaling.traffic import Traffic

STARTUP_SECONDS = 120.0


def watched(rate, seconds: float = 3600.0, startup_seconds: float = STARTUP_SECONDS) -> Growth:
    """Watch requests that come at `rate(second)` every two seconds."""
    traffic, growth = Traffic(), Growth()
    for index in range(int(seconds / 2)):
        now = 2.0 * index
        traffic = traffic.after(now, 2.0 * rate(now))
        growth = growth.after(2.0, traffic, startup_seconds, now)
    return growth


def test_even_traffic_needs_no_room() -> None:
    assert watched(lambda _: 50.0).of(50.0) == 0.0


def test_traffic_that_rises_needs_what_it_rises_by_within_a_start_up_and_more() -> None:
    """A tenth of a request per second more each second: 12 in two minutes; twice that, of a mean with its prior."""
    growth = watched(lambda second: 100.0 + 0.1 * second)
    weight = 1 / (1 + PRIOR_SECONDS / MEMORY_SECONDS)
    assert growth.of(1000.0) == pytest.approx(2 * 12.0 * weight**0.5, rel=0.05)


def test_the_longer_a_start_up_the_more_it_grows_meanwhile() -> None:
    def rising(second: float) -> float:
        return 100.0 + 0.1 * second

    short, long = (watched(rising, startup_seconds=seconds).of(1000.0) for seconds in (30.0, 240.0))
    assert long > 4 * short > 0


def test_falling_traffic_and_the_chance_of_few_requests_are_no_growth() -> None:
    assert watched(lambda second: max(1.0, 400.0 - 0.1 * second)).of(100.0) == 0.0
    assert watched(lambda second: 0.1 if second % 600 < 300 else 0.13).of(0.1) == 0.0


def test_one_rise_is_forgotten() -> None:
    def step(second: float) -> float:
        return 50.0 if second < 600 else 80.0

    soon, late = watched(step, 900.0).of(80.0), watched(step, 7200.0).of(80.0)
    assert soon > 5.0
    assert late < soon / 5


def test_room_is_never_more_than_half_of_what_comes() -> None:
    assert watched(lambda second: second**2).of(10.0) == 5.0


def test_what_was_not_watched_is_no_growth_from_nothing() -> None:
    """The first minutes of a busy model are not a rise from no requests."""
    assert watched(lambda _: 200.0, seconds=200.0) == Growth()
    assert Growth(10.0, 20.0).after(0.0, Traffic(((900.0, 60.0),), 0.0), STARTUP_SECONDS, 900.0) == Growth(10.0, 20.0)


def steps(**came: float) -> Traffic:
    """Requests that came at a second: `at_900=60`."""
    return Traffic(tuple((float(at.removeprefix("at_")), requests) for at, requests in came.items()), 0.0)


@pytest.mark.parametrize(
    ("startup_seconds", "window", "apart"),
    [(30.0, 60.0, 90.0), (200.0, 100.0, 300.0), (290.0, 145.0, 435.0), (400.0, 150.0, 450.0), (600.0, 150.0, 450.0)],
)
def test_the_rate_of_half_a_start_up_is_held_against_that_of_a_start_up_before(startup_seconds, window, apart) -> None:
    """Windows are of a minute to two and a half, and lie within the ten minutes that are kept."""
    now = 1000.0
    traffic = steps(**{f"at_{now - apart - window + 1}": 10_000, f"at_{now - window + 1}": 20_000})
    outside = steps(**{f"at_{now - apart - window - 1}": 10_000, f"at_{now - window - 1}": 20_000})

    grown = Growth().after(2.0, traffic, startup_seconds, now)
    expected = 2.0 * (10_000**2 - 30_000) * ((1 - window / apart) / window) ** 2
    assert (grown.seconds, grown.square_sum) == (2.0, pytest.approx(expected))
    assert Growth().after(2.0, outside, startup_seconds, now).square_sum == 0.0


def test_a_look_after_half_a_second_counts_and_one_at_the_same_moment_does_not() -> None:
    traffic = steps(at_100=10, at_990=10)
    assert Growth().after(0.5, traffic, 30.0, 1000.0).seconds == 0.5
    assert Growth().after(0.0, traffic, 30.0, 1000.0) == Growth()


@pytest.mark.parametrize("startup_seconds", [5.0, 300.0, 600.0])
def test_any_start_up_fits_into_the_ten_minutes_that_are_kept(startup_seconds: float) -> None:
    assert watched(lambda second: 100.0 + 0.1 * second, startup_seconds=startup_seconds).of(1000.0) > 0


def test_what_clearly_rises_is_held_to_go_on_from_the_third_minute_on() -> None:
    """A tenth of a request per second more each second: 24 in four minutes, seen in two that were watched."""

    def rising(second: float) -> float:
        return 4.0 + 0.1 * second

    assert watched(rising, seconds=118.0, startup_seconds=240.0) == Growth()
    soon = watched(rising, seconds=124.0, startup_seconds=240.0)
    assert soon.of(1000.0) == soon.trend == pytest.approx(24.0, rel=0.1)
    assert (soon.seconds, soon.square_sum) == (0.0, 0.0), "nothing of what is usual"


def test_what_rises_by_less_than_half_may_just_vary() -> None:
    def after(part: float) -> float:
        halves = steps(at_930=1000, at_980=1000 + 1000 * part)
        return Growth().after(2.0, replace(halves, since_seconds=880.0), 60.0, 1000.0).trend

    assert after(0.55) == 0.0, "what chance may add to half is on top"
    assert after(0.65) == pytest.approx(650 / 60)


def test_a_rise_that_chance_may_bring_is_none() -> None:
    few, many = steps(at_930=10, at_980=22), steps(at_930=100, at_980=220)

    assert Growth().after(2.0, replace(few, since_seconds=880.0), 60.0, 1000.0).trend == 0.0
    assert Growth().after(2.0, replace(many, since_seconds=880.0), 60.0, 1000.0).trend == pytest.approx(120 / 60)


def test_a_morning_rises_as_no_night_before_it_let_expect() -> None:
    """Flat for an hour, then a tenth of a request per second more each second: 12 in two minutes."""

    def morning(second: float) -> float:
        return 4.0 + max(0.0, 0.1 * (second - 3600))

    night, rising, day = (watched(morning, seconds) for seconds in (3600.0, 3900.0, 7200.0))
    assert night.of(1000.0) == night.trend == 0.0
    assert rising.trend == pytest.approx(12.0, rel=0.05)
    assert rising.of(1000.0) >= rising.trend
    assert day.trend == 0.0, "a third more within five minutes is no clear rise any more, but usual by now"
    assert day.of(1000.0) > 10.0
