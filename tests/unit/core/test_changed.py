"""Changing a record: as `dataclasses.replace` does it."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchedllm.core.changed import changed


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0
    names: tuple[str, ...] = field(default_factory=tuple)


@given(st.dictionaries(st.sampled_from(["x", "y"]), st.integers()))
def test_it_is_what_replace_makes(changes):
    point = Point(1, 2, ("a",))

    assert changed(point, **changes) == replace(point, **changes)
    assert point == Point(1, 2, ("a",))


def test_a_field_that_there_is_not_is_refused():
    with pytest.raises(KeyError, match="z"):
        changed(Point(1), z=3)
