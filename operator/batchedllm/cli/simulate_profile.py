"""`--gpu-profile`: step times and KV cache of the simulated replica, built in or the user's own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from batchedllm.cli.documents import DocumentError, text_of
from batchedllm.sim.memory import KV_BYTES_PER_TOKEN, MODEL_MAX_LENGTH_TOKENS, available_kv_bytes
from batchedllm.sim.step_times import H100_LOAD, H100_STEP_TIMES, H200_LOAD, H200_STEP_TIMES, GpuLoad, StepTimes

BLOCK_SIZE: Final = 16
VERSION: Final = 1
"""Of a profile as a benchmark writes it; one by hand may leave it out."""

_FORM: Final = (
    'an object such as {"gpu": "L40S", "knots": [[1, 0.02], [256, 0.03], [8192, 0.6]], "secondsPerSequence": 1e-5, '
    '"secondsPerContextToken": 1e-7, "secondsPerAttentionPair": 1e-9, "kvCacheTokens": 200000}'
)


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """One replica's hardware and model."""

    name: str
    times: StepTimes
    load: GpuLoad
    kv_cache_tokens: int | None = None
    """None: by the GPU's memory and the engine's share of it."""
    longest_tokens: int = MODEL_MAX_LENGTH_TOKENS

    def kv_blocks(self, utilization: float, max_num_batched_tokens: int) -> int:
        """Return the blocks of the KV cache."""
        if self.kv_cache_tokens is not None:
            return self.kv_cache_tokens // BLOCK_SIZE
        available = available_kv_bytes(self.times.gpu, utilization, max_num_batched_tokens)
        return max(0, available // (KV_BYTES_PER_TOKEN * BLOCK_SIZE))


PROFILES: Final[Mapping[str, GpuProfile]] = {
    "h200-llama-8b": GpuProfile("h200-llama-8b", H200_STEP_TIMES, H200_LOAD),
    "h100-llama-8b": GpuProfile("h100-llama-8b", H100_STEP_TIMES, H100_LOAD),
}


def profile_of(name: str) -> GpuProfile:
    """Return a built-in profile, or the one of a file. Raises DocumentError."""
    if name in PROFILES:
        return PROFILES[name]
    try:
        return _read(json.loads(text_of(name)), name)
    except DocumentError as error:
        names = ", ".join(PROFILES)
        raise DocumentError(f"--gpu-profile is {name}, expected one of {names}, or a file: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DocumentError(f"--gpu-profile {name}: is not understood ({error}), expected {_FORM}") from error


def _read(found: dict[str, Any], name: str) -> GpuProfile:
    if found.get("version", VERSION) != VERSION:
        raise ValueError(f"version is {found['version']!r}, this program reads {VERSION}")
    knots = tuple((int(tokens), float(seconds)) for tokens, seconds in found["knots"])
    ascending = all(left < right for (left, _), (right, _) in pairwise(knots))
    if len(knots) < 2 or not ascending or knots[0][0] < 1 or min(seconds for _, seconds in knots) <= 0:  # noqa: PLR2004
        raise ValueError("knots must be two or more of ascending tokens and seconds above 0")
    parts = [float(found.get(f"secondsPer{part}", 0.0)) for part in ("Sequence", "ContextToken", "AttentionPair")]
    if min(parts) < 0 or int(found["kvCacheTokens"]) < BLOCK_SIZE:
        raise ValueError("seconds must be 0 or more, and kvCacheTokens a number of tokens")
    times = StepTimes(str(found.get("gpu", name)), knots, *parts)
    cache = int(found["kvCacheTokens"])
    return replace(PROFILES["h200-llama-8b"], name=name, times=times, kv_cache_tokens=cache)
