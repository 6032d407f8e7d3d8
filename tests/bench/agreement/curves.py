"""Replicas over time, and for how much of the time two of them agree."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from math import ceil


@dataclass(frozen=True, slots=True)
class Curve:
    """A number of replicas that changes in steps."""

    steps: tuple[tuple[float, int], ...]
    """(seconds, replicas from then on), in order of time; before the first it is as after it."""

    @classmethod
    def of_changes(cls, start: int, changes: Iterable[tuple[float, int]]) -> "Curve":
        """Make one of (seconds, replicas added) from a start at 0."""
        listed = list(changes)
        counts = accumulate((added for _, added in listed), initial=start)
        return cls(tuple(zip((0.0, *(at for at, _ in listed)), counts, strict=True)))

    def at(self, seconds: float) -> int:
        """Return the replicas at a time."""
        return self.steps[self._index(seconds)][1]

    def between(self, first: float, last: float) -> tuple[int, int]:
        """Return the fewest and the most replicas within a time."""
        within = [replicas for _, replicas in self.steps[self._index(first) : self._index(last) + 1]]
        return min(within), max(within)

    @property
    def most(self) -> int:
        """The most replicas at any time."""
        return max(replicas for _, replicas in self.steps)

    def _index(self, seconds: float) -> int:
        return max(0, bisect_right(self.steps, seconds, key=lambda step: step[0]) - 1)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far apart two curves may be and still agree."""

    replicas: int
    seconds: float


def agreement(one: Curve, other: Curve, duration_seconds: float, tolerance: Tolerance) -> float:
    """Return the share of the seconds of a run at which each curve is near the other.

    Near is a curve whose number of this moment the other one has, give or take some replicas, within some seconds
    before or after. Both have to be: a curve that jumps up and down is near every other one, but not the other way.
    """
    moments = range(ceil(duration_seconds))
    near = (_is_near(one, other, at, tolerance) and _is_near(other, one, at, tolerance) for at in moments)
    return sum(near) / len(moments)


def _is_near(one: Curve, other: Curve, at: float, tolerance: Tolerance) -> bool:
    fewest, most = other.between(at - tolerance.seconds, at + tolerance.seconds)
    return fewest - tolerance.replicas <= one.at(at) <= most + tolerance.replicas


def best_constant(curve: Curve, duration_seconds: float, tolerance: Tolerance) -> float:
    """Return the highest agreement that any number that never changes has with a curve: what is had for nothing."""
    numbers = range(curve.most + 1)
    return max(agreement(curve, Curve(((0.0, number),)), duration_seconds, tolerance) for number in numbers)
