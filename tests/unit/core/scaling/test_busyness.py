"""How busy a replica is, by its steps."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchedllm.core.scaling.busyness import busyness

SECONDS = st.floats(1e-6, 1e6)


@pytest.mark.parametrize(
    ("step_seconds", "slowed", "likely", "at_most"),
    [
        (0.010, 0.0, 0.0, 0.65),
        (0.008, 0.0, 0.0, 0.65),  # a faster step than the fastest known
        (0.0125, 0.2, sqrt(0.2), 0.65),
        (0.016, 0.375, sqrt(0.375), 0.65),
        (0.020, 0.5, 0.65, 0.65),
        (0.040, 0.75, 0.75, 0.75),
        (1.0, 0.95, 0.95, 0.95),
    ],
)
def test_the_longer_a_step_has_become_the_busier_a_replica_is(
    step_seconds: float, slowed: float, likely: float, at_most: float
) -> None:
    assert busyness(step_seconds, 0.010, 0.0) == pytest.approx((slowed, likely, at_most))


@pytest.mark.parametrize(("load", "likely"), [(0.1, sqrt(0.2)), (0.8, 0.52), (1.0, 0.65), (5.0, 0.65)])
def test_a_fastest_step_that_was_seen_at_the_same_load_says_little(load: float, likely: float) -> None:
    assert busyness(0.0125, 0.010, load).likely == pytest.approx(likely)


@given(SECONDS, SECONDS, st.floats(0, 1e6))
def test_the_likely_answer_is_never_above_the_most(step: float, fastest: float, load: float) -> None:
    found = busyness(step, fastest, load)

    assert 0 <= found.likely <= found.at_most <= 0.95
    assert found.at_most >= 0.65
