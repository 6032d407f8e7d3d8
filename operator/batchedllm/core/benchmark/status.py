"""`status.profile`: what a benchmark found, in whole numbers."""

from typing import Any

from batchedllm.core.benchmark.profile import CurvePoint, Profile


def profile_status(profile: Profile) -> dict[str, Any]:
    """Return it; what was not measured is left out."""
    found: dict[str, Any] = {
        "at": profile.at,
        "askedBy": profile.asked_by,
        "image": profile.image,
        "gpu": profile.gpu,
        "engineVersion": profile.engine_version,
        "promptTokens": profile.prompt_tokens,
        "outputTokens": profile.output_tokens,
        "kvCacheTokens": profile.kv_cache_tokens,
        "knee": profile.knee,
        "kneeReached": profile.is_knee_reached,
        "sweetSpot": profile.sweet_spot,
        "curve": [_point(one) for one in profile.curve],
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def _point(point: CurvePoint) -> dict[str, int]:
    return {
        "batch": point.batch,
        "outputTokensPerSecond": round(point.output_tokens_per_second),
        "tokensPerSecond": round(point.tokens_per_second),
        "interTokenMicroseconds": round(point.seconds_per_token * 1e6),
        "interTokenP95Microseconds": round(point.slow_seconds_per_token * 1e6),
        "timeToFirstTokenP95Milliseconds": round(point.slow_ttft_seconds * 1e3),
    }
