"""Rates: how much may begin per minute, and how fast requests leave."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

SECONDS_PER_MINUTE: Final = 60.0


@dataclass(slots=True)
class TokenBucket:
    """Lets `per_minute` units through per minute, a full minute's worth of them at once after a calm minute.

    Own code, because the libraries that were looked at read the clock themselves or block until there is room, and
    none says how long to wait: that is what Retry-After needs.
    """

    per_minute: float
    level: float
    filled_at: float

    def level_at(self, now: float) -> float:
        """Return how much is in it."""
        gained = max(0.0, now - self.filled_at) * self.per_minute / SECONDS_PER_MINUTE
        return min(self.per_minute, self.level + gained)

    def wait_seconds(self, amount: float, now: float) -> float:
        """Return in how many seconds `amount` is there: 0 if it is now, infinity if it never is."""
        if amount > self.per_minute:
            return math.inf
        return max(0.0, amount - self.level_at(now)) * SECONDS_PER_MINUTE / self.per_minute

    def take(self, amount: float, now: float) -> None:
        """Take `amount` out, which must be there."""
        self.level = self.level_at(now) - amount
        self.filled_at = max(self.filled_at, now)


def resized(bucket: TokenBucket | None, per_minute: int | None, now: float) -> TokenBucket | None:
    """Return the bucket for another limit; what was taken out of it stays taken."""
    if per_minute is None:
        return None
    if bucket is None:
        return TokenBucket(per_minute, per_minute, now)
    taken = bucket.per_minute - bucket.level
    return TokenBucket(per_minute, max(0.0, per_minute - taken), bucket.filled_at)


@dataclass(slots=True)
class DrainRate:
    """Requests that the engine finished per second, over the last `window_seconds`."""

    window_seconds: float = 30.0
    _finished: deque[tuple[float, int]] = field(default_factory=deque)
    _total: int = 0

    def record(self, requests: int, now: float) -> None:
        """Note that so many have finished. Those of one second share an entry, so that memory is bounded."""
        self._total += requests
        if self._finished and now - self._finished[-1][0] < 1:
            since, earlier = self._finished[-1]
            self._finished[-1] = (since, earlier + requests)
        else:
            self._finished.append((now, requests))
        self._forget(now)

    def per_second(self, now: float) -> float:
        """Return the rate; 0 where none finished in the window. Over at least a second, so that one is no flood."""
        self._forget(now)
        if not self._finished:
            return 0.0
        return self._total / min(self.window_seconds, max(1.0, now - self._finished[0][0]))

    def _forget(self, now: float) -> None:
        while self._finished and self._finished[0][0] < now - self.window_seconds:
            self._total -= self._finished.popleft()[1]
