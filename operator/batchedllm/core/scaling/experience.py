"""What is learned of a model's replicas and traffic, and worth keeping over a restart of the operator."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any, Final

from batchedllm.core.scaling.capacity import Capacity
from batchedllm.core.scaling.history import History
from batchedllm.core.scaling.levels import COUNT
from batchedllm.core.scaling.traffic import Sizes

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Experience:
    """See the module."""

    capacity: Capacity = field(default_factory=Capacity)
    history: History = field(default_factory=History)
    sizes: Sizes = field(default_factory=Sizes)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it; rounded, since its third digit says nothing."""
        return {"version": VERSION, **{name: _rounded(part) for name, part in asdict(self).items()}}


def from_json(document: Mapping[str, Any]) -> Experience:
    """Read what `to_json` wrote. What is not of this form, by whatever hand, is forgotten: it is learned again."""
    if not isinstance(document, Mapping) or document.get("version") != VERSION:
        return Experience()
    try:
        return Experience(
            capacity=Capacity(**_checked(document["capacity"])),
            history=History(**_checked(document["history"])),
            sizes=Sizes(**_checked(document["sizes"])),
        )
    except (KeyError, TypeError, ValueError):
        return Experience()


def _rounded(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _round(value) for name, value in fields.items()}


def _round(value: Any) -> Any:  # noqa: ANN401 - numbers, tuples of them, None
    if isinstance(value, tuple | list):
        return [_round(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with lists as tuples. Raises ValueError for what no experience can hold."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, list):
            if len(value) != COUNT:
                raise ValueError(f"{name}: {len(value)} levels, expected {COUNT}")
            found[name] = tuple(_number(name, one) for one in value)
        else:
            found[name] = None if value is None else _number(name, value)
    return found


def _number(name: str, value: Any) -> float:  # noqa: ANN401 - anything that JSON holds
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise ValueError(f"{name}: {value!r}, expected a number that is not negative")
    return float(value)
