"""The requests of the burst: a slice of a real trace, made denser."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

SLICE = Path(__file__).parent / "data/azure_conversation_slice.csv"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of the trace."""

    at_seconds: float
    """Since the burst's start."""
    prompt_tokens: int
    output_tokens: int


def read(lines: Iterable[str]) -> list[Arrival]:
    """Requests of an Azure trace (CSV with a header: time, prompt tokens, generated tokens), from second 0 on."""
    rows = [line.strip().split(",") for line in lines if line.strip()][1:]
    times = [datetime.fromisoformat(row[0][:26]) for row in rows]
    return [
        Arrival((time - times[0]).total_seconds(), int(row[1]), int(row[2]))
        for time, row in zip(times, rows, strict=True)
    ]


_SHORTEST_SECONDS = 1.0


def densify(arrivals: list[Arrival], factor: float, duration_seconds: float) -> list[Arrival]:
    """The first `duration_seconds` of the trace played `factor` times faster."""
    squeezed = (Arrival(one.at_seconds / factor, one.prompt_tokens, one.output_tokens) for one in arrivals)
    return [one for one in squeezed if one.at_seconds < duration_seconds]


def as_dense_as(arrivals: list[Arrival], tokens_per_second: float, duration_seconds: float) -> list[Arrival]:
    """The trace played as fast as asks for that many output tokens per second, for less time where it is too short."""
    density = 0.25
    while True:
        played = densify(arrivals, density, duration_seconds)
        lasts = min(duration_seconds, arrivals[-1].at_seconds / density)
        if sum(one.output_tokens for one in played) >= tokens_per_second * lasts or lasts < _SHORTEST_SECONDS:
            return played
        density += 0.25
