"""The demand of the past half hour, and the fewest replicas that would have served it in time.

Bursts that are over before a replica has started can only be met by replicas that are there already. How many of these
to keep is not a constant: it is what the traffic's own past asks for. Arrivals are kept by the load that they came at;
with the lateness of a replica by its load, each number of replicas has a share of the past that would have been late.
"""

from dataclasses import dataclass, replace
from math import exp, sqrt
from typing import Final

from batchedllm.core.scaling.levels import LEVELS, NOTHING, faded, index_of, steps_down, with_added

LONG_SECONDS: Final = 1200.0
"""After this time a past demand counts for a third (1/e): bursts of real traffic come every few minutes."""
SHORT_SECONDS: Final = 60.0
"""The same where traffic is steady: then the latest minutes say all."""
UNSEEN_SECONDS: Final = 600.0
"""How fast the margin for what has not been seen yet shrinks: it is halved after as long a watch."""
UNSEEN_SHARE: Final = 0.5
"""Margin per unit of variation above `USUAL_VARIATION`, when nothing has been watched yet."""
USUAL_VARIATION: Final = 0.5
_ROUNDS: Final = 9
"""Halvings of the logarithm of the number of replicas: to a hundredth, of up to a thousand."""


@dataclass(frozen=True, slots=True)
class History:
    """Requests by the load, of the whole fleet, that they came at."""

    long: tuple[float, ...] = NOTHING
    short: tuple[float, ...] = NOTHING
    seconds: float = 0.0
    """Faded time watched, of the moments."""
    demand_sum: float = 0.0
    demand_square_sum: float = 0.0
    watched_seconds: float = 0.0
    """All the time watched."""

    def after(self, seconds: float, demand: float, requests: float, *, is_met_anyway: bool) -> "History":
        """Return it with what came in some seconds at a demand in tokens per second.

        What added replicas would have met, since they were asked for early enough, asks for none to be kept.
        """
        if not 0 < seconds < LONG_SECONDS:
            return self
        factor = exp(-seconds / LONG_SECONDS)
        return replace(
            self,
            long=with_added(faded(self.long, factor), 0 if is_met_anyway else index_of(demand), requests),
            short=with_added(faded(self.short, exp(-seconds / SHORT_SECONDS)), index_of(demand), requests),
            seconds=self.seconds * factor + seconds,
            demand_sum=self.demand_sum * factor + seconds * demand,
            demand_square_sum=self.demand_square_sum * factor + seconds * demand * demand,
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
        return 1 + UNSEEN_SHARE * max(0.0, self.variation - USUAL_VARIATION) * unseen


def fewest_replicas(
    past: tuple[float, ...], late_shares: tuple[float, ...], late_share: float, most: int, margin: float = 1.0
) -> float:
    """Return the fewest replicas, not rounded, with which no more than this share of the past would have been late.

    `margin` is how many times as large each demand of the past is taken to be. It is no factor on the replicas: twice
    next to nothing is still held by one.
    """
    seen = [(index, requests) for index, requests in enumerate(past) if requests > 0]
    allowed = late_share * sum(requests for _, requests in seen)
    if not seen or _late(seen, late_shares, 1.0 / margin) <= allowed:
        return 1.0
    low, high = 1.0, float(most)
    if _late(seen, late_shares, high / margin) > allowed:
        return high
    for _ in range(_ROUNDS):
        middle = sqrt(low * high)
        low, high = (low, middle) if _late(seen, late_shares, middle / margin) <= allowed else (middle, high)
    return high


def _late(seen: list[tuple[int, float]], late_shares: tuple[float, ...], replicas: float) -> float:
    """Return how many of the requests would have been late with so many replicas, each under its part of the load."""
    whole, part = steps_down(replicas)
    late, highest = 0.0, len(late_shares) - 1
    for index, requests in seen:
        level = index - whole
        if level <= 0:
            late += requests * late_shares[0]
            continue
        level = min(highest, level)
        above, below = late_shares[level], late_shares[level - 1]
        late += requests * (above + part * (below - above))
    return late


def busiest(past: tuple[float, ...], share: float) -> float:
    """Return the load at or below which this share of the past requests came, in tokens per second; 0 of none."""
    wanted, reached = share * sum(past), 0.0
    for level, requests in zip(LEVELS, past, strict=True):
        reached += requests
        if requests > 0 and reached >= wanted:
            return level
    return 0.0
