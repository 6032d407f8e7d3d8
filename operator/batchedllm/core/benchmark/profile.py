"""What a benchmark found: the engine by batch size, and how fast a full replica is by it. Pure.

Read from the termination message of the benchmark's pod (engine_image/batchedllm_engine/bench/profile.py writes it).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = 1

_MOST: Final = 1e9
"""No number of a profile is larger."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The engine with so many requests running at once."""

    batch: int
    output_tokens_per_second: float
    tokens_per_second: float
    """Prompt and output together."""
    seconds_per_token: float
    """Mean time between two tokens of one answer."""
    slow_seconds_per_token: float
    """95th percentile of it."""
    slow_ttft_seconds: float
    step_seconds: float | None = None
    """Of steps that only decoded, by the engine's own clock; None where it does not tell."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One benchmark."""

    at: str
    asked_by: str
    """Value of the annotation that asked for it; empty: the spec."""
    image: str
    gpu: str
    engine_version: str
    prompt_tokens: int
    output_tokens: int
    kv_cache_tokens: int | None
    curve: tuple[CurvePoint, ...]
    prefill_seconds_per_token: float | None
    knee: int
    is_knee_reached: bool
    sweet_spot: int | None
    """Largest batch within the latency limit; None where even one request is slower, or no limit was given."""

    @property
    def fastest_batch(self) -> int:
        """The batch with the most tokens a second."""
        return max(self.curve, key=lambda point: point.output_tokens_per_second).batch

    def tokens_per_second(self, prompt_tokens: float, output_tokens: float, most_at_once: int | None) -> float:
        """Return how fast a full replica is with requests of these lengths, prompt and output together.

        At batch b a request takes its share of a step for each token of its answer, and its prompt is read alone:
        `output x step(b) / b + prompt x seconds a token`. The best batch counts, of those that `most_at_once` (None:
        any) and the KV cache allow. Contexts are taken to be as long as those of the benchmark.
        """
        reads = 0.0 if self.prefill_seconds_per_token is None else prompt_tokens * self.prefill_seconds_per_token
        held = self._held_at_once(prompt_tokens + output_tokens / 2, most_at_once)
        allowed = [point for point in self.curve if point.batch <= held] or list(self.curve[:1])
        steps = ((point.step_seconds or point.seconds_per_token) / point.batch for point in allowed)
        return (prompt_tokens + output_tokens) / (output_tokens * min(steps) + reads)

    def _held_at_once(self, tokens: float, most_at_once: int | None) -> float:
        limits = [float("inf") if most_at_once is None else float(most_at_once)]
        if self.kv_cache_tokens is not None and tokens > 0:
            limits.append(self.kv_cache_tokens / tokens)
        return max(1.0, min(limits))


def read_profile(document: Mapping[str, Any], *, at: str, asked_by: str, image: str) -> Profile:
    """Return the profile of a termination message. Raises ValueError where it is none that an engine can have."""
    try:
        knee, spot = document["knee"], document.get("sweetSpot") or {}
        curve = tuple(sorted((_point(one) for one in document["curve"]), key=lambda point: point.batch))
        if document["version"] != VERSION or not curve:
            raise ValueError(f"version {document['version']} with {len(curve)} batch sizes")
        cache = document.get("kvCacheTokens")
        return Profile(
            at=at,
            asked_by=asked_by,
            image=image,
            gpu=str(document.get("gpu", ""))[:100],
            engine_version=str(document.get("engineVersion", ""))[:100],
            prompt_tokens=_count(document["promptTokens"]),
            output_tokens=_count(document["outputTokens"]),
            kv_cache_tokens=None if cache is None else _count(cache),
            curve=curve,
            prefill_seconds_per_token=_prefill(document.get("prefill") or ()),
            knee=_count(knee["batch"]),
            is_knee_reached=bool(knee["isReached"]),
            sweet_spot=_count(spot["batch"]) if "batch" in spot else None,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no profile: {type(error).__name__} {error}") from error


def _point(found: Mapping[str, Any]) -> CurvePoint:
    step = found.get("stepSeconds")
    return CurvePoint(
        batch=_count(found["batch"]),
        output_tokens_per_second=_positive(found["outputTokensPerSecond"]),
        tokens_per_second=_positive(found["tokensPerSecond"]),
        seconds_per_token=_positive(found["interTokenSeconds"]),
        slow_seconds_per_token=_positive(found["interTokenP95Seconds"]),
        slow_ttft_seconds=_positive(found["timeToFirstTokenP95Seconds"]),
        step_seconds=None if step is None else _positive(step),
    )


def _prefill(found: Any) -> float | None:  # noqa: ANN401 - pairs of tokens and seconds
    """Return the seconds a prompt's token takes: by the longest prompt, where what is constant counts the least."""
    pairs = sorted((_count(tokens), _positive(seconds)) for tokens, seconds in found)
    return pairs[-1][1] / pairs[-1][0] if pairs else None


def _count(value: Any) -> int:  # noqa: ANN401 - anything that JSON holds
    return int(_positive(value))


def _positive(value: Any) -> float:  # noqa: ANN401 - anything that JSON holds
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST:
        raise ValueError(f"{value!r}, expected a number above 0")
    return float(value)
