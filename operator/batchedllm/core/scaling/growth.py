"""How much steady traffic grows while a replica starts: the head-room that asking in time takes.

Who asks for a replica once the others are full is late by a start-up. How early to ask is not a constant: traffic that
hardly changes within a start-up needs no head-room, one that rises by a fifth within it needs a fifth. So it is the
traffic's own past that tells.
"""

from math import exp, sqrt
from typing import Final

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
SHORTEST_WINDOW_SECONDS: Final = 60.0
"""Rates are means over half a start-up, but at least over this time, and at most over a quarter of what is kept."""


@record
class Growth:
    """Growths of the rate within a start-up, in requests per second; falls count as none."""

    seconds: float = 0.0
    square_sum: float = 0.0

    def after(self, seconds: float, traffic: Traffic, startup_seconds: float, now_seconds: float) -> "Growth":
        """Return it with how the rate of some seconds compares to that of a start-up before.

        What chance makes of counts (Poisson: as large a variance as the count) is no growth.
        """
        window = min(KEPT_SECONDS / 4, max(SHORTEST_WINDOW_SECONDS, startup_seconds / 2))
        apart = window + min(startup_seconds, KEPT_SECONDS - 2 * window)
        now = traffic.came_between(now_seconds - window, now_seconds)
        before = traffic.came_between(now_seconds - apart - window, now_seconds - apart)
        if not (seconds > 0 and now is not None and before is not None):
            return self
        grown = max(0.0, now - before)
        square = max(0.0, grown * grown - now - before) * ((1 - window / apart) / window) ** 2
        kept = exp(-seconds / MEMORY_SECONDS)
        return Growth(self.seconds * kept + seconds, self.square_sum * kept + seconds * square)

    def of(self, requests_per_second: float) -> float:
        """Return by how much a rate may have grown when a replica that is asked for now is there."""
        usual = DEVIATIONS * sqrt(self.square_sum / (self.seconds + PRIOR_SECONDS))
        return min(MOST * requests_per_second, usual)
