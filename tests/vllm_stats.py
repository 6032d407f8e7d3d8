"""What vLLM tells its stat loggers after a step, as far as the plugin reads it, under vLLM's own names.

Left out is all else of SchedulerStats and IterationStats (v1/metrics/stats.py of 0.32): caches, LoRA, speculation.
`tests/engine` runs the plugin in the real vLLM.
"""

from dataclasses import dataclass, field


@dataclass
class SchedulerIterationDetails:
    num_ctx_requests: int
    num_ctx_tokens: int
    num_generation_requests: int
    num_generation_tokens: int
    elapsed_ms: float
    is_dummy: bool = False


@dataclass
class SchedulerStats:
    num_running_reqs: int = 0
    kv_cache_usage: float = 0.0
    iteration_details: SchedulerIterationDetails | None = None


@dataclass
class PromptTokenStats:
    computed: int = 0


@dataclass
class IterationStats:
    num_generation_tokens: int = 0
    prompt_token_stats: PromptTokenStats = field(default_factory=PromptTokenStats)
    num_preempted_reqs: int = 0
    finished_requests: list[object] = field(default_factory=list)
    time_to_first_tokens_iter: list[float] = field(default_factory=list)
    inter_token_latencies_iter: list[float] = field(default_factory=list)


def decoded(*waits_seconds: float, finished: int = 0, preempted: int = 0) -> IterationStats:
    """A step in which each request got its next token, after these waits."""
    return IterationStats(
        num_generation_tokens=len(waits_seconds),
        num_preempted_reqs=preempted,
        finished_requests=[object()] * finished,
        inter_token_latencies_iter=list(waits_seconds),
    )


def mixed(prompt_tokens: int, first_tokens: int, *waits_seconds: float) -> IterationStats:
    """A step that also read some prompts to their end."""
    return IterationStats(
        num_generation_tokens=first_tokens + len(waits_seconds),
        prompt_token_stats=PromptTokenStats(prompt_tokens),
        time_to_first_tokens_iter=[0.5] * first_tokens,
        inter_token_latencies_iter=list(waits_seconds),
    )
