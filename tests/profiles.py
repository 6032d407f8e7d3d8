"""What a benchmark ends with: a document as its pod writes it, of an engine like Llama-3.1-8B on an H200."""

from typing import Any


def point(batch: int, step_seconds: float, **differs: Any) -> dict[str, Any]:
    """One batch size, with answers of 128 tokens to prompts of 256."""
    output = batch / step_seconds
    return {
        "batch": batch,
        "outputTokensPerSecond": output,
        "tokensPerSecond": 3 * output,
        "interTokenSeconds": 1.2 * step_seconds,
        "interTokenP95Seconds": 1.5 * step_seconds,
        "timeToFirstTokenP95Seconds": 0.2,
        "stepSeconds": step_seconds,
        **differs,
    }


def document(**differs: Any) -> dict[str, Any]:
    """A whole profile; `differs` replaces fields."""
    return {
        "version": 1,
        "gpu": "NVIDIA H200",
        "engineVersion": "0.32.0",
        "promptTokens": 256,
        "outputTokens": 128,
        "kvCacheTokens": 900_000,
        "knots": [[1, 0.005], [64, 0.0055], [256, 0.0095], [2048, 0.046]],
        "knee": {"batch": 128, "isReached": True},
        "sweetSpot": {"interTokenLimitSeconds": 0.2, "batch": 256},
        "curve": [point(1, 0.005), point(64, 0.0055), point(128, 0.0065), point(256, 0.0095)],
        "prefill": [[512, 0.02], [2048, 0.046]],
        **differs,
    }
