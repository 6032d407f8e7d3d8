"""A GPU that is not there: vLLM makes its config and its layers as for a card of the Hopper generation.

vLLM chooses block sizes, attention backends, quantization methods and defaults by its platform. On the CPU's it would
choose others than the engine will on a GPU, and refuse most quantization methods. So the platform is CUDA's own, with
the answers of a card where CUDA's ask the driver. Kernels cannot be loaded without a driver; on the meta device none
runs, so a name that refuses to be called stands in for each. The CPU wheel and the CUDA wheel of one version hold the
same Python code and give the same numbers.
"""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from batchedllm_engine.foreign import Foreign, module

NAME: Final = "NVIDIA H100 80GB HBM3"
CAPABILITY: Final = (9, 0)
"""Compute capability of H100 and H200: the cards that the plan's constants were measured on."""
MEMORY_BYTES: Final = 80 * 1024**3
COMPUTE_UNITS: Final = 132
"""Streaming multiprocessors of an H100 SXM."""
DEVICES: Final = 64
"""More than any parallelism asks for."""
_PROPERTIES: Final = {
    "name": NAME,
    "major": CAPABILITY[0],
    "minor": CAPABILITY[1],
    "total_memory": MEMORY_BYTES,
    "multi_processor_count": COMPUTE_UNITS,
    "warp_size": 32,
    "shared_memory_per_block_optin": 227 * 1024,
}
"""As torch tells them of an H100 SXM."""
_KERNEL_MODULES: Final = (
    *("vllm._C_stable_libtorch", "vllm._moe_C_stable_libtorch"),
    *("vllm._flashmla_C", "vllm._flashmla_extension_C", "vllm.third_party.flashmla.flash_mla_interface"),
)
"""Compiled parts of the CUDA wheel, and the Python that only it has."""
_SUPPORTED_BY_HOPPER: Final = {
    "cutlass_scaled_mm_supports_fp8": True,
    "cutlass_scaled_mm_supports_block_fp8": True,
    "cutlass_group_gemm_supported": True,
    "cutlass_scaled_mm_supports_fp4": False,
    "mxfp4_experts_quant_supported": False,
}
"""What CUDA kernels answer about themselves on a Hopper card (vllm/_custom_ops.py)."""
_FLASH_ATTENTION_VERSIONS: Final = frozenset({2, 3})
"""Those that the CUDA wheel brings along compiled."""


def pretend() -> None:
    """Make vLLM believe in the GPU. To be called before any other part of vLLM is imported."""
    for name in _KERNEL_MODULES:
        _stand_in(name, __getattr__=_member)
    platforms = module("vllm.platforms")
    platforms._current_platform = _platform()  # noqa: SLF001 - vLLM has no public way to choose
    _stand_in_for_flash_attention()
    _stand_in_for_triton()
    _stand_in_for_kernels()
    _stand_in_for_driver()
    # The GPU's image has FlashInfer, and latent attention then keeps its rotary table in single precision.
    module("vllm.model_executor.layers.rotary_embedding.deepseek_scaling_rope").has_flashinfer = _constant(value=True)


