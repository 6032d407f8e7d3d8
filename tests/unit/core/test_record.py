"""Records, and changing one as `dataclasses.replace` does it."""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchedllm.core.record import changed, record


@record
class Point:
    x: int
    y: int = 0
    names: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Frozen:
    x: int
    y: int = 0
    names: tuple[str, ...] = field(default_factory=tuple)


def test_a_record_is_told_equal_and_hashed_by_its_values():
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert len({Point(1, 2), Point(1, 2), Point(1, 3)}) == 2
    assert repr(Point(1)) == repr(Frozen(1)).replace("Frozen", "Point")


def test_a_record_is_frozen_to_the_type_checker():
    told = cast("Any", record).__dataclass_transform__

    assert {**told, **told["kwargs"]}["frozen_default"], "among the kwargs before Python 3.12"


def test_a_record_has_no_room_for_what_is_no_field():
    with pytest.raises(AttributeError):
        cast("Any", Point(1)).z = 3


@given(st.dictionaries(st.sampled_from(["x", "y"]), st.integers()))
def test_it_is_what_replace_makes(changes):
    point = Point(1, 2, ("a",))

    assert changed(point, **changes) == replace(point, **changes)
    assert point == Point(1, 2, ("a",))


def test_a_field_that_there_is_not_is_refused():
    with pytest.raises(KeyError, match="z"):
        changed(Point(1), z=3)
