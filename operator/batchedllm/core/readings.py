"""What one scrape of one engine pod said, and what a fleet of them says together.

`None` always means *unknown*: not reported, not parsable, not plausible. It is never the same as 0.
Per-pod and fleet values are different types, so that an average is never taken for a total.
"""

from dataclasses import dataclass
from typing import Literal

GpuMetricsSource = Literal["engine", "dcgm-exporter", "mixed", "none"]
"""Who tells the GPUs' utilization: every replica's own metrics, every node's dcgm-exporter, some this and some that,
or nobody."""


@dataclass(frozen=True, slots=True)
class LatencyHistogram:
    """How many values there were up to each of some bounds, since the engine's start."""

    bounds_seconds: tuple[float, ...]
    """Ascending."""
    below: tuple[float, ...]
    """Values up to each bound, as Prometheus counts them; one more than bounds: the last is for all values."""


@dataclass(frozen=True, slots=True)
class PodReading:
    """The values of one scrape of one pod."""

    pod: str
    at_seconds: float
    """Monotonic time of the scrape."""
    queue_depth: float | None = None
    """Requests waiting in this pod."""
    running: float | None = None
    """Requests in this pod's batch."""
    kv_cache_usage_fraction: float | None = None
    gpu_utilization_percent: float | None = None
    """Mean over the pod's GPUs; None on a CPU engine, and where neither the engine nor a dcgm-exporter tells it."""
    gpu_power_watts: float | None = None
    """Mean over the pod's GPUs; None where the engine has no exporter."""
    gpu_is_of_node: bool = False
    """Whether that is what the dcgm-exporter of the pod's node says, some half a minute old, and not the engine."""
    prompt_tokens_total: float | None = None
    """Counter since the engine's start."""
    generation_tokens_total: float | None = None
    """Counter since the engine's start."""
    preemptions_total: float | None = None
    rejections_total: float | None = None
    """Requests that the engine refused because of its queue limits."""
    finished_total: float | None = None
    """Requests that ended, however they did."""
    step_seconds_total: float | None = None
    """Sum of the times between two tokens of a request, over all of them."""
    step_tokens_total: float | None = None
    """How many times between two tokens are in `step_seconds_total`."""
    time_to_first_token: LatencyHistogram | None = None
    """One value a request, counted at its first token."""
    admission_wait: LatencyHistogram | None = None
    """Time in the queue before the engine, which `time_to_first_token` leaves out; one value a request, counted when
    the engine gets it. None: no middleware keeps such a queue."""
    time_per_output_token: LatencyHistogram | None = None
    """Mean time between the tokens of a request; one value a request, counted at its end."""
    missing: tuple[str, ...] = ()
    """Metrics of the contract that the pod does not report under any known name."""
    cache_labels: tuple[tuple[str, str], ...] = ()
    """What the engine says of its KV cache: labels of `vllm:cache_config_info`."""
    memory_bytes: tuple[tuple[str, float], ...] = ()
    """Bytes per GPU by term, as the engine found them when it started; empty where the image does not tell."""
    admission_configuration_valid: float | None = None
    """0 while the middleware cannot use its configuration or its file of keys, else 1; None: no middleware."""

    @property
    def is_misconfigured(self) -> bool:
        """Whether the pod's middleware cannot use its files."""
        return self.admission_configuration_valid is not None and self.admission_configuration_valid < 1

    @property
    def is_measured(self) -> bool:
        """Whether queue and batch are known: without them the pod counts as silent."""
        return self.queue_depth is not None and self.running is not None


@dataclass(frozen=True, slots=True)
class FleetLoad:
    """The replicas of one BatchedLLM together, over the short window.

    Totals are sums over the replicas that report: with a silent pod they are a lower bound, good enough to add
    replicas and never to remove any. Means are unknown as soon as one reporting replica does not tell its own value.
    """

    reporting_replicas: int
    """Ready pods with a fresh reading."""
    silent_pods: tuple[str, ...]
    """Ready pods without a fresh reading: their load is unknown."""
    queue_depth_total: float | None
    running_total: float | None
    kv_cache_usage_fraction_mean: float | None
    gpu_utilization_percent_mean: float | None
    tokens_per_second_total: float | None
    missing: tuple[str, ...] = ()
    """Metrics of the contract that at least one pod does not report."""
    no_gpu_metrics: bool = False
    """Fresh readings are there, but none has a GPU utilization."""
    gpu_metrics_source: GpuMetricsSource = "none"
    """Who told the GPU utilization."""
    gpu_power_watts_mean: float | None = None
    """Watts per GPU."""
    new_pods: tuple[str, ...] = ()
    """Those of `silent_pods` that were never read: they have just become ready, and are capacity, not hidden load."""
    stalled_pods: tuple[str, ...] = ()
    """Reporting pods whose queue waits while neither tokens nor the GPU move: more replicas would not help them."""
    stalled_queue_depth: float = 0.0
    """Part of `queue_depth_total` that waits in stalled pods."""
    stalled_running: float = 0.0
    """Part of `running_total` that is held by stalled pods."""
    full_batch: float | None = None
    """Requests that one replica computes at a time when it has no room for more: seen where a queue lasted for the
    whole short window. None: no replica was full."""
    running_max: float | None = None
    """Largest batch among the reporting replicas."""
    readings: tuple[PodReading, ...] = ()
    """The latest fresh reading of each reporting replica."""
    cache_labels: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    """By pod, what each reporting replica says of its KV cache."""

    @property
    def unheard_replicas(self) -> int:
        """Ready pods that were read before and no longer tell their load."""
        return len(self.silent_pods) - len(self.new_pods)

    @property
    def is_complete(self) -> bool:
        """Whether every ready pod is in the totals: only then may a low load remove replicas."""
        return self.reporting_replicas > 0 and not self.silent_pods
