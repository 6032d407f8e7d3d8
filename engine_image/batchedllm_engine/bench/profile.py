"""The profile: the document that a benchmark ends with. Pure.

It is what `batchedllm simulate --gpu-profile FILE` reads, and, shortened, what the operator keeps in `status.profile`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from batchedllm_engine.bench.failures import VERSION
from batchedllm_engine.bench.figures import Figures, rounded
from batchedllm_engine.bench.knee import Knee, Point

LARGEST_BYTES: Final = 4096
"""The kubelet keeps this much of a termination message (MaxContainerTerminationMessageLength)."""


@dataclass(frozen=True, slots=True)
class BatchPoint:
    """One batch size, as a client saw it and, where the engine's metrics tell, as the engine did."""

    batch: int
    figures: Figures
    step_batch: float | None = None
    step_seconds: float | None = None
    """Of steps that only decoded."""

    @property
    def point(self) -> Point:
        """What the knee is found by."""
        waits = self.figures.per_token
        return Point(self.batch, self.figures.output_tokens_per_second, waits.mean, waits.p95)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        told = (
            {}
            if self.step_seconds is None
            else {
                "stepSeconds": rounded(self.step_seconds),
                "stepBatch": rounded(self.step_batch or self.batch),
            }
        )
        return {"batch": self.batch, **self.figures.to_json(), **told}


@dataclass(frozen=True, slots=True)
class PrefillPoint:
    """A prompt that was alone in the engine: when its answer's first token came, and how long reading it took."""

    tokens: int
    first_token_seconds: float
    """At the client, with all that lies between."""
    step_seconds: float | None = None
    """By the engine's own clock; None where it does not tell."""

    @property
    def seconds(self) -> float:
        """What is known best."""
        return self.first_token_seconds if self.step_seconds is None else self.step_seconds

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        told = {} if self.step_seconds is None else {"stepSeconds": rounded(self.step_seconds)}
        return {"tokens": self.tokens, "seconds": rounded(self.first_token_seconds), **told}


def typical(tries: Sequence[PrefillPoint]) -> PrefillPoint:
    """Return one point for all tries of a prompt, at least one: the median by either clock, which a stall moves not."""
    read = [one.step_seconds for one in tries if one.step_seconds is not None]
    waited = median([one.first_token_seconds for one in tries])
    return PrefillPoint(tries[0].tokens, waited, median(read) if read else None)


@dataclass(slots=True)
class Profile:
    """What was measured so far."""

    at: str
    gpu: str
    gpus: int
    model: str
    engine_version: str
    measured_by: str
    prompt_tokens: int
    output_tokens: int
    kv_cache_tokens: int | None
    curve: list[BatchPoint] = field(default_factory=list)
    prefill: list[PrefillPoint] = field(default_factory=list)
    knee: Knee | None = None
    limit_seconds: float | None = None
    sweet_spot: int | None = None
    streams: list[dict[str, Any]] = field(default_factory=list)
    static: dict[str, Any] | None = None
    left_out: list[str] = field(default_factory=list)
    """What was not measured, and why."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the whole document; what was not measured is missing, not 0."""
        return {
            "version": VERSION,
            "at": self.at,
            "gpu": self.gpu,
            "gpus": self.gpus,
            "model": self.model,
            "engineVersion": self.engine_version,
            "measuredBy": self.measured_by,
            "seconds": round(self.seconds, 1),
            "promptTokens": self.prompt_tokens,
            "outputTokens": self.output_tokens,
            **({} if self.kv_cache_tokens is None else {"kvCacheTokens": self.kv_cache_tokens}),
            "knots": [[tokens, rounded(seconds)] for tokens, seconds in knots(self.curve, self.prefill)],
            **self._verdict(),
            "curve": [one.to_json() for one in self.curve],
            "prefill": [one.to_json() for one in self.prefill],
            "streams": self.streams,
            **({} if self.static is None else {"static": self.static}),
            "leftOut": self.left_out,
        }

    def short(self) -> bytes:
        """Return what fits into a termination message: the curve in numbers that a status can hold."""
        document: dict[str, Any] = {
            "version": VERSION,
            "gpu": self.gpu,
            "engineVersion": self.engine_version,
            "promptTokens": self.prompt_tokens,
            "outputTokens": self.output_tokens,
            **({} if self.kv_cache_tokens is None else {"kvCacheTokens": self.kv_cache_tokens}),
            "knots": [[tokens, rounded(seconds)] for tokens, seconds in knots(self.curve, self.prefill)],
            **self._verdict(),
            "curve": [_short(one) for one in self.curve],
            "prefill": [[one.tokens, rounded(one.seconds)] for one in self.prefill],
            **(
                {}
                if self.static is None
                else {"static": {"batch": self.static["batch"], "ratio": self.static["ratio"]}}
            ),
            "leftOut": [one[:100] for one in self.left_out[:3]],
        }
        while len(encoded := compact(document)) > LARGEST_BYTES and len(document["curve"]) > 1:
            document["curve"] = document["curve"][1:]
            document["knots"] = document["knots"][1:]
        return encoded

    def _verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.knee is not None:
            found["knee"] = {"batch": self.knee.batch, "isReached": self.knee.is_reached}
        if self.limit_seconds is not None:
            spot = {} if self.sweet_spot is None else {"batch": self.sweet_spot}
            found["sweetSpot"] = {"interTokenLimitSeconds": self.limit_seconds, **spot}
        return found


def knots(curve: Sequence[BatchPoint], prefill: Sequence[PrefillPoint]) -> list[tuple[int, float]]:
    """Return (tokens in a step, seconds), ascending: steps that decode, then those that read a prompt.

    Both are taken from the engine's own clock where it tells. Else a decoding step is the median wait between two
    tokens, and a prompt's step the wait for the first one, with the way of the request and its answer in it.
    Reading keys and values of the contexts, and sampling, are in it as they were at the lengths that were measured.
    """
    decode = {round(one.step_batch or one.batch): one.step_seconds or _decode_seconds(one.figures) for one in curve}
    steps = sorted((tokens, seconds) for tokens, seconds in decode.items() if seconds > 0)
    largest = steps[-1][0] if steps else 0
    return [*steps, *sorted((one.tokens, one.seconds) for one in prefill if one.tokens > largest and one.seconds > 0)]


def _decode_seconds(figures: Figures) -> float:
    """Return the median wait, which steps that also read prompts do not move; the mean where tokens come in pieces."""
    return figures.inter_token.median or figures.per_token.mean


def compact(document: Mapping[str, Any]) -> bytes:
    """Return JSON without blanks."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _short(one: BatchPoint) -> dict[str, Any]:
    waits, first = one.figures.per_token, one.figures.time_to_first_token
    told = {} if one.step_seconds is None else {"stepSeconds": rounded(one.step_seconds)}
    return {
        "batch": one.batch,
        "outputTokensPerSecond": rounded(one.figures.output_tokens_per_second),
        "tokensPerSecond": rounded(one.figures.tokens_per_second),
        "interTokenSeconds": rounded(waits.mean),
        "interTokenP95Seconds": rounded(waits.p95),
        "timeToFirstTokenP95Seconds": rounded(first.p95),
        **told,
    }
