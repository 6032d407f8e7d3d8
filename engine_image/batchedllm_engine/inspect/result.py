"""The whole inspection: from a request to the document with its result."""

from typing import Any

from batchedllm_engine.foreign import Foreign
from batchedllm_engine.inspect import engine
from batchedllm_engine.inspect.caches import grouped
from batchedllm_engine.inspect.config_subset import subset
from batchedllm_engine.inspect.failures import VERSION
from batchedllm_engine.inspect.request import Request
from batchedllm_engine.inspect.source import Source, keep_offline, locate


def inspect(request: Request) -> dict[str, Any]:
    """Return the result. Raises whatever the hub's client, Transformers or vLLM raise."""
    source = locate(request)
    keep_offline()
    engine.start()
    config = engine.engine_config(request, source.folder)
    stages = engine.stages(config)
    return document(request, source, config, stages)


def document(request: Request, source: Source, config: Foreign, stages: list[engine.Stage]) -> dict[str, Any]:
    """Return what is told of a model; README.md of the engine image says what each field means."""
    model = config.model_config
    return {
        "version": VERSION,
        "engineVersion": engine.version(),
        "model": {"id": request.model, "revision": request.revision, "commit": source.commit},
        "settings": {
            "tensorParallelSize": request.tensor_parallel_size,
            "pipelineParallelSize": request.pipeline_parallel_size,
            "dtype": str(model.dtype).removeprefix("torch."),
            "quantization": model.quantization,
            "kvCacheDtype": request.kv_cache_dtype,
        },
        "architecture": model.architecture,
        "modelType": getattr(model.hf_text_config, "model_type", None),
        "longestLength": model.max_model_len,
        "checkpointBytes": source.checkpoint_bytes,
        "blockSize": config.cache_config.block_size,
        "stages": [_stage(stage) for stage in stages],
        "config": subset(source.config),
    }


def _stage(stage: engine.Stage) -> dict[str, Any]:
    return {
        "weightBytes": stage.weight_bytes,
        "bufferBytes": stage.buffer_bytes,
        "preparedBytes": stage.prepared_bytes,
        "parameters": stage.parameters,
        "caches": grouped(stage.specs.values()),
    }
