"""The knee of a batch curve, and the largest batch within a latency limit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm_engine.bench.knee import Point, knee, sweet_spot


def curve(*steps):
    """An engine that takes so many seconds for a step over each batch."""
    return [Point(batch, batch / seconds, seconds, 1.5 * seconds) for batch, seconds in steps]


def test_the_knee_is_the_batch_after_which_latency_grows_more_than_throughput():
    """From 128 to 256 a step takes 1.5 times as long, and throughput is 1.33 times as high."""
    found = knee(curve((1, 0.005), (64, 0.0055), (128, 0.006), (256, 0.009), (512, 0.017)))

    assert (found.batch, found.is_reached) == (128, True)


def test_a_small_batch_that_was_measured_badly_makes_no_knee():
    assert knee(curve((1, 0.003), (2, 0.006), (64, 0.0055), (128, 0.006), (256, 0.009))).batch == 128


def test_without_a_knee_the_largest_batch_is_told_to_be_none():
    found = knee(curve((1, 0.005), (2, 0.005), (4, 0.0055)))

    assert (found.batch, found.is_reached) == (4, False)


def test_throughput_that_falls_is_beyond_the_knee():
    assert knee([Point(8, 100, 0.01, 0.01), Point(16, 90, 0.01, 0.01)]).batch == 8


def test_no_curve_has_no_knee():
    with pytest.raises(ValueError, match="a curve of one point"):
        knee([])


def test_the_sweet_spot_is_the_largest_batch_within_the_limit():
    points = curve((1, 0.005), (64, 0.006), (128, 0.01), (256, 0.02))

    assert sweet_spot(points, 0.0151) == 128
    assert sweet_spot(points, 0.001) is None
    assert sweet_spot(points, 1) == 256


@settings(deadline=None)
@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=12))
def test_the_knee_is_always_a_batch_that_was_measured(seconds):
    points = curve(*((2**index, one) for index, one in enumerate(seconds)))

    assert knee(points).batch in {point.batch for point in points}
