"""Arrivals, and how large a request is."""

import pytest

from batchedllm.core.scaling.increments import increments
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.traffic import KEPT_SECONDS, Sizes, Traffic
from imagined_pods import ImaginedPod


def came(*counts: float, every_seconds: float = 2.0) -> Traffic:
    traffic = Traffic().after(0.0, 0.0)
    for index, count in enumerate(counts, 1):
        traffic = traffic.after(index * every_seconds, count)
    return traffic


def done(finished: float, **sizes):
    pod = ImaginedPod()
    before = pod.did(10.0)
    return increments({"a": before}, [pod.did(12.0, finished=finished, **sizes)], Objective(), 0.0)


def test_before_any_request_ended_a_usual_size_stands_in() -> None:
    assert (Sizes().prompt_tokens, Sizes().output_tokens, Sizes().tokens) == (1000.0, 200.0, 1200.0)


def test_sizes_are_means_and_follow_a_change_within_minutes() -> None:
    sizes = Sizes().after(2.0, done(10, prompt_tokens=4000, output_tokens=100))
    assert (sizes.prompt_tokens, sizes.output_tokens) == (4000.0, 100.0)

    later = sizes.after(900.0, done(10, prompt_tokens=1000, output_tokens=500))
    assert later.prompt_tokens == pytest.approx(1142, abs=5)
    assert later.tokens == later.prompt_tokens + later.output_tokens


def test_a_rate_is_of_its_window() -> None:
    traffic = came(*[4.0] * 30, *[20.0] * 5)

    assert traffic.requests_per_second(10.0, 70.0) == 10.0
    assert traffic.requests_per_second(20.0, 70.0) == pytest.approx((100 + 20) / 20)
    assert traffic.requests_per_second(10.0, 80.0) == 0.0


def test_a_rate_over_a_window_that_was_not_watched_whole_is_of_the_time_watched() -> None:
    assert came(4.0, 4.0).requests_per_second(60.0, 4.0) == 2.0
    assert Traffic().requests_per_second(60.0, 4.0) == 0.0


def test_answers_of_one_round_of_scrapes_are_one_cell_and_old_ones_go() -> None:
    traffic = Traffic().after(0.0, 1.0).after(0.5, 2.0).after(1.0, 3.0)
    assert traffic.cells == ((0.0, 6.0),)

    assert traffic.after(KEPT_SECONDS + 1, 1.0).cells == ((KEPT_SECONDS + 1, 1.0),)


def test_even_arrivals_are_steady_and_bursts_are_not() -> None:
    even, bursts = came(*[8.0] * 100), came(*([0.0] * 12 + [100.0] * 3) * 7)

    assert even.is_steady(200.0)
    assert not bursts.is_steady(210.0)


def test_the_chance_of_rare_arrivals_is_no_burst() -> None:
    assert came(*[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 15).is_steady(240.0)


def test_a_short_watch_or_few_requests_tell_no_steadiness() -> None:
    assert not came(*[8.0] * 50).is_steady(100.0)
    assert not came(*[0.1] * 100).is_steady(200.0)
    assert not Traffic(cells=((170.0, 29.0),), since_seconds=0.0).is_steady(180.0)
    assert not Traffic().is_steady(1000.0)
