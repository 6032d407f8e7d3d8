"""How busy a replica is, concluded from how much longer its steps have become than the fastest that were seen.

Tokens per second alone do not tell it, as nobody knows yet what a full replica does; the GPU's utilization does not
either, it reads 100 % from two requests on. Steps do: by a queue's law, at load r a step takes 1/(1 - r) times the
fastest, since each serves all who are there. But steps hardly grow while a batch is small, so that the law finds a
replica with little to do less busy than it is; how much depends on the traffic (`tests/bench/step_lengths.py`). So
there are two answers: the likely one, by which replicas are enough or not, and the most that it can be, by which late
requests are caught up with.
"""

from math import sqrt
from typing import Final, NamedTuple

TRUSTED: Final = 0.65
"""From here on the law is right. Below, a replica is at most this busy."""
MOST: Final = 0.95
LEAST_SLOWED: Final = 0.03
"""Part of a step that must be due to the load for it to teach anything: less is chance."""


class Busyness(NamedTuple):
    """How busy a replica is, as a share of what it can do."""

    slowed: float
    """Part of its step that is due to the load: what the law says."""
    likely: float
    at_most: float


def busyness(step_seconds: float, fastest_step_seconds: float, fastest_load: float) -> Busyness:
    """Conclude it. `fastest_load` is the load at which the fastest step was seen, as a part of the present one.

    A fastest step seen at much the same load was none of an idle replica: nobody knows how busy that was.
    """
    slowed = min(MOST, 1 - fastest_step_seconds / step_seconds)
    if slowed >= TRUSTED:
        return Busyness(slowed, slowed, slowed)
    slowed = max(0.0, slowed)
    return Busyness(slowed, max(TRUSTED * min(1.0, fastest_load), min(TRUSTED, sqrt(slowed))), TRUSTED)
