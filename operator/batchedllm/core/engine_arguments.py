"""Arguments of `vllm serve`, from the spec: in plain sight in the pod, and none that was not asked for.

The image's entry point is `vllm serve`, or in our images what becomes it, so these are the container's `args`. An unset
field gives no argument, so that the engine's own default holds; a boolean that is false gives none either, never
`--no-...`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from batchedllm.api.names import ENGINE_PORT, MODEL_VOLUME_PATH
from batchedllm.api.quantities import bytes_of
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.admission_queue import queues_before_engine

MIDDLEWARE: Final = "batchedllm_engine.middleware.AdmissionMiddleware"
"""What the engine images admit requests by (docs/admission.md)."""

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the engine: its name, and how its value is read from the spec."""

    flag: str
    value: Callable[[BatchedLLMSpec], Value]


def model_location(spec: BatchedLLMSpec) -> str:
    """What the engine loads: the model's id, or its folder on the mounted volume."""
    if spec.model.source is not None and spec.model.source.pvc is not None:
        return f"{MODEL_VOLUME_PATH}/{spec.model.id.lstrip('/')}"
    return spec.model.id


def _served_name(spec: BatchedLLMSpec) -> str | None:
    """Name for clients. Without one the engine would use the path that it loads, not `model.id`."""
    if spec.model.served_name is None and model_location(spec) != spec.model.id:
        return spec.model.id
    return spec.model.served_name


def _tensor_parallel_size(spec: BatchedLLMSpec) -> int | None:
    return spec.gpu.per_replica if spec.gpu.per_replica > 1 else None


def _kv_cache_memory_bytes(spec: BatchedLLMSpec) -> int | None:
    memory = spec.memory.kv_cache_memory
    return None if memory is None else bytes_of(memory)


def _scheduling_policy(spec: BatchedLLMSpec) -> str | None:
    return "priority" if spec.priority.classes else None


def _middleware(spec: BatchedLLMSpec) -> str | None:
    return MIDDLEWARE if spec.uses_middleware else None


def _max_queued_requests(spec: BatchedLLMSpec) -> int | None:
    return None if queues_before_engine(spec) else spec.admission.max_queued_requests


def _max_queued_tokens(spec: BatchedLLMSpec) -> int | None:
    return None if queues_before_engine(spec) else spec.admission.max_queued_tokens


def _port(_spec: BatchedLLMSpec) -> int:
    return ENGINE_PORT


def _host(_spec: BatchedLLMSpec) -> str:
    return "0.0.0.0"  # noqa: S104 - the kubelet and the Service reach the engine by the pod's address


ARGUMENTS: Final = (
    Argument("--served-model-name", _served_name),
    Argument("--revision", attrgetter("model.revision")),
    Argument("--dtype", attrgetter("model.dtype")),
    Argument("--quantization", attrgetter("model.quantization")),
    Argument("--trust-remote-code", attrgetter("model.trust_remote_code")),
    Argument("--tensor-parallel-size", _tensor_parallel_size),
    Argument("--gpu-memory-utilization", attrgetter("memory.gpu_utilization")),
    Argument("--kv-cache-dtype", attrgetter("memory.kv_cache_dtype")),
    Argument("--kv-cache-memory-bytes", _kv_cache_memory_bytes),
    Argument("--max-model-len", attrgetter("batching.max_model_len")),
    Argument("--max-num-seqs", attrgetter("batching.max_num_seqs")),
    Argument("--max-num-batched-tokens", attrgetter("batching.max_num_batched_tokens")),
    Argument("--scheduling-policy", _scheduling_policy),
    Argument("--middleware", _middleware),
    Argument("--max-num-queued-reqs", _max_queued_requests),
    Argument("--max-num-queued-tokens", _max_queued_tokens),
    Argument("--shutdown-timeout", attrgetter("rollout.drain_seconds")),
    Argument("--host", _host),
    Argument("--port", _port),
)
"""Every argument that a field of the resource (or the operator) sets, in the order in which they are given."""


def _rendered(flag: str, value: Value) -> str | None:
    """`--flag`, `--flag=value`, or None where nothing was asked for."""
    if value is None or value is False:
        return None
    return flag if value is True else f"{flag}={value}"


def engine_arguments(spec: BatchedLLMSpec) -> list[str]:
    """The model, then each argument that was asked for, then `engine.arguments` as they are."""
    asked_for = (_rendered(argument.flag, argument.value(spec)) for argument in ARGUMENTS)
    return [model_location(spec), *(text for text in asked_for if text is not None), *spec.engine.arguments]
