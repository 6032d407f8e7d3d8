"""What was needed over the past window: the most of it, the least of it, and since when that is known.

Needs hold until the next one is recorded. Of the past only those are kept that can still be a maximum (or minimum) of
some window, so the memory is bounded by the number of different needs, whatever the rate of decisions.
"""

from collections.abc import Callable, Sequence
from operator import ge, le

from batchedllm.core.record import changed
from batchedllm.core.scaling.types import Memory

History = tuple[tuple[float, int], ...]


def record(memory: Memory, now_seconds: float, low: int, high: int, horizon_seconds: float) -> Memory:
    """Remember that between `low` and `high` replicas are needed now; forget what is older than the horizon.

    They differ when the need is not known for certain: the low one counts for scale-up, the high one for scale-down.
    """
    oldest = now_seconds - horizon_seconds
    since = memory.observed_since_seconds
    return changed(
        memory,
        needs=_push(memory.needs, now_seconds, high, oldest, ge),
        low_needs=_push(memory.low_needs, now_seconds, low, oldest, le),
        observed_since_seconds=now_seconds if since is None else max(since, oldest),
    )


def most(memory: Memory, now_seconds: float, window_seconds: float) -> int:
    """The largest need within the window: the window's `needs` are in falling order."""
    return _within(memory.needs, now_seconds, window_seconds)[0][1]


def least(memory: Memory, now_seconds: float, window_seconds: float) -> int:
    """The smallest need within the window: the window's `low_needs` are in rising order."""
    return _within(memory.low_needs, now_seconds, window_seconds)[0][1]


def is_covered(memory: Memory, now_seconds: float, window_seconds: float) -> bool:
    """Whether the needs of the whole window are known."""
    since = memory.observed_since_seconds
    return since is not None and since <= now_seconds - window_seconds


def changes_in_seconds(memory: Memory, history: History, now_seconds: float, window_seconds: float) -> float:
    """Seconds until the extreme of the window changes if nothing new is recorded, or the window becomes covered."""
    since = memory.observed_since_seconds
    begins = max(_within(history, now_seconds, window_seconds)[0][0], now_seconds if since is None else since)
    return begins + window_seconds - now_seconds


def _within(history: History, now_seconds: float, window_seconds: float) -> Sequence[tuple[float, int]]:
    recent = [entry for entry in history if entry[0] > now_seconds - window_seconds]
    return recent or history[-1:]


def _push(
    history: History, now_seconds: float, need: int, oldest: float, dominates: Callable[[int, int], bool]
) -> History:
    entries = [entry for entry in history if entry[0] > oldest]
    last = history[-1][1] if history else need
    for value in (last, need):
        while entries and dominates(value, entries[-1][1]):
            entries.pop()
        entries.append((now_seconds, value))
    return tuple(entries)
