"""What has just been seen of pods."""

from dataclasses import replace

import pytest

from batchedllm.core.readings import PodReading
from batchedllm.core.scaling.increments import increment
from batchedllm.core.scaling.watch import Answers, PodWatch, Watch
from imagined_pods import ImaginedPod


def steps(pod: ImaginedPod, *did: dict) -> PodWatch:
    """Read the pod every two seconds, and return what is known of it then."""
    seen = PodWatch(pod.did(0.0))
    for index, one in enumerate(did, 1):
        seen = read(seen, pod.did(2.0 * index, **one))
    return seen


def read(seen: PodWatch, reading: PodReading) -> PodWatch:
    return seen.after(reading, increment(seen.reading, reading, 2.0, 0.2), 1200.0)


def test_the_load_of_a_pod_is_what_came_in_ten_seconds_and_what_waited_already() -> None:
    pod = steps(ImaginedPod(), {"finished": 5, "queued": 20}, {"finished": 5, "queued": 15})

    assert pod.load_since(0.0) == (25 + 20) * 1200 / 10


def test_arrivals_of_more_than_ten_seconds_ago_are_no_load_any_more() -> None:
    pod = steps(ImaginedPod(), {"finished": 50}, *[{}] * 5)

    assert pod.load_since(11.0) == 0.0
    assert pod.load_since(1.0) == 50 * 120


def test_the_highest_load_since_a_time_is_remembered_and_lower_ones_before_it_are_not() -> None:
    pod = steps(ImaginedPod(), {"finished": 5}, {"finished": 50}, *[{}] * 6, {"finished": 10})

    assert len(pod.peaks) < 9
    assert pod.load_since(0.0) == 55 * 120
    assert pod.load_since(17.0) == 10 * 120
    assert pod.load_since(99.0) == pod.peaks[-1][1]
    assert PodWatch(pod.reading).load_since(0.0) == 0.0


def test_a_load_of_more_than_ten_minutes_ago_is_forgotten_and_one_of_the_same_height_replaced() -> None:
    seen = PodWatch(ImaginedPod().did(0.0), peaks=((1.0, 9e9), (2.0, 8e9), (3.0, 1200.0)))

    assert after_ten_arrivals(seen).peaks == ((602.0, 1200.0),)
    assert seen.load_since(1.0) == 8e9


def after_ten_arrivals(seen: PodWatch) -> PodWatch:
    """The pod after second 602, when ten requests came and none had waited: a load of 1,200 tokens per second."""
    pod = ImaginedPod()
    return read(seen._replace(reading=pod.did(600.0)), pod.did(602.0, finished=10))


def test_what_came_in_a_long_time_is_a_load_for_the_last_ten_seconds_of_it() -> None:
    pod = ImaginedPod()
    seen = read(PodWatch(pod.did(0.0)), pod.did(60.0, finished=300))

    assert seen.load_since(0.0) == 5 * 1200


def test_a_reading_that_says_nothing_new_leaves_the_loads() -> None:
    pod = ImaginedPod()
    seen = steps(pod, {"finished": 5})

    assert seen.after(pod.reading, None, 1200.0) == seen


def test_just_what_is_older_is_forgotten() -> None:
    old, young = ((588.0, 1.0), (590.0, 1.0), (592.0, 1.0)), ((592.5, 0.0), (600.0, 0.0))
    higher = ((4.0, 5e3), (6.0, 4e3), (8.0, 3e3))
    seen = PodWatch(ImaginedPod().did(0.0), (*old, *young), (((1.0, 9e9), (2.0, 8e9), *higher)))

    now = after_ten_arrivals(seen)
    assert now.arrivals == (*young, (602.0, 10.0))
    assert now.peaks == (*higher, (602.0, 1200.0))
    assert now.reading.at_seconds == 602.0


def test_a_higher_load_replaces_the_lower_ones_before_it_and_no_others() -> None:
    peaks = ((4.0, 5e3), (6.0, 4e3), (8.0, 1200.0), (10.0, 900.0), (12.0, 800.0))

    now = after_ten_arrivals(PodWatch(ImaginedPod().did(0.0), peaks=peaks))
    assert now.peaks == ((4.0, 5e3), (6.0, 4e3), (602.0, 1200.0))


