"""What a start of the engine comes to: its scheduler's settings and KV cache, or vLLM's reason not to start."""

from dataclasses import dataclass

from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.memory import (
    GIB,
    MODEL_MAX_LENGTH_TOKENS,
    KvCapacity,
    available_kv_bytes,
    check_capacity,
    kv_bytes_per_token,
    longest_model_len,
)
from batchedllm_engine.readable_numbers import AUTO_LENGTH
from batchedllm_engine.simulated.arguments import EngineOptions


@dataclass(frozen=True, slots=True)
class EngineStart:
    """A start that succeeds."""

    settings: EngineSettings
    capacity: KvCapacity
    log: tuple[str, ...]

    @property
    def kv_cache_size_tokens(self) -> int:
        """Tokens the KV cache holds, as vLLM states it."""
        return self.capacity.tokens

    @property
    def max_concurrency(self) -> float:
        """Requests of full length that fit at once."""
        return self.capacity.num_gpu_blocks / self.settings.blocks_for(self.settings.max_model_len)


def plan_start(options: EngineOptions) -> EngineStart:
    """Return the start. Raise ValueError with vLLM's message where vLLM would not start."""
    requested = options.max_model_len
    if requested is not None and requested > MODEL_MAX_LENGTH_TOKENS:
        raise ValueError(
            f"User-specified max_model_len ({requested}) is greater than the derived max_model_len "
            f"(max_position_embeddings={MODEL_MAX_LENGTH_TOKENS}.0 or model_max_length=None in model's config.json). "
            "To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1."
        )
    capacity = _capacity(options)
    length = MODEL_MAX_LENGTH_TOKENS if requested in (None, AUTO_LENGTH) else int(requested or 0)
    if length < 1:
        raise ValueError(f"max_model_len ({length}) must be a positive integer.")
    if requested == AUTO_LENGTH:
        length = longest_model_len(capacity, length)
    check_capacity(capacity, length)
    settings = EngineSettings(
        max_model_len=length,
        num_gpu_blocks=capacity.num_gpu_blocks,
        max_num_seqs=options.max_num_seqs,
        max_num_batched_tokens=options.max_num_batched_tokens,
        block_size=options.block_size,
        scheduling_policy=options.scheduling_policy,
        max_num_active_seqs=options.max_num_active_seqs,
        max_num_queued_reqs=options.max_num_queued_reqs,
        max_num_queued_tokens=options.max_num_queued_tokens,
        watermark=options.watermark,
    )
    concurrency = capacity.num_gpu_blocks / settings.blocks_for(length)
    concurrency_text = f"Maximum concurrency for {length:,} tokens per request: {concurrency:.2f}x"
    log = (
        f"Simulated engine: times and memory of Llama-3.1-8B on {options.sim_gpu}, whatever the model is",
        f"Available KV cache memory: {capacity.available_bytes / GIB:.2f} GiB",
        f"GPU KV cache size: {capacity.tokens:,} tokens, {concurrency_text}",
    )
    return EngineStart(settings, capacity, log)


def _capacity(options: EngineOptions) -> KvCapacity:
    bytes_per_token = kv_bytes_per_token(options.kv_cache_dtype, options.tensor_parallel_size)
    if options.num_gpu_blocks_override is not None:
        available = options.num_gpu_blocks_override * options.block_size * bytes_per_token
    elif options.kv_cache_memory_bytes is not None:
        available = options.kv_cache_memory_bytes
    else:
        available = available_kv_bytes(
            options.sim_gpu,
            options.gpu_memory_utilization,
            options.max_num_batched_tokens,
            options.tensor_parallel_size,
        )
    return KvCapacity(available, bytes_per_token, options.block_size)
