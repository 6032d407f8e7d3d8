"""Which batch size to serve with: the knee of the batch curve, and the largest batch within a latency limit. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """The engine at one batch size."""

    batch: int
    """Requests that were kept running at once."""
    tokens_per_second: float
    """Of answers."""
    inter_token_seconds: float
    """Mean time between two tokens of one answer."""
    slow_inter_token_seconds: float
    """95th percentile of that of the requests."""


@dataclass(frozen=True, slots=True)
class Knee:
    """A batch size, and why it is the knee."""

    batch: int
    is_reached: bool
    """False: throughput grew faster than latency up to the largest batch that was measured."""


def knee(curve: Sequence[Point]) -> Knee:
    """Return the batch after which throughput grows by a smaller factor than latency.

    That is where throughput divided by latency, the power of a queueing system (Kleinrock, 1979), is highest; over the
    whole curve, so that a measurement that is off at a small batch does not make a knee. The batch sizes ascend.
    Raises ValueError without any.
    """
    if not curve:
        raise ValueError("a knee needs a curve of one point or more")
    best = max(curve, key=_power)
    return Knee(best.batch, is_reached=best is not curve[-1])


def _power(point: Point) -> float:
    return point.tokens_per_second / max(point.inter_token_seconds, 1e-9)


def sweet_spot(curve: Sequence[Point], limit_seconds: float) -> int | None:
    """Return the largest batch up to which 95 % of requests get their tokens within the limit; None for none."""
    within = None
    for point in curve:
        if point.slow_inter_token_seconds > limit_seconds:
            break
        within = point.batch
    return within
