"""What a benchmark's document says, and how fast a full replica is by it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.core.benchmark.profile import read_profile
from profiles import document, point

RUN = {"at": "2026-01-02T03:04:05Z", "asked_by": "", "image": "engine:1"}


def profile(**differs):
    return read_profile(document(**differs), **RUN)


def test_a_profile_tells_its_knee_and_its_fastest_batch():
    read = profile()

    assert (read.knee, read.sweet_spot, read.fastest_batch) == (128, 256, 256)


def test_a_full_replica_is_as_fast_as_its_steps_and_its_prefill():
    """200 answer tokens at 9.5 ms / 256 each, and 1,000 prompt tokens at 46 ms / 2,048 each."""
    seconds = 200 * 0.0095 / 256 + 1000 * 0.046 / 2048

    assert profile().tokens_per_second(1000, 200, None) == pytest.approx(1200 / seconds)


def test_fewer_requests_at_once_are_slower():
    read = profile()

    assert read.tokens_per_second(10, 200, 64) < read.tokens_per_second(10, 200, None)


def test_more_requests_than_the_cache_holds_do_not_count():
    small = profile(kvCacheTokens=70 * 1100)

    assert small.tokens_per_second(1000, 200, None) == profile().tokens_per_second(1000, 200, 70)


def test_an_engine_that_tells_no_steps_is_taken_by_its_clients_clock():
    curve = [{name: value for name, value in point(64, 0.005).items() if name != "stepSeconds"}]

    assert profile(curve=curve).tokens_per_second(0, 100, None) == pytest.approx(64 / (1.2 * 0.005))


@pytest.mark.parametrize(
    "differs",
    [
        {"version": 2},
        {"curve": []},
        {"curve": [point(0, 0.005)]},
        {"curve": [point(4, 0.005, tokensPerSecond=float("nan"))]},
        {"curve": [point(4, 0.005, stepSeconds=-1)]},
        {"curve": "fast"},
        {"knee": None},
        {"promptTokens": "256"},
        {"kvCacheTokens": True},
    ],
)
def test_what_no_engine_can_be_like_is_refused(differs):
    with pytest.raises(ValueError, match=r"."):
        profile(**differs)


@settings(deadline=None)
@given(
    prompt=st.floats(0, 1e6),
    output=st.floats(1, 1e6),
    most=st.none() | st.integers(1, 4096),
)
def test_the_speed_is_that_of_an_engine_whatever_comes(prompt, output, most):
    speed = profile().tokens_per_second(prompt, output, most)

    assert 0 < speed < 1e6
