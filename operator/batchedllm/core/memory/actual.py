"""What an engine reported of its memory once it ran, or when it failed: from its metric's labels and its log.

Messages: v1/worker/gpu_worker.py, v1/core/kv_cache_utils.py and worker/gpu/model_runner.py of vLLM 0.26 and 0.32.
What an out-of-memory error means is said in `core/crash_log.py`; here are its numbers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from batchedllm.core.memory.units import GIB, Blocks, Bytes, Tokens


@dataclass(frozen=True, slots=True)
class Actual:
    """An engine's own account; None is what it did not say. Sizes from a log are rounded to 0.01 GiB."""

    total: Bytes | None = None
    free: Bytes | None = None
    """Of `total`, when the engine started."""
    requested: Bytes | None = None
    weights: Bytes | None = None
    activation: Bytes | None = None
    non_torch: Bytes | None = None
    consumed: Bytes | None = None
    """Weights, persistent buffers and non-torch memory in one, as newer versions say it."""
    cuda_graphs: Bytes | None = None
    cuda_graphs_estimate: Bytes | None = None
    kv_cache: Bytes | None = None
    """What was left for the KV cache."""
    kv_needed: Bytes | None = None
    """What one request would have needed, when that was too much."""
    kv_tokens: Tokens | None = None
    blocks: Blocks | None = None
    block_size: Tokens | None = None
    max_model_len: Tokens | None = None
    """The length that the engine runs with, or estimated to fit."""
    concurrency: float | None = None
    utilization: float | None = None


_NUMBER = r"(-?[\d,]+(?:\.\d+)?)"
_LINES: Final = (
    (rf"Free memory on device (?:\S+ )?\({_NUMBER}/{_NUMBER} GiB\)", ("free", "total")),
    (rf"Desired GPU memory utilization is \({_NUMBER}, {_NUMBER} GiB\)", ("utilization", "requested")),
    (rf"Model loading took {_NUMBER} GiB", ("weights",)),
    (rf"Actual usage is {_NUMBER} GiB for weight", ("weights",)),
    (rf"Actual usage is {_NUMBER} GiB for consumed memory", ("consumed",)),
    (rf"{_NUMBER} GiB for peak activation", ("activation",)),
    (rf"{_NUMBER} GiB for non-torch memory", ("non_torch",)),
    (rf"Estimated CUDA graph memory: {_NUMBER} GiB", ("cuda_graphs_estimate",)),
    (rf"Graph capturing finished in {_NUMBER} secs, took {_NUMBER} GiB", (None, "cuda_graphs")),
    (rf"Available KV cache memory: {_NUMBER} GiB", ("kv_cache",)),
    (
        rf"\({_NUMBER} GiB KV cache is needed, which is larger than the available KV cache memory \({_NUMBER} GiB\)",
        ("kv_needed", "kv_cache"),
    ),
    (rf"estimated maximum model length is {_NUMBER}", ("max_model_len",)),
    (rf"KV cache size: {_NUMBER} tokens", ("kv_tokens",)),
    (rf"Maximum concurrency for {_NUMBER} tokens per request: {_NUMBER}x", ("max_model_len", "concurrency")),
    (rf"Auto-fit max_model_len: reduced from {_NUMBER} to {_NUMBER}", (None, "max_model_len")),
)
"""Each message, and what its numbers are."""
_MESSAGES: Final = tuple((re.compile(pattern), names) for pattern, names in _LINES)
_COUNTS: Final = frozenset({"kv_tokens", "max_model_len", "blocks", "block_size"})
_RATIOS: Final = frozenset({"concurrency", "utilization"})
_LABELS: Final = {
    "num_gpu_blocks": "blocks",
    "block_size": "block_size",
    "kv_cache_size_tokens": "kv_tokens",
    "kv_cache_max_concurrency": "concurrency",
    "gpu_memory_utilization": "utilization",
}
"""Labels of `vllm:cache_config_info`; kv_cache_memory_bytes is what the user asked for, not what came of it."""


def actual_of_log(log: str) -> Actual:
    """Return what an engine's log says; the last mention of a number counts."""
    found: dict[str, float] = {}
    for pattern, names in _MESSAGES:
        matches = list(pattern.finditer(log))
        if matches:
            values = zip(names, matches[-1].groups(), strict=True)
            found.update({name: _number(text) for name, text in values if name is not None})
    return _actual(found)


def memory_lines(log: str) -> str:
    """Return the lines of a log that `actual_of_log` reads: a start's log is long, and these are few."""
    return "\n".join(line for line in log.splitlines() if any(pattern.search(line) for pattern, _ in _MESSAGES))


def actual_of_labels(labels: Mapping[str, str]) -> Actual:
    """Return what the labels of `vllm:cache_config_info` say; labels without a number are left out."""
    found: dict[str, float] = {}
    for label, name in _LABELS.items():
        try:
            found[name] = float(labels[label])
        except (KeyError, ValueError):
            continue
    return _actual(found)


def actual_of_terms(memory_bytes: Mapping[str, float]) -> Actual:
    """Return what an engine image's metric `memory_bytes` says: the same terms as its log, by the same names.

    Terms of a later version that are not known are left out.
    """
    known = {field.name for field in fields(Actual)} - _COUNTS - _RATIOS
    return Actual(**{term: Bytes(round(size)) for term, size in memory_bytes.items() if term in known})  # type: ignore[arg-type]


def merged(first: Actual, second: Actual) -> Actual:
    """Return both accounts in one; where both say something, the first counts."""
    missing = {
        field.name: getattr(second, field.name) for field in fields(Actual) if getattr(first, field.name) is None
    }
    return replace(first, **missing)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _actual(found: Mapping[str, float]) -> Actual:
    return Actual(**{name: _typed(name, value) for name, value in found.items()})  # type: ignore[arg-type]


def _typed(name: str, value: float) -> float | int:
    if name in _RATIOS:
        return value
    return int(value) if name in _COUNTS else round(value * GIB)