def without_memory() -> Foreign:
    """Return a context in which tensors asked of CUDA by name have shapes only, as those on the meta device."""
    torch = module("torch")

    def moved(value: object) -> object:
        of_cuda = str(value).startswith("cuda") if isinstance(value, torch.device | str) else False
        return torch.device("meta") if of_cuda else value

    def call(
        _: object,
        function: Callable[..., Foreign],
        __: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> Foreign:
        named = {name: moved(value) for name, value in (kwargs or {}).items()}
        if type(named.get("device")) is int:  # a CUDA device may be named by its number
            named["device"] = torch.device("meta")
        return function(*map(moved, args), **named)

    return type("WithoutMemory", (torch.overrides.TorchFunctionMode,), {"__torch_function__": call})()


def _platform() -> Foreign:
    base = module("vllm.platforms.cuda").CudaPlatformBase
    capability = module("vllm.platforms.interface").DeviceCapability(*CAPABILITY)
    answers = {
        "get_device_capability": capability,
        "get_device_name": NAME,
        "get_device_total_memory": MEMORY_BYTES,
        "is_fully_connected": True,
        "device_count": DEVICES,
        "num_compute_units": COMPUTE_UNITS,
        "is_integrated_gpu": False,
    }
    return type("PretendedGpu", (base,), {name: classmethod(_constant(value)) for name, value in answers.items()})()


def _constant(value: object) -> Callable[..., object]:
    def answer(*_: object, **__: object) -> object:
        return value

    return answer


def _stand_in(name: str, **attributes: object) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    made.__path__ = []
    vars(made).update(attributes)
    sys.modules[name] = made
    return made


def _stand_in_for_flash_attention() -> None:
    """Say what FlashAttention's compiled part would: which versions there are."""
    attributes: dict[str, object] = {
        "FA2_AVAILABLE": True,
        "FA3_AVAILABLE": True,
        "compile_flash_attn_varlen_func_from_specs": None,
        "flash_attn_varlen_func": _Kernel("flash_attn_varlen_func"),
        "get_scheduler_metadata": _Kernel("get_scheduler_metadata"),
        "fa_version_unsupported_reason": _constant(None),
        "is_fa_version_supported": _is_flash_attention_version,
    }
    package = _stand_in("vllm.vllm_flash_attn", **attributes)
    package.__dict__["flash_attn_interface"] = _stand_in("vllm.vllm_flash_attn.flash_attn_interface", **attributes)


def _is_flash_attention_version(version: int, *_: object) -> bool:
    return version in _FLASH_ATTENTION_VERSIONS


def _stand_in_for_triton() -> None:
    """Let modules that tune Triton kernels be imported: without a driver vLLM has a placeholder for Triton."""
    utilities = module("vllm.triton_utils")
    if not utilities.HAS_TRITON:
        utilities.triton.Config = _TritonConfig
    # On a GPU there is Triton, and so the second model runner, whose batches in flight size sliding windows' caches.
    module("vllm.config.vllm").HAS_TRITON = True


def _stand_in_for_kernels() -> None:
    """Give every compiled kernel a name, once those that exist have been registered."""
    operations = module("torch").ops
    module("vllm._custom_ops")
    for namespace in ("_C", "_moe_C"):
        setattr(operations, namespace, _Kernels())


def _stand_in_for_driver() -> None:
    """Answer what layers ask CUDA itself when they are made."""
    cuda = module("torch").cuda
    cuda.current_device = _constant(0)
    cuda.is_available = _constant(value=True)
    cuda.get_device_capability = _constant(CAPABILITY)
    cuda.get_device_name = _constant(NAME)
    cuda.get_device_properties = _constant(SimpleNamespace(**_PROPERTIES))
    cuda.Stream = _Handle
    cuda.Event = _Handle
    cuda.current_stream = _Handle


class _Handle:
    """A stream or an event that nothing will be put on."""

    def __init__(self, *_: object, **__: object) -> None:
        pass


class _TritonConfig:
    """A tuning of a Triton kernel, which nobody will run."""

    def __init__(self, kwargs: dict[str, Any], num_warps: int = 4, num_stages: int = 3, **_: object) -> None:
        self.kwargs = kwargs
        self.num_warps = num_warps
        self.num_stages = num_stages


class _Kernels:
    """All kernels of a namespace."""

    def __getattr__(self, name: str) -> "_Kernel":
        return _kernel(name)


class _Kernel:
    """A kernel that has a name and cannot run."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, overload: str) -> "_Kernel":
        return _kernel(overload, self._name)

    def __call__(self, *_: object, **__: object) -> object:
        if self._name in _SUPPORTED_BY_HOPPER:
            return _SUPPORTED_BY_HOPPER[self._name]
        raise NotImplementedError(f"the kernel {self._name} needs a GPU")


def _kernel(name: str, kernel: str | None = None) -> _Kernel:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Kernel(kernel or name)


def _member(name: str) -> object:
    """Return what a compiled module exports: a type where the name is one, for annotations, else a kernel."""
    return type(name, (), {}) if name[:1].isupper() else _kernel(name)
