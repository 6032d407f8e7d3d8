"""A histogram of fixed buckets, filled with weights so that many equal engine steps cost one call."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """Counts by upper bound, as Prometheus does: a value equal to a bound falls into that bound's bucket."""

    __slots__ = ("bounds", "count", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds: tuple[float, ...] = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.count = 0
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count the value so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.count += times
        self.total += value * times

    def observe_growing(self, first: float, growth: float, steps: int, times: int) -> None:
        """Count `first`, `first + growth`, … (`steps` values, growth >= 0), each so many times."""
        last = first + growth * (steps - 1)
        bucket = bisect_left(self.bounds, first)
        if bucket < len(self.bounds) and last > self.bounds[bucket]:
            for step in range(steps):
                self.observe(first + growth * step, times)
            return
        self.counts[bucket] += steps * times
        self.count += steps * times
        self.total += times * steps * (first + last) / 2

    def cumulative(self) -> list[int]:
        """Return how many values are at or below each bound; the last entry counts all."""
        running, sums = 0, []
        for count in self.counts:
            running += count
            sums.append(running)
        return sums

    def quantile(self, fraction: float) -> float | None:
        """Return the bound of the bucket that holds the quantile, None if empty or above the last bound."""
        rank = fraction * self.count
        for bound, below in zip(self.bounds, self.cumulative(), strict=False):
            if self.count and below >= rank:
                return bound
        return None
