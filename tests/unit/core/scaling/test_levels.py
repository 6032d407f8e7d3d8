"""The scale of loads."""

from itertools import pairwise

import pytest

from batchedllm.core.scaling.levels import COUNT, LEVELS, NOTHING, RATIO, faded, index_of, levels_between, with_added


def test_each_level_is_a_fifth_above_the_one_before() -> None:
    assert all(right == pytest.approx(RATIO * left) for left, right in pairwise(LEVELS))


def test_a_load_counts_at_the_nearest_level_and_beyond_the_scale_at_its_ends() -> None:
    assert [index_of(level) for level in LEVELS] == list(range(COUNT))
    assert (index_of(LEVELS[3] * 1.09), index_of(LEVELS[3] * 1.11)) == (3, 4)
    assert (index_of(0.0), index_of(-5.0), index_of(1e12)) == (0, 0, COUNT - 1)


def test_a_part_of_a_load_lies_so_many_levels_below() -> None:
    assert levels_between(1.0) == 0
    assert levels_between(RATIO**2.5) == pytest.approx(2.5)
    assert levels_between(RATIO**-2.25) == pytest.approx(-2.25)


def test_amounts_are_added_and_fade_level_by_level() -> None:
    two = with_added(with_added(NOTHING, 3, 8.0), 5, 2.0)

    assert (two[3], two[5], sum(two)) == (8.0, 2.0, 10.0)
    assert faded(two, 0.5)[3] == 4.0
    assert len(two) == COUNT
