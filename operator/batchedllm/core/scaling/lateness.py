"""How many requests came too late, and by how much, read from two states of a latency histogram."""

from bisect import bisect_right
from math import inf
from operator import sub
from typing import NamedTuple

from batchedllm.core.readings import LatencyHistogram


class Late(NamedTuple):
    """Some requests that were not in time."""

    requests: float
    waited_seconds: float
    """How long they took, about."""


def grown(before: LatencyHistogram, after: LatencyHistogram) -> tuple[float, ...]:
    """Return what came into each bucket. Counts that fell, or other buckets, are those of an engine that restarted."""
    if before.counts is after.counts or before.counts == after.counts:
        return ()
    if before.bounds_seconds != after.bounds_seconds:
        return after.counts
    growth = tuple(map(sub, after.counts, before.counts))
    return after.counts if min(growth) < 0 else growth


def late(bounds_seconds: tuple[float, ...], counts: tuple[float, ...], allowed_seconds: float) -> tuple[Late, ...]:
    """Return those above what is allowed. Within a bucket values are taken to be spread evenly."""
    first = bisect_right(bounds_seconds, allowed_seconds)
    if not any(counts[first:]):
        return ()
    bounds = (0.0, *bounds_seconds, inf)
    buckets = zip(bounds[first:], bounds[first + 1 :], counts[first:], strict=False)
    return tuple([_above(lower, bound, count, allowed_seconds) for lower, bound, count in buckets if count > 0])


def _above(lower: float, bound: float, count: float, allowed_seconds: float) -> Late:
    if bound == inf:
        return Late(count, max(lower, allowed_seconds))
    if lower >= allowed_seconds:
        return Late(count, (lower + bound) / 2)
    return Late(count * (bound - allowed_seconds) / (bound - lower), (allowed_seconds + bound) / 2)
