"""When a reading is worth a reconciliation, and how often at most."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from batchedllm.core.readings import PodReading

SHORTEST_SECONDS: Final = 0.2
"""Least time between two calls for one BatchedLLM: a burst on a hundred pods is one burst."""
NOTICEABLE_FRACTION: Final = 0.1
"""Rise of the queue that is worth a look before the interval is over."""
NOTICEABLE_GPU_PERCENT: Final = 10.0
SETTLING_SECONDS: Final = 10.0
"""How long calls go on after the last sign of load: until no window shows any of it."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last readings of a BatchedLLM's pods in a few numbers, to tell whether they changed."""

    queue_depth: float
    running: float
    gpu_utilization_percent: float
    contract: frozenset[tuple[str, tuple[str, ...], bool]]
    """Pods, what they do not report, and whether they cannot use their admission files."""

    @classmethod
    def of(cls, readings: Sequence[PodReading]) -> "Pulse":
        """Sum up the last readings. Unknown values are left out: `contract` changes when one becomes so."""
        gpu = [value for reading in readings if (value := reading.gpu_utilization_percent) is not None]
        return cls(
            sum(reading.queue_depth or 0.0 for reading in readings),
            sum(reading.running or 0.0 for reading in readings),
            sum(gpu) / len(gpu) if gpu else 0.0,
            frozenset((reading.pod, reading.missing, reading.is_misconfigured) for reading in readings),
        )

    def is_urgent_after(self, before: "Pulse | None") -> bool:
        """Whether this should not wait: more is queued, load comes or goes, a pod begins or ceases to tell a value."""
        return (
            before is None
            or self.contract != before.contract
            or self.queue_depth > before.queue_depth * (1 + NOTICEABLE_FRACTION)
            or (self.queue_depth == 0) != (before.queue_depth == 0)
            or (self.running == 0) != (before.running == 0)
        )

    def differs_from(self, before: "Pulse") -> bool:
        """Whether there is anything new, to be looked at with the next interval."""
        return (
            abs(self.gpu_utilization_percent - before.gpu_utilization_percent) >= NOTICEABLE_GPU_PERCENT
            or self.queue_depth != before.queue_depth
            or self.running != before.running
        )


class Waker:
    """Calls `on_change(key)`, at once or within an interval, never more often than every `SHORTEST_SECONDS`."""

    def __init__(self, on_change: Callable[[str], None], interval_seconds: float, clock: Callable[[], float]) -> None:
        """Call `on_change` on the running event loop."""
        self._on_change = on_change
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._last: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def wake_soon(self, key: str) -> None:
        """Call now, or as soon as the last call is long enough ago."""
        if key in self._timers:
            return
        wait_seconds = self._last.get(key, float("-inf")) + SHORTEST_SECONDS - self._clock()
        if wait_seconds <= 0:
            self._wake(key)
        else:
            self._timers[key] = asyncio.get_running_loop().call_later(wait_seconds, self._wake, key)

    def wake_in_time(self, key: str) -> bool:
        """Call if the last call was an interval ago, and tell whether it was."""
        due = self._clock() - self._last.get(key, float("-inf")) >= self._interval_seconds
        if due:
            self.wake_soon(key)
        return due

    def forget(self, key: str) -> None:
        """Call no more for this key."""
        self._last.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _wake(self, key: str) -> None:
        self._timers.pop(key, None)
        self._last[key] = self._clock()
        self._on_change(key)


def is_active(before: PodReading | None, after: PodReading) -> bool:
    """Whether a pod has requests, or had some since its last reading (they may come and go between two scrapes)."""
    if after.queue_depth or after.running:
        return True
    return before is not None and (
        before.prompt_tokens_total != after.prompt_tokens_total
        or before.generation_tokens_total != after.generation_tokens_total
    )
