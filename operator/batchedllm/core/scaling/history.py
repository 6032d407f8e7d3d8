"""The demand of the past half hour, and the fewest replicas that would have served it in time.

Bursts that are over before a replica has started can only be met by replicas that are there already. How many of these
to keep is not a constant: it is what the traffic's own past asks for. Arrivals are kept by the load that they came at;
with the lateness of a replica by its load, each number of replicas has a share of the past that would have been late.
"""

from bisect import bisect_left
from math import exp, floor, sqrt
from operator import mul
from typing import Final

from batchedllm.core.record import record
from batchedllm.core.scaling.levels import COUNT, LEVELS, NOTHING, RATIO, faded, index_of, levels_between, with_added

MEMORY_SECONDS: Final = 1200.0
"""After this time a past demand counts for a third (1/e): bursts of real traffic come every few minutes."""
UNSEEN_SECONDS: Final = 600.0
"""How fast the margin for what has not been seen yet shrinks: it is halved after as long a watch."""
UNSEEN_SHARE: Final = 0.5
"""Margin per unit of variation above `USUAL_VARIATION`, when nothing has been watched yet."""
USUAL_VARIATION: Final = 0.5
MOST_VARIATION: Final = 2.0
"""No traffic counts as more varied: the first requests after a silence are so without bounds, and tell of nothing."""
FORGOTTEN_SECONDS: Final = 3600.0
"""A demand that did not come again for so long asks for nothing any more."""
_BEYOND: Final = COUNT + 1


@record
class History:
    """Requests by the load, of the whole fleet, that they came at."""

    unmet: tuple[float, ...] = NOTHING
    """Those that added replicas would have met anyway, or that came long ago, are at the lowest load."""
    ages_seconds: tuple[float, ...] = NOTHING
    """By load, how long ago requests last came at it; watched time."""
    seconds: float = 0.0
    """Faded time watched, of the moments."""
    demand_sum: float = 0.0
    demand_square_sum: float = 0.0
    silent_seconds: float = 0.0
    """Time since something came, which the moments do not have yet: alone it makes no traffic more varied."""
    watched_seconds: float = 0.0
    """All the time watched."""

    def after(self, seconds: float, demand: float, requests: float, *, is_met_anyway: bool) -> "History":
        """Return it with what came in some seconds at a demand in tokens per second.

        What added replicas would have met, since they were asked for early enough, asks for none to be kept.
        """
        if not 0 < seconds < MEMORY_SECONDS:
            return self
        factor, index = exp(-seconds / MEMORY_SECONDS), 0 if is_met_anyway else index_of(demand)
        silent = self.silent_seconds + seconds
        counted = silent if demand > 0 else 0.0
        kept = exp(-counted / MEMORY_SECONDS)
        ages = tuple([age + seconds for age in self.ages_seconds])
        if requests > 0:
            ages = (*ages[:index], 0.0, *ages[index + 1 :])
        return History(
            unmet=_recent(with_added(faded(self.unmet, factor), index, requests), ages),
            ages_seconds=ages,
            seconds=self.seconds * kept + counted,
            demand_sum=self.demand_sum * kept + seconds * demand,
            demand_square_sum=self.demand_square_sum * kept + seconds * demand * demand,
            silent_seconds=silent - counted,
            watched_seconds=self.watched_seconds + seconds,
        )

    @property
    def variation(self) -> float:
        """Standard deviation of the demand over its mean."""
        if self.demand_sum <= 0:
            return 0.0
        mean = self.demand_sum / self.seconds
        return sqrt(max(0.0, self.demand_square_sum / self.seconds - mean * mean)) / mean

    @property
    def margin(self) -> float:
        """Factor for bursts larger than any seen: the more varied the traffic, and the shorter it was watched."""
        unseen = UNSEEN_SECONDS / (self.watched_seconds + UNSEEN_SECONDS)
        return 1 + UNSEEN_SHARE * max(0.0, min(MOST_VARIATION, self.variation) - USUAL_VARIATION) * unseen


def _recent(unmet: tuple[float, ...], ages_seconds: tuple[float, ...]) -> tuple[float, ...]:
    """Return the past with the requests of its highest load at the lowest, if none has come at it for long.

    One look forgets one load; those below follow in the next ones.
    """
    highest = next((index for index in range(COUNT - 1, 0, -1) if unmet[index]), 0)
    if not highest or ages_seconds[highest] <= FORGOTTEN_SECONDS:
        return unmet
    return (unmet[0] + unmet[highest], *unmet[1:highest], *NOTHING[highest:])


def fewest_replicas(
    past: tuple[float, ...], late_shares: tuple[float, ...], late_share: float, most: int, margin: float = 1.0
) -> float:
    """Return the fewest replicas, not rounded, with which no more than this share of the past would have been late.

    `margin` is how many times as large each demand of the past is taken to be. It is no factor on the replicas: twice
    next to nothing is still held by one. Between two levels of load lateness is taken to change evenly.
    """
    if most <= 1:
        return 1.0
    late = LateOfThePast(past, late_shares)
    allowed = late_share * sum(past)
    lowest, highest = floor(levels_between(1 / margin)), floor(levels_between(most / margin)) + 1
    candidates = range(lowest, highest + 1)
    first = lowest + bisect_left(candidates, -allowed, key=lambda levels: -late.below(levels))
    if first in {lowest, highest + 1}:
        return 1.0 if first == lowest else float(most)
    above, under = late.below(first - 1), late.below(first)
    replicas: float = margin * RATIO ** (first - (allowed - under) / (above - under))
    return min(float(most), max(1.0, replicas))


class LateOfThePast:
    """How many of the past requests would have been late, had each come at a lower load than it came at."""

    __slots__ = ("_amounts", "_lowest", "_shares")

    def __init__(self, past: tuple[float, ...], late_shares: tuple[float, ...]) -> None:
        levels = [index for index, requests in enumerate(past) if requests > 0] or [0]
        self._lowest, self._amounts = levels[0], past[levels[0] : levels[-1] + 1]
        self._shares = (late_shares[0],) * _BEYOND + late_shares + (late_shares[-1],) * _BEYOND
        """With more at each end, so that any load has one."""

    def below(self, levels: int) -> float:
        """Return how many, so many levels below. More levels never make more of them late."""
        start = self._lowest - max(-COUNT, min(COUNT, levels)) + _BEYOND
        late: float = sum(map(mul, self._amounts, self._shares[start : start + len(self._amounts)]))
        return late


def busiest(past: tuple[float, ...], share: float) -> float:
    """Return the load at or below which this share of the past requests came, in tokens per second; 0 of none."""
    wanted, reached = share * sum(past), 0.0
    for level, requests in zip(LEVELS, past, strict=True):
        reached += requests
        if requests > 0 and reached >= wanted:
            return level
    return 0.0
