"""What is learned of a model's replicas and traffic, and worth keeping over a restart of the operator."""

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any, Final

from batchedllm.core.record import record
from batchedllm.core.scaling.capacity import Capacity
from batchedllm.core.scaling.history import History
from batchedllm.core.scaling.levels import COUNT
from batchedllm.core.scaling.traffic import Sizes

VERSION: Final = 4

MOST: Final = 1e30
"""No number of an experience is larger: all of them can be multiplied and added."""
MOST_TOKENS: Final = 1e8
"""Above what a replica does in a second, and what a request has."""


@record
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
        found = Experience(
            capacity=Capacity(**_checked(document["capacity"], asdict(Capacity()))),
            history=History(**_checked(document["history"], asdict(History()))),
            sizes=Sizes(**_checked(document["sizes"], asdict(Sizes()))),
        )
        return found if _is_possible(found) else Experience()
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return Experience()


def _is_possible(experience: Experience) -> bool:
    """Tell whether its means can be told and are those of an engine. Raises ArithmeticError where they are none."""
    sizes = experience.sizes
    return (
        1 <= experience.capacity.tokens_per_second <= MOST_TOKENS
        and 1 <= experience.capacity.least_tokens_per_second <= MOST_TOKENS
        and 0 <= sizes.prompt_tokens <= MOST_TOKENS
        and 0 <= sizes.output_tokens <= MOST_TOKENS
        and experience.history.margin <= MOST
    )


def _rounded(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _round(value) for name, value in fields.items()}


def _round(value: Any) -> Any:  # noqa: ANN401 - numbers, tuples of them, None
    if isinstance(value, tuple | list):
        return [_round(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _checked(fields: Any, empty: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - anything that JSON holds
    """Return the fields with lists as tuples. Raises ValueError and KeyError for what no experience holds."""
    if not isinstance(fields, Mapping) or fields.keys() != empty.keys():
        raise ValueError(f"{fields!r}, expected an object with {', '.join(empty)}")
    return {name: _value(name, value, empty[name]) for name, value in fields.items()}


def _value(name: str, value: Any, empty: Any) -> Any:  # noqa: ANN401 - numbers, tuples of them, None
    if isinstance(empty, tuple):
        if not isinstance(value, list) or len(value) != COUNT:
            raise ValueError(f"{name}: {value!r}, expected a list of {COUNT} numbers")
        return tuple(_number(name, one) for one in value)
    return None if value is None and empty is None else _number(name, value)


def _number(name: str, value: Any) -> float:  # noqa: ANN401 - anything that JSON holds
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise ValueError(f"{name}: {value!r}, expected a number that is not negative")
    return float(value)
