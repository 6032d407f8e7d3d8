"""The same traffic, but more of it or faster; and without what no engine could ever take."""

from collections import Counter
from dataclasses import replace
from typing import Final

from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.randomness import Randomness
from batchedllm.sim.traces.trace import MOST_REQUESTS, Trace, TraceError
from batchedllm.sim.workload import TraceRequest

COPY_JITTER_SECONDS: Final = 1.0
"""Copies of a request come within this time after it: bursts stay bursts, and no two requests are one."""


def at_rate_scale(trace: Trace, factor: float, randomness: Randomness, *, most_requests: int = MOST_REQUESTS) -> Trace:
    """Return the trace with `factor` times as many requests in the same time: the rate grows, its shape stays.

    Each request comes `factor` times, the fraction by chance. With 1 it is left exactly as it was.
    """
    if not 0 < factor < float("inf"):
        raise TraceError(f"rate scale is {factor:g}, expected a number above 0")
    if len(trace.requests) * factor > most_requests:
        raise TraceError(
            f"{trace.name} has {len(trace.requests):,} requests, {factor:g} times as many are more than "
            f"{most_requests:,}: expected a smaller rate scale or a shorter trace"
        )
    if factor == 1:
        return trace
    whole, fraction = int(factor), factor - int(factor)
    copies: list[TraceRequest] = []
    for request in trace.requests:
        for _ in range(whole + (randomness.unit() < fraction)):
            at = request.offset_seconds + COPY_JITTER_SECONDS * randomness.unit()
            copies.append(replace(request, offset_seconds=at))
    if not copies:
        raise TraceError(f"rate scale is {factor:g}, which leaves no request of {trace.name}: expected a larger one")
    return replace(trace, requests=tuple(sorted(copies, key=lambda request: request.offset_seconds)))


def at_speed(trace: Trace, factor: float) -> Trace:
    """Return the same requests played so many times as fast: the whole trace takes less time."""
    if not 0 < factor < float("inf"):
        raise TraceError(f"speed is {factor:g}, expected a number above 0")
    if factor == 1:
        return trace
    faster = (replace(request, offset_seconds=request.offset_seconds / factor) for request in trace.requests)
    return replace(trace, requests=tuple(faster))


def what_fits(trace: Trace, engine: EngineSettings) -> Trace:
    """Return the trace without requests that no replica can ever take, counted. Raises TraceError if none is left."""
    longest = min(engine.max_model_len, engine.usable_blocks * engine.block_size)
    kept = tuple(one for one in trace.requests if one.prompt_tokens + one.output_tokens <= longest)
    if not kept:
        raise TraceError(f"no request of {trace.name} fits into {longest:,} tokens: expected a longer maxModelLen")
    why = f"longer than the {longest:,} tokens that one request may have"
    return replace(trace, requests=kept, skipped=trace.with_skipped(why, len(trace.requests) - len(kept)))


def cut_to(trace: Trace, seconds: float) -> Trace:
    """Return what comes within so many seconds of the trace's start."""
    return replace(trace, requests=tuple(one for one in trace.requests if one.offset_seconds <= seconds))


def halves(trace: Trace) -> tuple[Trace, Trace]:
    """Return what comes in the first half of the trace's time, and the rest with times from the middle on."""
    middle = trace.duration_seconds / 2
    first = cut_to(trace, middle)
    rest = (replace(one, offset_seconds=one.offset_seconds - middle) for one in trace.requests[len(first.requests) :])
    return first, replace(trace, requests=tuple(rest))


def per_second(trace: Trace) -> Counter[int]:
    """Return the arrivals of each second."""
    return Counter(int(request.offset_seconds) for request in trace.requests)
