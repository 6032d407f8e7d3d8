"""The checks of a start against the machine. Pure: each returns what is wrong, or None.

A check fails only where vLLM is sure to fail as well; what may go either way is left to it.
"""

from collections.abc import Callable
from math import ceil
from typing import Final

from batchedllm_engine.start.failures import PreflightError, Reason
from batchedllm_engine.start.machine import SHARED_MEMORY, Machine, Version
from batchedllm_engine.start.request import StartRequest

Check = Callable[[StartRequest, Machine], PreflightError | None]

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
LEAST_COMPUTE_CAPABILITY: Final[dict[int, Version]] = {12: (7, 0), 13: (7, 5)}
"""By CUDA's major version: CUDA 13 compiles for Turing and newer, vLLM's builds for CUDA 12 for Volta and newer."""
SHARED_MEMORY_BYTES: Final = 400 * _MIB
"""Of the two ring buffers between engine and workers, 240 and 160 MiB; vLLM 0.32 refuses to start with less."""


def has_gpu(request: StartRequest, machine: Machine) -> PreflightError | None:
    """A build for CUDA needs a GPU that NVML can read."""
    del request
    if machine.built_for_cuda is None or not machine.gpu_trouble:
        return None
    return PreflightError(
        Reason.NO_GPU,
        f"no GPU can be used ({machine.gpu_trouble}): check gpu.resource, the device plugin and pod.runtimeClassName, "
        "or use an image for the CPU",
    )


def driver_is_new_enough(request: StartRequest, machine: Machine) -> PreflightError | None:
    """A driver runs programs built for any CUDA of the major version that it supports, and for older ones."""
    del request
    built, supported = machine.built_for_cuda, machine.driver_cuda
    if built is None or supported is None or supported[0] >= built[0] or machine.forward_compatibility:
        return None
    return PreflightError(
        Reason.OLD_DRIVER,
        f"this vLLM is built for CUDA {_dotted(built)}, and the NVIDIA driver {machine.driver} supports CUDA "
        f"{_dotted(supported)}: bring a newer driver to the node, use an image for CUDA {supported[0]}, or on data "
        "center GPUs set VLLM_ENABLE_CUDA_COMPATIBILITY=1",
    )


def gpus_are_new_enough(request: StartRequest, machine: Machine) -> PreflightError | None:
    """A build has code only for GPUs from some generation on."""
    del request
    least = LEAST_COMPUTE_CAPABILITY.get(machine.built_for_cuda[0]) if machine.built_for_cuda else None
    for gpu in machine.gpus:
        if least is not None and gpu.compute_capability < least:
            return PreflightError(
                Reason.OLD_GPU,
                f"GPU {gpu.index} ({gpu.product}) has compute capability {_dotted(gpu.compute_capability)}, and this "
                f"vLLM needs {_dotted(least)} or higher: use nodes with newer GPUs, or an older image",
            )
    return None


def gpus_are_enough(request: StartRequest, machine: Machine) -> PreflightError | None:
    """Each rank takes a GPU of its own, unless Ray finds GPUs elsewhere, or MIG shares them out."""
    if machine.built_for_cuda is None or machine.has_instances or request.may_be_elsewhere:
        return None
    if len(machine.gpus) >= request.gpus:
        return None
    return PreflightError(
        Reason.TOO_FEW_GPUS,
        f"{request.gpus} GPUs are needed (tensor-parallel-size {request.tensor_parallel_size}, pipeline-parallel-size "
        f"{request.pipeline_parallel_size}, data-parallel-size {request.data_parallel_size}), and {len(machine.gpus)} "
        "can be used: set gpu.perReplica",
    )


def gpu_memory_is_free(request: StartRequest, machine: Machine) -> PreflightError | None:
    """A GPU must have free what vLLM is to use; what vLLM takes before it looks itself only makes it less."""
    if machine.has_instances or request.config:
        return None
    for gpu in machine.gpus[: request.gpus]:
        wanted, asked = _wanted_bytes(request, gpu.total_bytes)
        if gpu.free_bytes < wanted:
            return PreflightError(
                Reason.TOO_LITTLE_GPU_MEMORY,
                f"GPU {gpu.index} ({gpu.product}) has {_gib(gpu.free_bytes)} of {_gib(gpu.total_bytes)} GiB free, and "
                f"{asked} asks for {_gib(wanted)} GiB: something else uses it. Give the engine a GPU of its own, or "
                "lower memory.gpuUtilization",
            )
    return None


def shared_memory_is_enough(request: StartRequest, machine: Machine) -> PreflightError | None:
    """Workers in processes of their own talk through shared memory: more ranks than one, or a build for the CPU."""
    free = machine.shared_memory_free_bytes
    has_workers = request.gpus_of_an_engine > 1 or machine.built_for_cuda is None
    if free is None or not has_workers or free >= SHARED_MEMORY_BYTES:
        return None
    return PreflightError(
        Reason.TOO_LITTLE_SHARED_MEMORY,
        f"shared memory is too small: {free // _MIB} MiB are free at {SHARED_MEMORY}, and vLLM needs "
        f"{SHARED_MEMORY_BYTES // _MIB} MiB. Raise engine.sharedMemory",
    )


CHECKS: Final[tuple[Check, ...]] = (
    has_gpu,
    driver_is_new_enough,
    gpus_are_new_enough,
    gpus_are_enough,
    gpu_memory_is_free,
    shared_memory_is_enough,
)
"""In this order: the first that fails is what to mend first."""


def first_failure(request: StartRequest, machine: Machine) -> PreflightError | None:
    """Return the first check that fails."""
    return next((failure for check in CHECKS if (failure := check(request, machine)) is not None), None)


def _wanted_bytes(request: StartRequest, total_bytes: int) -> tuple[int, str]:
    """Return what vLLM will want of a GPU, and which flag says so; a fixed KV cache makes it pass over the fraction."""
    if request.kv_cache_memory_bytes is not None:
        return request.kv_cache_memory_bytes, "kv-cache-memory-bytes"
    fraction = request.gpu_memory_utilization
    return ceil(total_bytes * fraction), f"gpu-memory-utilization {fraction:g}"


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def _gib(count: int) -> str:
    return f"{count / _GIB:.1f}"
