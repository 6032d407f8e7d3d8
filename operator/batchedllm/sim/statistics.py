"""What vLLM's metrics count, kept by the simulated engine. Field names follow vLLM's metric names without `vllm:`.

Bucket bounds are those of vLLM 0.32.0 (vllm/v1/metrics/buckets.py).
"""

from typing import Final, NamedTuple

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
BATCH_SIZE_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

_MOST_WAITING: Final = 100_000
"""Finished requests that wait for a reader: an engine that nobody scrapes stays below some 20 MB."""


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


class FinishedRequest(NamedTuple):
    """One finished request, and how long its phases took in vLLM's terms."""

    e2e_seconds: float
    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float
    prompt_tokens: int
    generated_tokens: int
    max_tokens: int | None
    preemptions: int

    def observed(self) -> dict[str, float]:
        """Return what it adds to vLLM's histograms of finished requests."""
        values: dict[str, float] = {
            "request_prompt_tokens": self.prompt_tokens,
            "request_generation_tokens": self.generated_tokens,
            "request_max_num_generation_tokens": self.generated_tokens,
            "request_params_n": 1,
            "request_prefill_kv_computed_tokens": self.prompt_tokens,
            "request_num_preemptions": self.preemptions,
            "e2e_request_latency_seconds": self.e2e_seconds,
            "request_prefill_time_seconds": self.prefill_seconds,
            "request_decode_time_seconds": self.decode_seconds,
            "request_inference_time_seconds": self.prefill_seconds + self.decode_seconds,
        }
        return values if self.max_tokens is None else values | {"request_params_max_tokens": self.max_tokens}


class EngineStatistics:
    """Counters and histograms since the engine started; gauges are asked of the engine itself.

    Four histograms are always up to date; the others are when `histograms` is asked for. A simulated fleet never
    asks, and counting for it what nobody reads would take a third of its time.
    """

    __slots__ = (
        *("_batch_sizes", "_finished", "_iteration_tokens", "_others", "aborted", "admission_rejections"),
        *("busy_seconds", "first_token_seconds", "generation_tokens", "inter_token_seconds", "num_preemptions"),
        *("prefix_cache_queries", "prompt_tokens", "queue_seconds", "request_success", "steps"),
        "time_per_output_token_seconds",
    )

    def __init__(self, max_model_len: int) -> None:
        self.num_preemptions = 0
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.prefix_cache_queries = 0
        self.steps = 0
        self.busy_seconds = 0.0
        self.request_success: dict[FinishReason, int] = {"stop": 0, "length": 0, "abort": 0}
        self.aborted = 0
        self.admission_rejections: dict[QueueLimit, int] = {"max_num_queued_reqs": 0, "max_num_queued_tokens": 0}
        self.first_token_seconds = Histogram(TIME_TO_FIRST_TOKEN_BOUNDS_SECONDS)
        self.inter_token_seconds = Histogram(INTER_TOKEN_LATENCY_BOUNDS_SECONDS)
        self.queue_seconds = Histogram(REQUEST_LATENCY_BOUNDS_SECONDS)
        self.time_per_output_token_seconds = Histogram(INTER_TOKEN_LATENCY_BOUNDS_SECONDS)
        self._others = _other_histograms(max_model_len)
        self._batch_sizes: dict[int, int] = {}
        self._iteration_tokens: dict[int, int] = {}
        self._finished: list[FinishedRequest] = []

    @property
    def histograms(self) -> dict[str, Histogram]:
        """All histograms by name, so that a scrape of an idle engine shows them all."""
        self._catch_up()
        return self._others | {
            "time_to_first_token_seconds": self.first_token_seconds,
            "inter_token_latency_seconds": self.inter_token_seconds,
            "request_queue_time_seconds": self.queue_seconds,
            "request_time_per_output_token_seconds": self.time_per_output_token_seconds,
        }

    def _catch_up(self) -> None:
        """Count into the histograms what has waited for somebody to ask."""
        for name, waiting in (("batch_size", self._batch_sizes), ("iteration_tokens_total", self._iteration_tokens)):
            for value, times in waiting.items():
                self._others[name].observe(value, times)
            waiting.clear()
        for finished in self._finished:
            for name, seconds_or_tokens in finished.observed().items():
                self._others[name].observe(seconds_or_tokens)
        self._finished.clear()

    def record_decode_steps(self, sequences: int, steps: int, first_seconds: float, growth_seconds: float) -> None:
        """Count engine steps in which every running request wrote one token and nothing else happened."""
        self.steps += steps
        self.busy_seconds += steps * (first_seconds + growth_seconds * (steps - 1) / 2)
        self.generation_tokens += sequences * steps
        self._batch_sizes[sequences] = self._batch_sizes.get(sequences, 0) + steps
        self._iteration_tokens[sequences] = self._iteration_tokens.get(sequences, 0) + steps
        self.inter_token_seconds.observe_growing(first_seconds, growth_seconds, steps, sequences)

    def record_step(self, seconds: float, sequences: int, prompt_tokens: int, generated_tokens: int) -> None:
        """Count one engine step. Prompt tokens count when their request's prompt is complete, as in vLLM."""
        self.steps += 1
        self.busy_seconds += seconds
        self.prompt_tokens += prompt_tokens
        self.generation_tokens += generated_tokens
        self._batch_sizes[sequences] = self._batch_sizes.get(sequences, 0) + 1
        tokens = prompt_tokens + generated_tokens
        if tokens:
            self._iteration_tokens[tokens] = self._iteration_tokens.get(tokens, 0) + 1

    def record_success(self, reason: FinishReason, finished: FinishedRequest) -> None:
        """Count a request that ended by itself. Like vLLM, an aborted one is not counted here."""
        self.request_success[reason] += 1
        self.queue_seconds.observe(finished.queue_seconds)
        intervals = finished.generated_tokens - 1
        self.time_per_output_token_seconds.observe(finished.decode_seconds / intervals if intervals > 0 else 0.0)
        self._finished.append(finished)
        if len(self._finished) >= _MOST_WAITING:
            self._catch_up()


def _other_histograms(max_model_len: int) -> dict[str, Histogram]:
    """Return those that are brought up to date when somebody asks, empty."""
    tokens = request_token_bounds(max_model_len)
    return {
        "request_prompt_tokens": Histogram(tokens),
        "request_generation_tokens": Histogram(tokens),
        "iteration_tokens_total": Histogram(ITERATION_TOKENS_BOUNDS),
        "request_max_num_generation_tokens": Histogram(tokens),
        "request_params_n": Histogram(REQUEST_PARAMS_N_BOUNDS),
        "request_params_max_tokens": Histogram(tokens),
        "e2e_request_latency_seconds": Histogram(REQUEST_LATENCY_BOUNDS_SECONDS),
        "request_inference_time_seconds": Histogram(REQUEST_LATENCY_BOUNDS_SECONDS),
        "request_prefill_time_seconds": Histogram(REQUEST_LATENCY_BOUNDS_SECONDS),
        "request_decode_time_seconds": Histogram(REQUEST_LATENCY_BOUNDS_SECONDS),
        "request_num_preemptions": Histogram(REQUEST_NUM_PREEMPTIONS_BOUNDS),
        "request_prefill_kv_computed_tokens": Histogram(tokens),
        "batch_size": Histogram(BATCH_SIZE_BOUNDS),
    }
