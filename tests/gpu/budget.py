"""The time that a run has: every wait takes from it, and a case that cannot end in time is not begun."""

import time
from collections.abc import Callable


class OutOfTimeError(Exception):
    """The budget is spent."""


class Budget:
    """Seconds from now on."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left_seconds(self) -> float:
        """What is left, never below 0."""
        return max(0.0, self._end - self._clock())

    def bounded(self, seconds: float, what: str) -> float:
        """Return at most what is left. Raises OutOfTimeError where that is nothing."""
        left = self.left_seconds
        if left <= 0:
            raise OutOfTimeError(f"no time is left for {what}")
        return min(seconds, left)
