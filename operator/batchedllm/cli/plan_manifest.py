"""What `batchedllm plan` takes from a BatchedLLM. A module of its own: reading one costs half the time to start."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final

from batchedllm.api.resource import InvalidSpec, parse
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.cli.documents import DocumentError, objects, resources_of
from batchedllm.cli.plan_case import Base
from batchedllm.core.memory.model import ModelDescription, WeightFacts
from batchedllm.core.memory.plan_types import Gpu, Settings
from batchedllm.core.planning.gpu_facts import GpuFacts, gpu_facts
from batchedllm.core.planning.model_facts import ModelFacts, NoFacts, from_config_map
from batchedllm.core.planning.question import settings_of

_FIELDS: Final = {
    "memory.gpuUtilization": "memory.gpu_utilization",
    "memory.kvCacheDtype": "memory.kv_cache_dtype",
    "batching.maxModelLen": "batching.max_model_len",
    "batching.maxNumSeqs": "batching.max_num_seqs",
    "batching.maxNumBatchedTokens": "batching.max_num_batched_tokens",
    "gpu.perReplica": "gpu.per_replica",
    "gpu.memory": "gpu.memory",
    "model.dtype": "model.dtype",
    "model.quantization": "model.quantization",
}
"""Fields that the plan's messages may name, and where the parsed resource has them."""


def base_of(path: str, name: str | None) -> Base:
    """Return what one BatchedLLM of a file says. Raises DocumentError."""
    there = objects(path)
    chosen, resource = _chosen(resources_of(there, path), path, name)
    spec = _spec(chosen, resource)
    gpu, missing = _gpu(chosen, spec)
    on_hub = spec.model.source is None or spec.model.source.pvc is None

    def settings(model: ModelDescription) -> Settings:
        return settings_of(spec, ModelFacts(model, WeightFacts(), "file"), spec.engine.image or "")

    return Base(
        name=chosen,
        model_id=spec.model.id if on_hub and spec.model.config_map is None else None,
        described=_described(chosen, resource, spec, there),
        no_model=_no_model(chosen, spec, path),
        gpu=gpu,
        no_gpu=f"{chosen}: {missing}; or give --gpu-memory SIZE or --gpu PRODUCT",
        settings=settings,
        fields=frozenset(field for field, where in _FIELDS.items() if attrgetter(where)(spec) is not None),
    )


def _chosen(candidates: Iterable[dict[str, Any]], path: str, name: str | None) -> tuple[str, dict[str, Any]]:
    found = {one["metadata"]["name"]: one for one in candidates if name in (None, one["metadata"]["name"])}
    if not found:
        raise DocumentError(f"{path}: holds no BatchedLLM {name}")
    if len(found) > 1:
        raise DocumentError(f"{path}: holds several BatchedLLMs ({', '.join(found)}), expected one: give --name")
    ((chosen, resource),) = found.items()
    return chosen, resource


def _spec(chosen: str, resource: dict[str, Any]) -> BatchedLLMSpec:
    try:
        return parse(resource)
    except InvalidSpec as error:
        raise DocumentError(f"{chosen}: {error}") from error


def _described(
    chosen: str, resource: dict[str, Any], spec: BatchedLLMSpec, there: Iterable[dict[str, Any]]
) -> tuple[ModelDescription, WeightFacts] | None:
    """Read the ConfigMap of spec.model.configMap, if it is in the same file; the cluster's is not asked for."""
    name = spec.model.config_map
    found = [one for one in there if name is not None and _is_config_map(one, name, resource)]
    if name is None or not found:
        return None
    if len(found) > 1:
        raise DocumentError(f"{chosen}: the file holds {len(found)} ConfigMaps {name}, expected one")
    facts = from_config_map(name, found[0])
    if isinstance(facts, NoFacts):
        raise DocumentError(f"{chosen}: spec.model.configMap: {facts.message}")
    return facts.model, facts.weights


def _is_config_map(manifest: dict[str, Any], name: str, resource: dict[str, Any]) -> bool:
    """Whether it is the ConfigMap of this name, in the resource's namespace."""
    metadata = manifest.get("metadata")
    if manifest.get("kind") != "ConfigMap" or not isinstance(metadata, dict) or metadata.get("name") != name:
        return False
    return bool(metadata.get("namespace", "default") == resource["metadata"].get("namespace", "default"))


def _no_model(chosen: str, spec: BatchedLLMSpec, path: str) -> str:
    """Return what to say where neither the file nor the catalogue describes the model."""
    if spec.model.config_map is None:
        return (
            f"{chosen}: only the cluster's volume holds spec.model, expected its config.json: give --model-config FILE"
        )
    return (
        f"{chosen}: spec.model.configMap is {spec.model.config_map}, and {path} holds no such ConfigMap in the same "
        "namespace, expected it as another document of the file; or give the model's config.json with --model-config"
    )


def _gpu(chosen: str, spec: BatchedLLMSpec) -> tuple[Gpu | None, str]:
    """Return the GPU, or why it is not known."""
    if spec.gpu.per_replica == 0:
        return None, "spec.gpu.perReplica is 0, expected at least 1: only the memory of GPUs is planned"
    try:
        facts = gpu_facts(spec, None)
    except ValueError as error:
        raise DocumentError(f"{chosen}: spec.gpu.memory: {error}") from error
    return (facts.gpu, "") if isinstance(facts, GpuFacts) else (None, facts.message)
