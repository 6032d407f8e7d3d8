"""A frozen dataclass with other values in some of its fields, quickly."""

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, TypeVar, cast

Record = TypeVar("Record")
_Shape = tuple[dict[str, int], Callable[[Any], tuple[Any, ...]]]

_SHAPES: Final[dict[type[Any], _Shape]] = {}
"""Of each class that was changed: where its fields are, and what reads them all."""


def changed(record: Record, /, **changes: Any) -> Record:  # noqa: ANN401 - of the fields' types
    """Return what `dataclasses.replace` returns, in half of its time: a decision makes some thirty changes.

    Only for dataclasses with at least two fields, all of which their constructor takes. Raises KeyError for a field
    that there is not.
    """
    kind: type[Any] = type(record)
    index, values_of = _SHAPES.get(kind) or _shape(kind)
    values = list(values_of(record))
    for name, value in changes.items():
        values[index[name]] = value
    return cast("Record", kind(*values))


def _shape(kind: type[Any]) -> _Shape:
    names = [field.name for field in fields(kind)]
    found = {name: index for index, name in enumerate(names)}, attrgetter(*names)
    _SHAPES[kind] = found
    return found
