"""The burst: a slice of a real trace, played at a speed that changes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from batchedllm.sim.workload import TraceRequest, read_azure_trace
from demo.trace import SLICE


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the run: so many seconds in which the trace is played so many times as fast as it was recorded."""

    seconds: float
    speed: float


def duration_seconds(phases: Iterable[Phase]) -> float:
    """Return how long all phases take."""
    return sum(phase.seconds for phase in phases)


def recorded() -> list[TraceRequest]:
    """Return the demo's slice: conversations, on average 7.8 a second with 1,419 tokens in and 130 out."""
    return read_azure_trace(SLICE.read_text(encoding="utf-8").splitlines())


def played(requests: list[TraceRequest], phases: Iterable[Phase]) -> list[TraceRequest]:
    """Return the requests at the times at which they come; where the trace ends it begins anew."""
    found: list[TraceRequest] = []
    coming = _repeated(requests)
    request = next(coming)
    began_seconds, played_seconds = 0.0, 0.0
    for phase in phases:
        end = played_seconds + phase.seconds * phase.speed
        while request.offset_seconds < end:
            at = began_seconds + (request.offset_seconds - played_seconds) / phase.speed
            found.append(replace(request, offset_seconds=at))
            request = next(coming)
        began_seconds, played_seconds = began_seconds + phase.seconds, end
    return found


def _repeated(requests: list[TraceRequest]) -> Iterator[TraceRequest]:
    pause = requests[-1].offset_seconds / len(requests)
    for turn in count():
        for request in requests:
            yield replace(request, offset_seconds=request.offset_seconds + turn * (requests[-1].offset_seconds + pause))


def as_csv(requests: Iterable[TraceRequest]) -> str:
    """Return the requests as `batchedllm simulate --trace` reads them."""
    rows = (f"{one.offset_seconds:.6f},{one.prompt_tokens},{one.output_tokens}" for one in requests)
    return "\n".join(("t_s,input_tokens,output_tokens", *rows, ""))
