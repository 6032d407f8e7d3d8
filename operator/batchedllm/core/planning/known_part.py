"""What can be said of the memory where no plan can be made: the GPU without a model, or the model without a GPU."""

from math import ceil

from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.memory.dtypes import resolved_dtype
from batchedllm.core.memory.engine_versions import rules_for, version_of_image
from batchedllm.core.memory.errors import InvalidSettings
from batchedllm.core.memory.plan_types import Gpu
from batchedllm.core.memory.units import Certainty
from batchedllm.core.memory.weights import rank_weights
from batchedllm.core.planning.model_facts import ModelFacts
from batchedllm.core.planning.question import settings_of


def of_gpu(gpu: Gpu, spec: BatchedLLMSpec, image: str) -> dict[str, int]:
    """Return the GPU's memory and the engine's share of it, in bytes."""
    found = {"total": int(gpu.memory)}
    if spec.memory.kv_cache_memory is not None:
        return found
    rules, _ = rules_for(version_of_image(image))
    share = rules.default_utilization if spec.memory.gpu_utilization is None else spec.memory.gpu_utilization
    return found | {"requested": ceil(gpu.memory * share)}


def of_model(facts: ModelFacts, spec: BatchedLLMSpec, image: str) -> dict[str, int]:
    """Return the bytes of the weights on the fullest rank; nothing where they cannot be counted."""
    settings = settings_of(spec, facts, image)
    try:
        terms = rank_weights(
            facts.model,
            facts.weights,
            dtype=resolved_dtype(settings.dtype, facts.model),
            quantization=settings.quantization,
            tensor_parallel=settings.tensor_parallel,
            pipeline_parallel=settings.pipeline_parallel,
        )
    except InvalidSettings:
        return {}
    known = [int(term.bytes) for term in terms if term.certainty is not Certainty.UNKNOWN]
    return {"weights": max(known)} if known else {}
