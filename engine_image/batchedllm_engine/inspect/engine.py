"""vLLM's own answers: its config for a request, and each pipeline stage's parameters and KV cache specs.

Nothing of vLLM is imported before `start`: the rest of the package works, and is tested, without it.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from batchedllm_engine.foreign import Foreign, module
from batchedllm_engine.inspect.pretended_gpu import pretend, without_memory
from batchedllm_engine.inspect.request import Request


@dataclass(frozen=True, slots=True)
class Stage:
    """What one rank of a pipeline stage holds; the ranks of its tensor-parallel group hold the same."""

    weight_bytes: int
    buffer_bytes: int
    """Tensors that are computed and stay, such as tables of rotary positions."""
    prepared_bytes: int | None
    """Both, once vLLM has brought the weights into the form that it runs with; None where that needs a GPU."""
    parameters: int
    specs: Mapping[str, Foreign]
    """vLLM's KV cache spec of each layer, by the layer's name."""


def start() -> None:
    """Import vLLM, as on a GPU, and keep it from asking the network or starting processes."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    pretend()
    registry = module("vllm.model_executor.models.registry")
    # It looks at a model's class in a process of its own, lest this one touches a GPU: there is none to be touched.
    registry._run_in_subprocess = _call  # noqa: SLF001


def version() -> str:
    """Return vLLM's release, without the name of its build."""
    return str(module("vllm").__version__).partition("+")[0]


def engine_config(request: Request, folder: Path, **settings: object) -> Foreign:
    """Return vLLM's config of an engine with these settings."""
    arguments = {
        "model": str(folder),
        "tensor_parallel_size": request.tensor_parallel_size,
        "pipeline_parallel_size": request.pipeline_parallel_size,
        "dtype": request.dtype,
        "quantization": request.quantization,
        "kv_cache_dtype": request.kv_cache_dtype,
        "trust_remote_code": request.trust_remote_code,
        "skip_tokenizer_init": True,
        "enforce_eager": True,
        "load_format": "dummy",
    }
    if request.tensor_parallel_size * request.pipeline_parallel_size > 1:
        arguments["distributed_executor_backend"] = "mp"
    return module("vllm.engine.arg_utils").EngineArgs(**(arguments | settings)).create_engine_config()


def stages(config: Foreign) -> list[Stage]:
    """Return the pipeline's stages, first to last. The process then belongs to this config."""
    with ExitStack() as context:
        context.enter_context(module("vllm.config").set_current_vllm_config(config))
        return [_stage(config) for _ in _ranks(config)]


def _ranks(config: Foreign) -> Iterator[None]:
    """Take the place of the first tensor-parallel rank of each stage, one after the other.

    Process groups of one member are told that they are larger: layers are sized by what the groups say.
    """
    groups = module("vllm.distributed.parallel_state")
    parallel = config.parallel_config
    if not groups.model_parallel_is_initialized():
        # Other groups meet in the same file later on, so it stays until the process ends.
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        meeting = f"file://{tempfile.mkdtemp()}/meeting"
        groups.init_distributed_environment(1, 0, distributed_init_method=meeting, local_rank=0, backend="gloo")
    # Which groups there are depends on the model: a mixture of experts has one more.
    groups.destroy_model_parallel()
    groups.initialize_model_parallel(1, 1)
    groups.get_tp_group().world_size = parallel.tensor_parallel_size
    pipeline = groups.get_pp_group()
    pipeline.world_size = parallel.pipeline_parallel_size
    pipeline.ranks = list(range(parallel.pipeline_parallel_size))
    for stage in pipeline.ranks:
        pipeline.rank = pipeline.rank_in_group = stage
        config.compilation_config.static_forward_context.clear()
        yield


def _stage(config: Foreign) -> Stage:
    torch = module("torch")
    loading = module("vllm.model_executor.model_loader.utils")
    dtype = module("vllm.utils.torch_utils").set_default_torch_dtype
    with dtype(config.model_config.dtype), torch.device("meta"), without_memory():
        model = loading.initialize_model(config)
        module("vllm.platforms").current_platform.update_block_size_for_backend(config)
        weights, buffers = list(model.parameters()), list(model.buffers())
        return Stage(
            weight_bytes=_bytes(weights),
            buffer_bytes=_bytes(buffers),
            specs=module("vllm.v1.worker.gpu.attn_utils").get_kv_cache_spec(config),
            parameters=sum(tensor.numel() for tensor in weights),
            prepared_bytes=_prepared_bytes(model, config),
        )


def _prepared_bytes(model: Foreign, config: Foreign) -> int | None:
    """Return what the model takes after vLLM's last step of loading; the model is of no use afterwards.

    It packs quantized weights, and gives latent attention copies of its projections. Some methods run kernels for it.
    """
    torch = module("torch")
    loading = module("vllm.model_executor.model_loader.utils")
    try:
        loading.process_weights_after_loading(model, config.model_config, torch.device("meta"))
    except Exception:  # noqa: BLE001 - whatever a quantization method raises without its kernels
        return None
    return _bytes(_all_tensors(model))


def _all_tensors(model: Foreign) -> Iterator[Foreign]:
    """Return parameters, buffers, and what modules keep without registering it."""
    torch = module("torch")
    kept = (value for module in model.modules() for value in vars(module).values() if isinstance(value, torch.Tensor))
    return chain(model.parameters(), model.buffers(), kept)


def _bytes(tensors: Iterable[Foreign]) -> int:
    """Return the bytes of the tensors' memory; those that are views of the same memory count once."""
    storages = {id(storage): storage for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(storage.nbytes() for storage in storages.values())


def _call(function: Callable[[], Foreign]) -> Foreign:
    return function()
