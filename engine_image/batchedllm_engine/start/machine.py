"""What preflight knows of the machine: looked at once, as data."""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from batchedllm_engine.foreign import Foreign
from batchedllm_engine.gpu_exporter.nvml import GpusUnreadableError, open_gpus

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the place, not a file in it
Version = tuple[int, int]
"""Major and minor."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that CUDA lets this process use."""

    index: int
    product: str
    total_bytes: int
    """That CUDA can use."""
    free_bytes: int
    compute_capability: Version


@dataclass(frozen=True, slots=True)
class Machine:
    """Driver, GPUs and shared memory, as they are before vLLM takes any."""

    built_for_cuda: Version | None
    """The CUDA that the installed vLLM is built for; None for one that does not use it."""
    gpus: tuple[Gpu, ...] = ()
    has_instances: bool = False
    """Whether GPUs are shared out by MIG, so that an instance is what vLLM sees."""
    gpu_trouble: str = ""
    """Why no GPU can be read."""
    driver: str = ""
    driver_cuda: Version | None = None
    """The newest CUDA that the driver supports."""
    forward_compatibility: bool = False
    """Whether VLLM_ENABLE_CUDA_COMPATIBILITY brings libraries that make an older driver do."""
    shared_memory_free_bytes: int | None = None


def look(environment: Mapping[str, str]) -> Machine:
    """Look at this machine."""
    built_for = built_for_cuda(environment)
    free = _free_bytes(SHARED_MEMORY)
    if built_for is None:
        return Machine(None, shared_memory_free_bytes=free)
    compatible = environment.get("VLLM_ENABLE_CUDA_COMPATIBILITY", "0").strip().lower() in {"1", "true"}
    try:
        gpus = open_gpus(environment.get("CUDA_VISIBLE_DEVICES"))
    except GpusUnreadableError as error:
        return Machine(built_for, gpu_trouble=str(error), shared_memory_free_bytes=free)
    nvml = gpus.nvml
    try:
        return Machine(
            built_for_cuda=built_for,
            gpus=tuple(_gpu(nvml, one.identity.index, one.handle) for one in gpus.devices if not one.is_instance),
            has_instances=any(one.is_instance for one in gpus.devices),
            driver=nvml.nvmlSystemGetDriverVersion(),
            driver_cuda=_cuda_version(nvml.nvmlSystemGetCudaDriverVersion_v2()),
            forward_compatibility=compatible,
            shared_memory_free_bytes=free,
        )
    except nvml.NVMLError as error:
        return Machine(built_for, gpu_trouble=f"NVML: {error}", shared_memory_free_bytes=free)
    finally:
        gpus.close()


def built_for_cuda(environment: Mapping[str, str]) -> Version | None:
    """Return the CUDA that vLLM and its PyTorch are built for, without importing either: that takes seconds."""
    try:
        is_for_cpu = "cpu" in version("vllm")
    except PackageNotFoundError:
        return None
    if is_for_cpu or environment.get("VLLM_TARGET_DEVICE") == "cpu":
        return None
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    written = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    return cuda_of(written)


def cuda_of(torch_version_file: str) -> Version | None:
    """Return what PyTorch's version.py says; None where it is built for something else."""
    values: dict[str, object] = {}
    exec(torch_version_file, values)  # noqa: S102 - PyTorch's own file, which importing it would run too
    cuda = values.get("cuda")
    if not isinstance(cuda, str):
        return None
    major, minor = (int(part) for part in cuda.split(".")[:2])
    return major, minor


def _gpu(nvml: Foreign, index: int, handle: Foreign) -> Gpu:
    total, free = _memory(nvml, handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(index, nvml.nvmlDeviceGetName(handle), total, free, (int(major), int(minor)))


def _memory(nvml: Foreign, handle: Foreign) -> tuple[int, int]:
    """Return total and free memory as CUDA counts it, which is what vLLM asks: without what the driver reserves."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        return int(memory.total - memory.reserved), int(memory.free)
    except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported, nvml.NVMLError_InvalidArgument):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return int(memory.total), int(memory.free)


def _cuda_version(number: int) -> Version:
    """Take apart NVML's 13000 for CUDA 13.0."""
    return number // 1000, number % 1000 // 10


def _free_bytes(folder: Path) -> int | None:
    try:
        told = os.statvfs(folder)
    except OSError:
        return None
    return told.f_bavail * told.f_frsize
