"""The engine's /metrics: vLLM's names, types and labels, and beside them those of the engine images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from batchedllm.sim.memory import GIB, GPU_MEMORY_GIB
from batchedllm.sim.step_times import H100_LOAD, H200_LOAD
from batchedllm_engine.gpu_exporter import definitions as gpus
from batchedllm_engine.gpu_exporter.reading import Identity
from batchedllm_engine.simulated.arguments import EngineOptions
from batchedllm_engine.simulated.driver import EngineDriver
from batchedllm_engine.simulated.own_metrics import single, start_metrics, step_metrics
from batchedllm_engine.simulated.start import EngineStart

ENGINE = "0"
MIB = 1 << 20
GPU_NAMES = {"H200": "NVIDIA H200", "H100": "NVIDIA H100 80GB HBM3"}
GPU_LOADS = {"H200": H200_LOAD, "H100": H100_LOAD}
GPU_UUID = "GPU-00000000-0000-0000-0000-000000000000"

HISTOGRAMS = {
    "request_prompt_tokens": "Number of prefill tokens processed.",
    "request_generation_tokens": "Number of generation tokens processed.",
    "iteration_tokens_total": "Histogram of number of tokens per engine_step.",
    "request_max_num_generation_tokens": "Histogram of maximum number of requested generation tokens.",
    "request_params_n": "Histogram of the n request parameter.",
    "request_params_max_tokens": "Histogram of the max_tokens request parameter.",
    "time_to_first_token_seconds": "Histogram of time to first token in seconds.",
    "inter_token_latency_seconds": "Histogram of inter-token latency in seconds.",
    "request_time_per_output_token_seconds": "Histogram of time_per_output_token_seconds per request.",
    "e2e_request_latency_seconds": "Histogram of e2e request latency in seconds.",
    "request_queue_time_seconds": "Histogram of time spent in WAITING phase for request.",
    "request_inference_time_seconds": "Histogram of time spent in RUNNING phase for request.",
    "request_prefill_time_seconds": "Histogram of time spent in PREFILL phase for request.",
    "request_decode_time_seconds": "Histogram of time spent in DECODE phase for request.",
    "request_num_preemptions": "Histogram of the number of times a request was preempted.",
    "request_prefill_kv_computed_tokens": "Histogram of new KV tokens computed during prefill.",
}
WITHOUT_WORK = {
    "prefix_cache_hits": "Prefix cache hits, in terms of number of cached tokens.",
    "external_prefix_cache_queries": "External prefix cache queries from KV connector.",
    "external_prefix_cache_hits": "External prefix cache hits from KV connector.",
    "mm_cache_queries": "Multi-modal cache queries.",
    "mm_cache_hits": "Multi-modal cache hits.",
    "prompt_tokens_cached": "Number of cached prompt tokens.",
    "estimated_flops_per_gpu": "Estimated number of floating point operations per GPU.",
    "estimated_read_bytes_per_gpu": "Estimated number of bytes read from memory per GPU.",
    "estimated_write_bytes_per_gpu": "Estimated number of bytes written to memory per GPU.",
}


@dataclass(frozen=True, slots=True)
class EngineCollector(Collector):
    """Reads the engine at every scrape."""

    driver: EngineDriver
    options: EngineOptions
    start: EngineStart

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        self.driver.look()
        if not self.options.disable_log_stats:
            yield from self._gauges()
            yield from self._counters()
            yield from self._histograms()
            yield self._cache_config()
            if self.driver.engine.batch_steps is not None:
                labels = (ENGINE, self.options.served_name)
                yield from step_metrics(self.driver.engine, self.driver.engine.batch_steps, labels)
            yield from start_metrics(self.options, self.start)
        yield single(gpus.UP, (), not self.options.sim_no_gpu_metrics)
        if not self.options.sim_no_gpu_metrics:
            yield from self._gpu()

    def _family(
        self, kind: type[GaugeMetricFamily | CounterMetricFamily], name: str, text: str, values: Mapping[str, float]
    ) -> Metric:
        """Return a family of one label beside the engine's own: `values` maps `label=value`, or nothing, to numbers."""
        extra = sorted({key.partition("=")[0] for key in values if key})
        family = kind(f"vllm:{name}", text, labels=["engine", "model_name", *extra])
        for key, value in values.items():
            label = [key.partition("=")[2]] if key else []
            family.add_metric([ENGINE, self.options.served_name, *label], value)
        return family

    def _gauge(self, name: str, text: str, values: Mapping[str, float]) -> Metric:
        return self._family(GaugeMetricFamily, name, text, values)

    def _counter(self, name: str, text: str, values: Mapping[str, float]) -> Metric:
        return self._family(CounterMetricFamily, name, text, values)

    def _gauges(self) -> Iterator[Metric]:
        engine = self.driver.engine
        waiting = engine.waiting
        yield self._gauge(
            "num_requests_running", "Number of requests in model execution batches.", {"": engine.running}
        )
        yield self._gauge("num_requests_waiting", "Number of requests waiting to be processed.", {"": waiting})
        yield self._gauge(
            "num_requests_waiting_by_reason",
            "Number of waiting requests by reason.",
            {"reason=capacity": waiting, "reason=deferred": 0},
        )
        yield self._gauge(
            "engine_sleep_state",
            "Engine sleep state.",
            {"sleep_state=awake": 1, "sleep_state=weights_offloaded": 0, "sleep_state=discard_all": 0},
        )
        yield self._gauge(
            "kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", {"": engine.kv_cache_usage}
        )

    def _counters(self) -> Iterator[Metric]:
        counted = self.driver.engine.statistics
        yield self._counter(
            "prefix_cache_queries",
            "Prefix cache queries, in terms of number of queried tokens.",
            {"": counted.prefix_cache_queries},
        )
        for name, text in WITHOUT_WORK.items():
            yield self._counter(name, text, {"": 0})
        yield self._counter(
            "num_preemptions", "Cumulative number of preemption from the engine.", {"": counted.num_preemptions}
        )
        yield self._counter("prompt_tokens", "Number of prefill tokens processed.", {"": counted.prompt_tokens})
        yield self._counter(
            "prompt_tokens_by_source",
            "Number of prompt tokens by source.",
            {"source=local_compute": counted.prompt_tokens}
            | dict.fromkeys(("source=local_cache_hit", "source=external_kv_transfer"), 0),
        )
        yield self._counter(
            "prompt_tokens_cached_by_source",
            "Number of cached prompt tokens by source.",
            dict.fromkeys([f"source={name}" for name in ("device", "host", "p2p", "disk", "external_unspecified")], 0),
        )
        yield self._counter(
            "generation_tokens", "Number of generation tokens processed.", {"": counted.generation_tokens}
        )
        reasons = {"stop": 0, "length": 0, "abort": 0, "error": 0, "repetition": 0} | counted.request_success
        yield self._counter(
            "request_success",
            "Count of successfully processed requests.",
            {f"finished_reason={reason}": value for reason, value in reasons.items()},
        )
        rejections = CounterMetricFamily(
            "vllm:admission_rejections",
            "Number of requests rejected because of queue limits.",
            labels=["model_name", "reason"],
        )
        for reason, value in counted.admission_rejections.items():
            rejections.add_metric([self.options.served_name, reason], value)
        yield rejections

    def _histograms(self) -> Iterator[Metric]:
        for name, text in HISTOGRAMS.items():
            histogram = self.driver.engine.statistics.histograms[name]
            bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
            family = HistogramMetricFamily(f"vllm:{name}", text, labels=["engine", "model_name"])
            family.add_metric(
                [ENGINE, self.options.served_name],
                buckets=list(zip(bounds, histogram.cumulative(), strict=True)),
                sum_value=histogram.total,
            )
            yield family

    def _cache_config(self) -> Metric:
        settings = self.start.settings
        facts = {
            "block_size": settings.block_size,
            "cache_dtype": self.options.kv_cache_dtype,
            "enable_prefix_caching": False,
            "gpu_memory_utilization": self.options.gpu_memory_utilization,
            "kv_cache_max_concurrency": self.start.max_concurrency,
            "kv_cache_memory_bytes": self.options.kv_cache_memory_bytes,
            "kv_cache_size_tokens": self.start.kv_cache_size_tokens,
            "num_cpu_blocks": None,
            "num_gpu_blocks": settings.num_gpu_blocks,
            "num_gpu_blocks_override": self.options.num_gpu_blocks_override,
        }
        family = GaugeMetricFamily(
            "vllm:cache_config_info", "Information of the LLMEngine CacheConfig", labels=["engine", *facts]
        )
        family.add_metric([ENGINE, *(str(value) for value in facts.values())], 1)
        return family

    def _gpu(self) -> Iterator[Metric]:
        gpu = self.options.sim_gpu
        utilization, watts_above_idle = self.driver.gpu_load()
        capacity_mib = GPU_MEMORY_GIB[gpu] * GIB / MIB
        used_mib = capacity_mib * self.options.gpu_memory_utilization
        values = {
            gpus.UTILIZATION: round(utilization, 1),
            gpus.MEMORY_USED: round(used_mib),
            gpus.MEMORY_FREE: round(capacity_mib - used_mib),
            gpus.POWER: round(GPU_LOADS[gpu].idle_watts + watts_above_idle, 1),
        }
        identity = Identity(0, GPU_UUID, GPU_NAMES[gpu])
        for definition, value in values.items():
            yield single(definition, identity.labels, value)
