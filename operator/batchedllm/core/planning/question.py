"""The question that a spec puts to the memory plan."""

from typing import Final

from batchedllm.api.quantities import bytes_of
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.memory.engine_versions import version_of_image
from batchedllm.core.memory.plan_types import Settings
from batchedllm.core.memory.units import Bytes, Tokens
from batchedllm.core.planning.model_facts import ModelFacts

_EAGER: Final = "--enforce-eager"


def settings_of(spec: BatchedLLMSpec, facts: ModelFacts, image: str = "") -> Settings:
    """Return the engine's settings as the spec has them; what it leaves open stays open.

    The engine's version is what an inspection found in `image`, else what its name tells.
    """
    length = spec.batching.max_model_len
    tokens = spec.batching.max_num_batched_tokens
    return Settings(
        utilization=spec.memory.gpu_utilization,
        max_model_len=length if length is None or length == "auto" else Tokens(length),
        max_num_seqs=spec.batching.max_num_seqs,
        max_num_batched_tokens=None if tokens is None else Tokens(tokens),
        kv_cache_dtype=spec.memory.kv_cache_dtype or "auto",
        kv_cache_memory=None if spec.memory.kv_cache_memory is None else Bytes(bytes_of(spec.memory.kv_cache_memory)),
        dtype=spec.model.dtype or "auto",
        quantization=None if spec.model.quantization == facts.model.quantization else spec.model.quantization,
        tensor_parallel=max(1, spec.gpu.per_replica),
        enforce_eager=_EAGER in spec.engine.arguments,
        engine_version=facts.engine_version or version_of_image(image),
    )
