"""Late requests, read from two states of a histogram."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from batchedllm.core.readings import LatencyHistogram
from batchedllm.core.scaling.lateness import Late, came, later_than

BOUNDS = (1.0, 2.0, 4.0)
EMPTY = LatencyHistogram(BOUNDS, (0.0,) * 4)


def histogram(*counts: float, bounds=BOUNDS) -> LatencyHistogram:
    """Values by bucket, not accumulated."""
    return LatencyHistogram(bounds, tuple(accumulate(counts)))


def late(counts: tuple[float, ...], allowed_seconds: float) -> tuple[Late, ...]:
    return came(EMPTY, histogram(*counts), allowed_seconds)[1]


def test_what_came_is_the_difference_in_every_bucket() -> None:
    assert came(histogram(1, 2, 3, 4), histogram(2, 2, 5, 5), 2.0) == (4, (Late(2, 3.0), Late(1, 4.0)))
    assert came(histogram(1, 2, 3, 4), histogram(2, 2, 3, 4), 2.0) == (1, ())
    assert came(histogram(1, 2, 3, 4), histogram(1, 2, 3, 6), 0.5) == (2, (Late(2, 4.0),))


def test_where_nothing_came_or_one_state_is_not_told_there_is_nothing() -> None:
    assert came(histogram(1, 2, 3, 4), histogram(1, 2, 3, 4), 1.0) == (0, ())
    assert came(None, histogram(1, 2, 3, 4), 1.0) == (0, ())
    assert came(histogram(1, 2, 3, 4), None, 1.0) == (0, ())


def test_how_many_took_longer_is_counted_by_buckets() -> None:
    assert later_than(histogram(1, 2, 3, 4), histogram(2, 2, 5, 5), 2.0) == 3
    assert later_than(histogram(1, 2, 3, 4), histogram(2, 2, 5, 5), 1.9) == 3
    assert later_than(histogram(1, 2, 3, 4), histogram(2, 2, 5, 5), 4.0) == 1
    assert later_than(histogram(1, 2, 3, 4), histogram(2, 2, 5, 5), 0.5) == 4
    assert later_than(histogram(9, 2, 3, 4), histogram(1, 0, 0, 3), 4.0) == 3, "of an engine that restarted"
    assert later_than(histogram(0, 1, bounds=(1.0,)), histogram(0, 0, 0, 3), 4.0) == 3, "or that has other buckets"
    assert later_than(None, EMPTY, 1.0) == later_than(EMPTY, None, 1.0) == later_than(EMPTY, EMPTY, 1.0) == 0


def test_an_engine_that_restarted_began_anew() -> None:
    assert came(histogram(9, 2, 3, 4), histogram(1, 0, 0, 5), 4.0) == (6, (Late(5, 4.0),))
    assert came(histogram(9, 0, 0, 4), histogram(1, 0, 0, 14), 2.0) == (15, (Late(14, 4.0),)), "though more in all"
    assert came(histogram(9, 0, 0, 0), histogram(3, 2, 0, 0), 0.5) == (5, (Late(1.5, 0.75), Late(2, 1.5)))
    assert came(histogram(9, 2, 3, 4), histogram(1, 0, 0, 0), 1.0) == (1, ())
    other_bounds = LatencyHistogram((1.0,), (7.0, 8.0))
    assert came(histogram(1, 2, 3, 4), other_bounds, 1.0) == (8, (Late(1, 1.0),))
    assert came(other_bounds, histogram(1, 2, 3, 4), 2.0) == (10, (Late(3, 3.0), Late(4, 4.0)))


def test_late_is_what_lies_above_the_bound_evenly_spread_within_its_bucket() -> None:
    assert late((5, 4, 8, 2), 1.5) == (Late(2.0, 1.75), Late(8, 3.0), Late(2, 4.0))
    assert late((0, 0, 8, 0), 3.5) == (Late(2.0, 3.75),)
    assert late((0, 0, 1, 0), 2.0) == (Late(1, 3.0),)
    assert late((5, 4, 8, 2), 2.0) == (Late(8, 3.0), Late(2, 4.0))


def test_above_the_last_bound_it_is_known_only_that_it_took_longer() -> None:
    assert late((0, 0, 0, 3), 60.0) == (Late(3, 60.0),)
    assert late((0, 0, 0, 3), 3.0) == (Late(3, 4.0),)


def test_of_buckets_without_requests_nothing_is_late() -> None:
    assert late((5, 0, 0, 0), 0.5) == (Late(2.5, 0.75),)


Counts = st.lists(st.integers(0, 1000), min_size=4, max_size=4)


@given(Counts, Counts, st.floats(0.01, 100.0))
def test_no_more_are_late_than_came_and_all_that_came_are_counted(old, new, allowed_seconds) -> None:
    after = [was + now for was, now in zip(old, new, strict=True)]
    total, late_ones = came(histogram(*old), histogram(*after), allowed_seconds)

    assert total == sum(new)
    assert sum(one.requests for one in late_ones) <= total + 1e-9
    assert all(one.requests > 0 and one.waited_seconds >= allowed_seconds for one in late_ones)
