"""Late requests, read from histograms."""

from batchedllm.core.readings import LatencyHistogram
from batchedllm.core.scaling.lateness import Late, grown, late

BOUNDS = (1.0, 2.0, 4.0)


def histogram(*counts: float, bounds=BOUNDS) -> LatencyHistogram:
    return LatencyHistogram(bounds, counts)


def test_what_came_into_each_bucket_is_the_difference() -> None:
    assert grown(histogram(1, 2, 3, 4), histogram(2, 2, 5, 4)) == (1, 0, 2, 0)


def test_where_nothing_came_there_is_nothing() -> None:
    assert grown(histogram(1, 2, 3, 4), histogram(1, 2, 3, 4)) == ()


def test_an_engine_that_restarted_began_anew() -> None:
    assert grown(histogram(9, 2, 3, 4), histogram(1, 0, 0, 5)) == (1, 0, 0, 5)
    assert grown(histogram(1, 2, 3, 4), LatencyHistogram((1.0,), (7.0, 1.0))) == (7.0, 1.0)


def test_late_is_what_lies_above_the_bound_evenly_spread_within_its_bucket() -> None:
    assert late(BOUNDS, (5, 4, 8, 2), 1.5) == (Late(2.0, 1.75), Late(8, 3.0), Late(2, 4.0))
    assert late(BOUNDS, (0, 0, 8, 0), 3.5) == (Late(2.0, 3.75),)
    assert late(BOUNDS, (0, 0, 1, 0), 2.0) == (Late(1, 3.0),)
    assert late(BOUNDS, (5, 4, 8, 2), 2.0) == (Late(8, 3.0), Late(2, 4.0))


def test_above_the_last_bound_it_is_known_only_that_it_took_longer() -> None:
    assert late(BOUNDS, (0, 0, 0, 3), 60.0) == (Late(3, 60.0),)


def test_of_buckets_without_requests_nothing_is_late() -> None:
    assert late(BOUNDS, (5, 0, 0, 0), 0.5) == (Late(2.5, 0.75),)
    assert late(BOUNDS, (), 0.5) == ()
