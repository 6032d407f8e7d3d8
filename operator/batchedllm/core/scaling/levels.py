"""A scale of loads, in tokens per second: each level is a fifth above the one before.

What was seen at a load is kept by its level. So the memory of any number of hours has the same size, and loads of a
hundred and of a million tokens per second are told apart equally well.
"""

from math import log
from typing import Final

LOWEST_TOKENS_PER_SECOND: Final = 200.0
RATIO: Final = 1.2
COUNT: Final = 56
"""The highest level is at 4.5 million tokens per second."""

LEVELS: Final = tuple(LOWEST_TOKENS_PER_SECOND * RATIO**index for index in range(COUNT))
NOTHING: Final = (0.0,) * COUNT

_LOG_RATIO: Final = log(RATIO)


def index_of(tokens_per_second: float) -> int:
    """Return the nearest level; loads beyond the scale count at its ends."""
    if tokens_per_second <= LOWEST_TOKENS_PER_SECOND:
        return 0
    return min(COUNT - 1, int(log(tokens_per_second / LOWEST_TOKENS_PER_SECOND) / _LOG_RATIO + 0.5))


def levels_between(factor: float) -> float:
    """Return how many levels lie between a load and its `factor`th part; below 0 for a factor below 1."""
    return log(factor) / _LOG_RATIO


def with_added(amounts: tuple[float, ...], index: int, amount: float) -> tuple[float, ...]:
    """Return the amounts with more at one level."""
    return (*amounts[:index], amounts[index] + amount, *amounts[index + 1 :])


def faded(amounts: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """Return the amounts, each multiplied by the factor."""
    return tuple([amount * factor for amount in amounts])
