"""How many requests came too late, and by how much, read from two states of a latency histogram."""

from bisect import bisect_right
from math import inf
from typing import NamedTuple

from batchedllm.core.readings import LatencyHistogram

Counts = tuple[float, ...]


class Late(NamedTuple):
    """Some requests that were not in time."""

    requests: float
    waited_seconds: float
    """How long they took, about."""


def came(
    before: LatencyHistogram | None, after: LatencyHistogram | None, allowed_seconds: float
) -> tuple[float, tuple[Late, ...]]:
    """Return how many values came, and those of them that are above what is allowed.

    Within a bucket values are taken to be spread evenly. Counts that fell, or other bounds, are those of an engine that
    restarted. Where one state is not told, nothing came.
    """
    if before is None or after is None or before.below == after.below:
        return 0.0, ()
    bounds, new, nothing = after.bounds_seconds, after.below, (0.0,) * len(after.below)
    old = before.below if before.bounds_seconds == bounds else nothing
    first = bisect_right(bounds, allowed_seconds)
    total, in_time = _growth(old, new, first)
    if not 0 <= in_time <= total:
        old, (total, in_time) = nothing, _growth(nothing, new, first)
    if total == in_time:
        return total, ()
    late, lower, under = [], bounds[first - 1] if first else 0.0, in_time
    for bound, was, now in zip((*bounds[first:], inf), old[first:], new[first:], strict=True):
        count = now - was
        if count > under:
            late.append(_above(lower, bound, count - under, allowed_seconds))
        lower, under = bound, count
    return total, tuple(late)


def later_than(before: LatencyHistogram | None, after: LatencyHistogram | None, seconds: float) -> float:
    """Return how many values came that are above this, those in the bucket that holds it included.

    Of an engine that restarted no more are counted than it had since then.
    """
    if before is None or after is None:
        return 0.0
    first = bisect_right(after.bounds_seconds, seconds)
    was = _above_bucket(before.below, first) if before.bounds_seconds == after.bounds_seconds else 0.0
    now = _above_bucket(after.below, first)
    return now - was if now >= was else now


def _above_bucket(below: Counts, first: int) -> float:
    return below[-1] - below[first - 1] if first else below[-1]


def _growth(old: Counts, new: Counts, first: int) -> tuple[float, float]:
    """Return how many values came in all, and in the buckets before the first that holds late ones."""
    return new[-1] - old[-1], new[first - 1] - old[first - 1] if first else 0.0


def _above(lower: float, bound: float, count: float, allowed_seconds: float) -> Late:
    if bound == inf:
        return Late(count, max(lower, allowed_seconds))
    if lower >= allowed_seconds:
        return Late(count, (lower + bound) / 2)
    return Late(count * (bound - allowed_seconds) / (bound - lower), (allowed_seconds + bound) / 2)