def test_what_was_asked_for_is_told_by_the_time_it_was_asked_for() -> None:
    watch = Watch()
    for now in range(0, 100, 2):
        watch = watch.with_asked(float(now), 9_000.0 if 40 <= now < 50 else 3_000.0)

    assert len(watch.asked) == 10
    assert watch.asked_between(0.0, 30.0) == 3_000.0
    assert watch.asked_between(20.0, 60.0) == 9_000.0
    assert watch.asked_between(40.0, 41.0) == watch.asked_between(39.0, 40.0) == 9_000.0
    assert watch.asked_between(200.0, 300.0) == 0.0
    assert watch.with_asked(5000.0, 1.0).asked == ((5000.0, 1.0),)
    assert Watch().with_asked(0.0, 1.0).with_asked(1800.0, 2.0).asked == ((1800.0, 2.0),)
    assert Watch().with_asked(0.0, 1.0).with_asked(9.0, 5.0).with_asked(9.5, 2.0).asked == ((0.0, 5.0),)


def test_the_share_of_late_requests_is_of_all_that_were_answered() -> None:
    assert Watch().late_share() == (0.0, 0.0)
    answered = (Answers(1.0, requests=30.0, late=3.0), Answers(3.0, requests=10.0, late=1.0))
    assert Watch(answered=answered).late_share() == (pytest.approx(0.1), 40.0)


def test_the_longest_queue_is_the_one_of_the_last_minute() -> None:
    assert Watch().longest_queue() == 0.0
    assert Watch(answered=(Answers(1.0, 30.0, 3.0, 5.5), Answers(3.0, 10.0, 1.0, 2.0))).longest_queue() == 5.5


def asked(*moments: tuple[float, float]) -> Watch:
    watch = Watch()
    for at_seconds, tokens_per_second in moments:
        watch = watch.with_asked(at_seconds, tokens_per_second)
    return watch


def steadily(until_seconds: int, tokens_per_second: float) -> list[tuple[float, float]]:
    return [(float(second), tokens_per_second) for second in range(0, until_seconds, 20)]


def test_what_was_asked_for_all_along_is_there() -> None:
    assert asked(*steadily(1000, 500.0)).met_anyway(120.0, 240.0, 1000.0) == 500.0


def test_what_was_asked_for_within_less_than_a_start_up_is_not_there_yet() -> None:
    rising = asked(*steadily(900, 500.0), (900.0, 900.0), (980.0, 900.0))

    assert rising.met_anyway(120.0, 240.0, 1000.0) == 500.0
    assert rising.met_anyway(90.0, 240.0, 1000.0) == 900.0


def test_what_is_not_asked_for_any_more_is_there_for_a_hold() -> None:
    falling = asked(*steadily(700, 500.0), (720.0, 100.0), (900.0, 100.0))

    assert falling.met_anyway(120.0, 240.0, 900.0) == 500.0
    assert falling.met_anyway(120.0, 240.0, 1050.0) == 100.0


def test_what_a_burst_asked_for_was_given_up_before_it_came() -> None:
    """Else the next burst would seem to be served by it, and would not be kept in mind."""
    burst = asked((0.0, 900.0), (40.0, 900.0), (60.0, 100.0), (300.0, 100.0), (580.0, 100.0))

    assert burst.asked_between(600.0 - 320.0 - 320.0, 600.0 - 320.0) == 900.0
    assert burst.met_anyway(320.0, 320.0, 600.0) == 100.0


def test_how_busy_the_replicas_are_is_told_of_the_last_minute() -> None:
    watch = Watch()
    for now, share in ((0.0, 0.9), (2.0, 0.2), (4.0, None), (60.0, 0.4)):
        watch = replace(watch, busy=watch.busy_with(now, share))

    assert watch.busy == ((2.0, 0.2), (60.0, 0.4)), "what is a minute old is gone"
    assert watch.busyness(61.9) == pytest.approx(0.3)
    assert watch.busyness(119.9) == pytest.approx(0.4)
    assert watch.busyness(120.0) is None
    assert Watch().busyness(0.0) is None
    assert watch.busy_with(119.0, 0.1) == ((60.0, 0.4), (119.0, 0.1))


def test_nothing_is_there_that_was_never_asked_for() -> None:
    assert Watch().met_anyway(120.0, 240.0, 1000.0) == 0.0
