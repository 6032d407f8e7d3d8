"""How much steady traffic grows while a replica starts: the head-room that asking in time takes.

Who asks for a replica once the others are full is late by a start-up. How early to ask is not a constant: traffic that
hardly changes within a start-up needs no head-room, one that rises by a fifth within it needs a fifth. So it is the
traffic's own past that tells. What that does not have, since too little of it was watched or because a morning differs
from the night before it, is told by the rise itself: a clear one is held to go on.
"""

from math import exp, sqrt
from typing import Final, NamedTuple

from batchedllm.core.record import record
from batchedllm.core.scaling.traffic import KEPT_SECONDS, Traffic

MEMORY_SECONDS: Final = 900.0
"""After this time a growth counts for a third (1/e)."""
PRIOR_SECONDS: Final = 900.0
"""How long without growth stands in for what was not watched yet: the first minutes of a model say little."""
DEVIATIONS: Final = 2.0
"""Standard deviations of growth that are kept free: of a normal distribution 97.7 % is below them."""
MOST: Final = 0.5
"""Largest head-room, as a part of the demand: what doubles within a start-up is a burst, and asked for as such."""
CLEAR_RISE: Final = 0.5
"""A rate that is by more than this part above the one before it, beyond chance, rises and does not just vary."""
SHORTEST_WINDOW_SECONDS: Final = 60.0
"""Rates are means over half a start-up, but at least over this time, and at most over a quarter of what is kept."""


@record
class Growth:
    """Growths of the rate within a start-up, in requests per second; falls count as none."""

    seconds: float = 0.0
    square_sum: float = 0.0
    trend: float = 0.0
    """What it grows by if its rise goes on; 0 unless that is clear."""

    def after(self, seconds: float, traffic: Traffic, startup_seconds: float, now_seconds: float) -> "Growth":
        """Return it with how the rate of some seconds compares to that of a start-up before.

        What chance makes of counts (Poisson: as large a variance as the count) is no growth. Where less was watched
        than that takes, its later part is held against its earlier one, for the trend alone.
        """
        rise = None if seconds <= 0 else _rise(traffic, startup_seconds, now_seconds)
        if rise is None:
            return self
        if not rise.is_whole:
            return Growth(self.seconds, self.square_sum, rise.trend)
        kept = exp(-seconds / MEMORY_SECONDS)
        return Growth(self.seconds * kept + seconds, self.square_sum * kept + seconds * rise.square, rise.trend)

    def of(self, requests_per_second: float) -> float:
        """Return by how much a rate may have grown when a replica that is asked for now is there."""
        usual = DEVIATIONS * sqrt(self.square_sum / (self.seconds + PRIOR_SECONDS))
        return min(MOST * requests_per_second, max(usual, self.trend))


class _Rise(NamedTuple):
    """How the rate of some seconds compares to that of as many before."""

    trend: float
    """What it comes to within a start-up, in requests per second, if it goes on; 0 unless it is clear."""
    square: float
    """Its square, without what chance adds to it."""
    is_whole: bool
    """Whether the two were a start-up apart."""


def _rise(traffic: Traffic, startup_seconds: float, now_seconds: float) -> _Rise | None:
    """Compare; None where too little was watched."""
    window = min(KEPT_SECONDS / 4, max(SHORTEST_WINDOW_SECONDS, startup_seconds / 2))
    within = min(startup_seconds, KEPT_SECONDS - 2 * window)
    begins = now_seconds - within - 2 * window
    since = now_seconds if traffic.since_seconds is None else traffic.since_seconds
    is_whole = since <= begins
    if not is_whole:
        begins, window = since, min(window, (now_seconds - since) / 2)
    if window < SHORTEST_WINDOW_SECONDS:
        return None
    now = traffic.came_between(now_seconds - window, now_seconds) or 0.0
    before = traffic.came_between(begins, begins + window) or 0.0
    grown, chance = max(0.0, now - before), now + before
    per_request = within / (now_seconds - window - begins) / window
    is_clear = grown > CLEAR_RISE * before + DEVIATIONS * sqrt(chance)
    return _Rise(grown * per_request if is_clear else 0.0, max(0.0, grown**2 - chance) * per_request**2, is_whole)
