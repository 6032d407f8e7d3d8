"""What vLLM's metrics count, kept by the simulated engine. Field names follow vLLM's metric names without `vllm:`.

Bucket bounds are those of vLLM 0.32.0 (vllm/v1/metrics/buckets.py).
"""

from dataclasses import dataclass, field

from batchedllm.sim.batch_steps import BatchSteps
from batchedllm.sim.events import FinishReason, QueueLimit
from batchedllm.sim.histograms import Histogram

REQUEST_LATENCY_BOUNDS_SECONDS = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
TIME_TO_FIRST_TOKEN_BOUNDS_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
INTER_TOKEN_LATENCY_BOUNDS_SECONDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0),
)
ITERATION_TOKENS_BOUNDS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
REQUEST_PARAMS_N_BOUNDS = (1, 2, 5, 10, 20)
REQUEST_NUM_PREEMPTIONS_BOUNDS = (1, 2, 3, 4, 5, 10, 20)


def request_token_bounds(max_model_len: int) -> tuple[int, ...]:
    """Return vLLM's bounds for tokens per request: 1, 2, 5, 10, … up to the context window."""
    bounds: list[int] = []
    decade = 1
    while True:
        for digit in (1, 2, 5):
            if digit * decade > max_model_len:
                return tuple(bounds)
            bounds.append(digit * decade)
        decade *= 10


@dataclass(frozen=True, slots=True)
class FinishedTimings:
    """How long the phases of one finished request took, in vLLM's terms."""

    e2e_seconds: float
    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float


@dataclass(slots=True)
class EngineStatistics:
    """Counters and histograms since the engine started; gauges are asked of the engine itself."""

    max_model_len: int
    num_preemptions: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_cache_queries: int = 0
    steps: int = 0
    busy_seconds: float = 0.0
    request_success: dict[FinishReason, int] = field(default_factory=lambda: {"stop": 0, "length": 0, "abort": 0})
    aborted: int = 0
    admission_rejections: dict[QueueLimit, int] = field(
        default_factory=lambda: {"max_num_queued_reqs": 0, "max_num_queued_tokens": 0}
    )
    histograms: dict[str, Histogram] = field(init=False)
    batch_steps: BatchSteps = field(default_factory=BatchSteps)

    def __post_init__(self) -> None:
        """Make every histogram, so that a scrape of an idle engine shows them all."""
        tokens = request_token_bounds(self.max_model_len)
        self.histograms = {
            "request_prompt_tokens": Histogram(tokens),
            "request_generation_tokens": Histogram(tokens),
            "iteration_tokens_total": Histogram(ITERATION_TOKENS_BOUNDS),
            "request_max_num_generation_tokens": Histogram(tokens),
            "request_params_n": Histogram(REQUEST_PARAMS_N_BOUNDS),
            "request_params_max_tokens": Histogram(tokens),
            "time_to_first_token_seconds": Histogram(TIME_TO_FIRST_TOKEN_BOUNDS_SECONDS),
            "inter_token_latency_seconds": Histogram(INTER_TOKEN_LATENCY_BOUNDS_SECONDS),
            "request_time_per_output_token_seconds": Histogram(INTER_TOKEN_LATENCY_BOUNDS_SECONDS),
            "e2e_request_latency_seconds": Histogram(REQUEST_LATENCY_BOUNDS_SECONDS),
            "request_queue_time_seconds": Histogram(REQUEST_LATENCY_BOUNDS_SECONDS),
            "request_inference_time_seconds": Histogram(REQUEST_LATENCY_BOUNDS_SECONDS),
            "request_prefill_time_seconds": Histogram(REQUEST_LATENCY_BOUNDS_SECONDS),
            "request_decode_time_seconds": Histogram(REQUEST_LATENCY_BOUNDS_SECONDS),
            "request_num_preemptions": Histogram(REQUEST_NUM_PREEMPTIONS_BOUNDS),
            "request_prefill_kv_computed_tokens": Histogram(tokens),
        }

    def record_decode_steps(self, sequences: int, steps: int, first_seconds: float, growth_seconds: float) -> None:
        """Count engine steps in which every running request wrote one token and nothing else happened."""
        self.steps += steps
        self.busy_seconds += steps * (first_seconds + growth_seconds * (steps - 1) / 2)
        self.generation_tokens += sequences * steps
        self.batch_steps.record_decoding(sequences, steps, first_seconds, growth_seconds)
        self.histograms["iteration_tokens_total"].observe(sequences, steps)
        self.histograms["inter_token_latency_seconds"].observe_growing(first_seconds, growth_seconds, steps, sequences)

    def record_step(
        self, seconds: float, sequences: int, decoding: int, prompt_tokens: int, generated_tokens: int
    ) -> None:
        """Count one engine step. Prompt tokens count when their request's prompt is complete, as in vLLM.

        `decoding` of the `sequences` got their next token; the others had prompts read.
        """
        self.steps += 1
        self.busy_seconds += seconds
        self.prompt_tokens += prompt_tokens
        self.generation_tokens += generated_tokens
        if decoding == sequences:
            self.batch_steps.record_decoding(sequences, 1, seconds, 0.0)
        else:
            self.batch_steps.record_mixed(seconds, sequences, prompt_tokens, decoding)
        if prompt_tokens + generated_tokens:
            self.histograms["iteration_tokens_total"].observe(prompt_tokens + generated_tokens)

    def record_success(
        self,
        reason: FinishReason,
        timings: FinishedTimings,
        *,
        prompt_tokens: int,
        generated_tokens: int,
        max_tokens: int | None,
        preemptions: int,
    ) -> None:
        """Count a request that ended by itself. Like vLLM, an aborted one is not counted here."""
        self.request_success[reason] += 1
        decode_intervals = generated_tokens - 1
        observed: dict[str, float] = {
            "request_prompt_tokens": prompt_tokens,
            "request_generation_tokens": generated_tokens,
            "request_max_num_generation_tokens": generated_tokens,
            "request_params_n": 1,
            "request_prefill_kv_computed_tokens": prompt_tokens,
            "request_num_preemptions": preemptions,
            "e2e_request_latency_seconds": timings.e2e_seconds,
            "request_queue_time_seconds": timings.queue_seconds,
            "request_prefill_time_seconds": timings.prefill_seconds,
            "request_decode_time_seconds": timings.decode_seconds,
            "request_inference_time_seconds": timings.prefill_seconds + timings.decode_seconds,
            "request_time_per_output_token_seconds": (
                timings.decode_seconds / decode_intervals if decode_intervals else 0.0
            ),
        }
        if max_tokens is not None:
            observed["request_params_max_tokens"] = max_tokens
        for name, value in observed.items():
            self.histograms[name].observe(value)
