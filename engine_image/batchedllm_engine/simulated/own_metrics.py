"""The metrics that the engine images add to vLLM's, told of the simulated engine by the same definitions."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from batchedllm.sim.batch_steps import BatchSteps
from batchedllm.sim.engine import SimulatedEngine
from batchedllm.sim.histograms import Histogram
from batchedllm.sim.memory import GIB, GPU_MEMORY_GIB
from batchedllm_engine.metric_definitions import MetricDefinition
from batchedllm_engine.simulated.arguments import EngineOptions
from batchedllm_engine.simulated.start import EngineStart
from batchedllm_engine.start.definitions import MEMORY_BYTES, STARTUP_SECONDS
from batchedllm_engine.stat_logger import definitions as steps
from batchedllm_engine.stat_logger.step import BATCH_LABEL_VALUES

Labels = Sequence[str]


def single(definition: MetricDefinition, labels: Labels, value: float) -> Metric:
    """Return a family of one series."""
    return _numbers(definition, {tuple(labels): value})


def step_metrics(engine: SimulatedEngine, told: BatchSteps, labels: tuple[str, str]) -> Iterator[Metric]:
    """Yield what the steps were like; `labels` are those of the engine."""
    yield _histograms(steps.BATCH_SIZE, {labels: engine.statistics.histograms["batch_size"]})
    yield _histograms(
        steps.STEP_TOKEN_COUNT, {(*labels, "prefill"): told.prefill_tokens, (*labels, "decode"): told.decode_tokens}
    )
    by_batch = {(*labels, BATCH_LABEL_VALUES[place]): one for place, one in sorted(told.by_batch.items())}
    yield _histograms(steps.STEP_DURATION, {key: one.seconds for key, one in by_batch.items()})
    yield _numbers(steps.DECODE_STEPS, {key: one.decode_steps for key, one in by_batch.items()})
    yield _numbers(steps.DECODE_SECONDS, {key: one.decode_seconds for key, one in by_batch.items()})
    yield _numbers(steps.DECODE_REQUESTS, {key: one.decode_requests for key, one in by_batch.items()})
    yield _numbers(steps.DECODE_TOKENS, {key: one.decode_tokens for key, one in by_batch.items()})
    yield single(steps.PREEMPTIONS, labels, engine.statistics.num_preemptions)
    blocks = engine.settings.usable_blocks
    yield single(steps.KV_BLOCKS, labels, blocks)
    yield single(steps.KV_BLOCKS_FREE, labels, round((1 - engine.kv_cache_usage) * blocks))
    yield single(steps.ERRORS, (), 0)


def start_metrics(options: EngineOptions, start: EngineStart) -> Iterator[Metric]:
    """Yield what a simulated start has: how long it took, and the terms of memory that it reckons with."""
    yield single(STARTUP_SECONDS, ("total",), options.sim_startup_seconds)
    total = GPU_MEMORY_GIB[options.sim_gpu] * GIB
    terms = {
        "total": total,
        "requested": total * options.gpu_memory_utilization,
        "kv_cache": start.capacity.available_bytes,
    }
    yield _numbers(MEMORY_BYTES, {(term,): round(value) for term, value in terms.items()})


def _numbers(definition: MetricDefinition, values: Mapping[tuple[str, ...], float]) -> Metric:
    kind = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
    family = kind(definition.name, definition.text, labels=definition.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histograms(definition: MetricDefinition, values: Mapping[tuple[str, ...], Histogram]) -> Metric:
    family = HistogramMetricFamily(definition.name, definition.text, labels=definition.labels)
    for labels, histogram in values.items():
        bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        family.add_metric(labels, list(zip(bounds, histogram.cumulative(), strict=True)), sum_value=histogram.total)
    return family
