"""vLLM's KV cache specs as plain numbers: layers that keep the same are one entry."""

from collections.abc import Iterable
from typing import Any, Final

from batchedllm_engine.foreign import Foreign

KINDS: Final = {
    "FullAttentionSpec": "full",
    "SinkFullAttentionSpec": "full",
    "SlidingWindowSpec": "sliding",
    "ChunkedLocalAttentionSpec": "chunked",
    "MLAAttentionSpec": "latent",
    "MambaSpec": "state",
}
"""Specs of vllm/v1/kv_cache_interface.py by the names of the plan; any other goes by its own name."""


def grouped(specs: Iterable[Foreign]) -> list[dict[str, Any]]:
    """Return one entry for all layers of the same spec, in the order in which they come first."""
    entries: list[dict[str, Any]] = []
    counts: list[int] = []
    for spec in specs:
        entry = described(spec)
        if entry in entries:
            counts[entries.index(entry)] += 1
        else:
            entries.append(entry)
            counts.append(1)
    return [{"kind": entry["kind"], "layers": count, **entry} for entry, count in zip(entries, counts, strict=True)]


def described(spec: Foreign) -> dict[str, Any]:
    """Return what one layer's spec says."""
    name = type(spec).__name__
    kind = KINDS.get(name, name)
    if kind == "state":
        return {
            "kind": kind,
            "shapes": [list(shape) for shape in spec.shapes],
            "dtypes": [_dtype(one) for one in spec.dtypes],
            "pageBytes": spec.page_size_bytes,
        }
    entry = {"kind": kind, "blockSize": spec.block_size, "pageBytes": spec.page_size_bytes}
    if kind == "latent":
        return {**entry, "latentSize": spec.head_size, "dtype": _dtype(spec.dtype)}
    for key, attribute in (
        ("kvHeads", "num_kv_heads"),
        ("headSize", "head_size"),
        ("valueHeadSize", "head_size_v"),
        ("window", "sliding_window"),
        ("chunk", "attention_chunk_size"),
    ):
        value = getattr(spec, attribute, None)
        if value is not None:
            entry[key] = value
    if hasattr(spec, "dtype"):
        entry["dtype"] = _dtype(spec.dtype)
    return entry


def _dtype(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")
