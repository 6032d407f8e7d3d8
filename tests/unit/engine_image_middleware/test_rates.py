"""Token buckets and the rate of leaving."""

import math

from hypothesis import given
from hypothesis import strategies as st

from batchedllm_engine.middleware.rates import DrainRate, TokenBucket, resized


def test_a_full_minute_comes_at_once_and_then_one_a_second():
    bucket = TokenBucket(per_minute=60, level=60, filled_at=0)
    for _ in range(60):
        assert bucket.wait_seconds(1, 0) == 0
        bucket.take(1, 0)
    assert bucket.wait_seconds(1, 0) == 1
    assert bucket.wait_seconds(10, 4) == 6
    assert bucket.wait_seconds(1, 1) == 0


def test_what_is_more_than_a_minute_has_never_comes():
    assert TokenBucket(60, 60, 0).wait_seconds(61, 0) == math.inf


def test_a_clock_that_goes_back_gives_nothing_twice():
    bucket = TokenBucket(60, 0, filled_at=100)
    bucket.take(0, 40)
    assert bucket.wait_seconds(1, 100) == 1


def test_another_limit_keeps_what_was_taken():
    bucket = TokenBucket(60, 20, filled_at=0)
    assert resized(bucket, 100, 0).level == 60
    assert resized(bucket, 30, 0).level == 0
    assert resized(bucket, None, 0) is None
    assert resized(None, 30, 5) == TokenBucket(30, 30, 5)


@given(
    per_minute=st.integers(1, 1000),
    asks=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), max_size=60),
)
def test_no_minute_ever_has_more_than_twice_the_limit_and_the_wait_is_exact(per_minute, asks):
    """Twice: the bucket may have been full when the minute began, and fills once within it."""
    bucket, now, taken = TokenBucket(per_minute, per_minute, 0), 0.0, []
    for pause, amount in asks:
        now += pause
        wait = bucket.wait_seconds(amount, now)
        if wait == 0:
            bucket.take(amount, now)
            taken.append((now, amount))
        elif math.isfinite(wait):
            assert bucket.wait_seconds(amount, now + wait) < 1e-6
    for start, _ in taken:
        assert sum(amount for at, amount in taken if start <= at < start + 60) <= 2 * per_minute + 1e-6


def test_the_rate_is_of_the_last_window_only():
    rate = DrainRate(window_seconds=30)
    assert rate.per_second(0) == 0
    for second in range(10):
        rate.record(2, second)
    assert rate.per_second(10) == 2
    assert rate.per_second(39) == 2 / 30
    assert rate.per_second(100) == 0


def test_the_memory_of_the_rate_does_not_grow_with_requests():
    rate = DrainRate(window_seconds=30)
    for number in range(100_000):
        rate.record(1, number / 1000)
    assert len(rate._finished) <= 32
    assert 950 < rate.per_second(100) < 1050
