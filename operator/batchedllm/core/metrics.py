"""An engine's exposition text -> a `PodReading`, by metric name, under a contract.

Only the wanted lines are looked at: a scrape has hundreds of lines, comes every two seconds from every pod, and some
sixty of its lines matter. Whatever is not as the contract says (missing, renamed to something unknown, not a finite
number, negative, implausible, there twice, of another type, with a timestamp of its own) makes the value unknown and is
named in `PodReading.missing`. Nothing is guessed, and nothing is ever 0 because it was not there. Never raises.

The format is Prometheus' text format 0.0.4; names and their history are vLLM's (v1/metrics/loggers.py of 0.32).
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from operator import lt
from typing import Final

from batchedllm.core.exposition import LABELS, NUMBER, ContractError, plausible, series
from batchedllm.core.readings import LatencyHistogram, PodReading


class Over(Enum):
    """How the series of one pod (engines of a data-parallel deployment, GPUs) become one value."""

    SUM = "sum"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Added:
    """What a pod's middleware tells beside the engine (docs/admission.md), where there is one."""

    name: str
    reasons: frozenset[str] | None = None
    """Values of the label `reason` that count; None: all series do."""

    def counts(self, labels: Iterable[tuple[str, str]]) -> bool:
        """Tell whether the series with these labels is meant."""
        return self.reasons is None or dict(labels).get("reason") in self.reasons


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the contract."""

    field: str
    """Field of `PodReading` that it fills."""
    names: tuple[str, ...]
    """Name of its series first in today's engine, then in older ones. The first that is there counts."""
    kind: str
    """`gauge` or `counter`."""
    over: Over
    most: float
    """Largest plausible value of one series; above it the engine is not believed."""
    optional: bool = False
    """Whether its absence is normal, and so not reported as missing."""
    added: Added | None = None
    """What is added to it where it is there; never instead of a metric that is not optional."""


REQUESTS_MOST: Final = 1e6
"""A pod with more requests than that is not believed: vLLM's front end would have long run out of sockets."""
COUNTER_MOST: Final = 2.0**53
"""Above it a float no longer counts single tokens."""
WATTS_MOST: Final = 1e5
"""No GPU draws a tenth of that."""

QUEUED: Final = Added("batchedllm_engine:admission_queued_requests")
"""Requests that wait before the engine."""
SHED: Final = Added("batchedllm_engine:admission_rejections_total", frozenset({"queue_full", "shed", "queue_time"}))
"""Requests turned away for want of room: more replicas would have served them. What a client's own rate, key or body
was refused for is no demand."""

CONTRACT: Final = (
    Metric("queue_depth", ("vllm:num_requests_waiting",), "gauge", Over.SUM, REQUESTS_MOST, added=QUEUED),
    Metric("running", ("vllm:num_requests_running",), "gauge", Over.SUM, REQUESTS_MOST),
    Metric(
        "kv_cache_usage_fraction",
        ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        "gauge",
        Over.MEAN,
        1.0,
    ),
    Metric("prompt_tokens_total", ("vllm:prompt_tokens_total",), "counter", Over.SUM, COUNTER_MOST),
    Metric("generation_tokens_total", ("vllm:generation_tokens_total",), "counter", Over.SUM, COUNTER_MOST),
    Metric("preemptions_total", ("vllm:num_preemptions_total",), "counter", Over.SUM, COUNTER_MOST),
    Metric(
        "rejections_total",
        ("vllm:admission_rejections_total",),
        "counter",
        Over.SUM,
        COUNTER_MOST,
        optional=True,
        added=SHED,
    ),
    Metric("finished_total", ("vllm:request_success_total",), "counter", Over.SUM, COUNTER_MOST, optional=True),
    Metric(
        "step_seconds_total",
        ("vllm:inter_token_latency_seconds_sum", "vllm:time_per_output_token_seconds_sum"),
        "histogram",
        Over.SUM,
        COUNTER_MOST,
        optional=True,
    ),
    Metric(
        "step_tokens_total",
        ("vllm:inter_token_latency_seconds_count", "vllm:time_per_output_token_seconds_count"),
        "histogram",
        Over.SUM,
        COUNTER_MOST,
        optional=True,
    ),
    Metric(
        "admission_configuration_valid",
        ("batchedllm_engine:admission_configuration_valid",),
        "gauge",
        Over.MEAN,
        1.0,
        optional=True,
    ),
    Metric("gpu_utilization_percent", ("DCGM_FI_DEV_GPU_UTIL",), "gauge", Over.MEAN, 100.0, optional=True),
    Metric("gpu_power_watts", ("DCGM_FI_DEV_POWER_USAGE",), "gauge", Over.MEAN, WATTS_MOST, optional=True),
)
"""Rejections are optional because older engines have no queue limits, what GPUs do because it needs an exporter.
Where the metrics of requests and steps are not there, signals that need them are left out, and say so."""

HISTOGRAMS: Final = {
    "time_to_first_token": "vllm:time_to_first_token_seconds",
    "time_per_output_token": "vllm:request_time_per_output_token_seconds",
    "admission_wait": "batchedllm_engine:admission_queue_seconds",
}
"""Latencies by the field of `PodReading` that they fill; optional like those."""
_BUCKETS: Final = {f"{name}_bucket": field for field, name in HISTOGRAMS.items()}

CACHE_INFO: Final = "vllm:cache_config_info"
"""A series that is always 1; what it tells is in its labels."""
CACHE_LABELS: Final = ("num_gpu_blocks", "block_size", "kv_cache_size_tokens", "kv_cache_max_concurrency")
"""Those of its labels that are kept; it has some thirty, and they change between versions."""

MEMORY_BYTES: Final = "batchedllm_engine:memory_bytes"
"""Where an engine image tells what its memory went to, by the label `term`."""

_ADDED: Final = frozenset(metric.added.name for metric in CONTRACT if metric.added is not None)
_NAMES: Final = (
    frozenset(name for metric in CONTRACT for name in metric.names) | _BUCKETS.keys() | _ADDED | {MEMORY_BYTES}
)
_TYPED_NAMES: Final = _NAMES | {name.removesuffix("_total") for name in _NAMES}
_BLANKS: Final = " \t\r"
_NAME: Final = re.compile(r"[ \t]+|(?=\{)")


@dataclass(frozen=True, slots=True)
class _Scrape:
    samples: dict[str, list[str]]
    """What follows the name, per name."""
    types: dict[str, str]


def parse(text: str, pod: str, at_seconds: float) -> PodReading:
    """Read the exposition `text` that `pod` answered at the monotonic time `at_seconds`."""
    scrape = _wanted(text)
    values: dict[str, float] = {}
    missing: list[str] = []
    for metric in CONTRACT:
        try:
            value = _value(metric, scrape)
        except ContractError as error:
            missing.append(f"{metric.names[0]} ({error})")
            continue
        if value is not None:
            values[metric.field] = value
        elif not metric.optional:
            missing.append(metric.names[0])
    histograms: dict[str, LatencyHistogram] = {}
    for name, field in _BUCKETS.items():
        try:
            if name in scrape.samples:
                histograms[field] = _histogram(scrape.samples[name])
        except ContractError as error:
            missing.append(f"{name.removesuffix('_bucket')} ({error})")
    cache = _cache_labels(scrape.samples.get(CACHE_INFO, ()))
    return PodReading(
        pod,
        at_seconds,
        gpu_is_of_node=False,
        missing=tuple(missing),
        cache_labels=cache,
        memory_bytes=_memory_bytes(scrape.samples.get(MEMORY_BYTES, ())),
        time_to_first_token=histograms.get("time_to_first_token"),
        time_per_output_token=histograms.get("time_per_output_token"),
        admission_wait=histograms.get("admission_wait"),
        **values,
    )


def _histogram(samples: Iterable[str]) -> LatencyHistogram:
    """Put the buckets of all engines of the pod together. Raises ContractError."""
    seen: set[Iterable[tuple[str, str]]] = set()
    below: dict[float, float] = {}
    for labels, text in map(series, samples):
        if labels in seen:
            raise ContractError("the same series twice")
        seen.add(labels)
        bound = _bound(dict(labels).get("le", ""))
        below[bound] = below.get(bound, 0.0) + plausible(text, COUNTER_MOST)
    bounds = sorted(below)
    if bounds[-1] != math.inf:
        raise ContractError("has no bucket for all values")
    counts = tuple([below[bound] for bound in bounds])
    if any(map(lt, counts[1:], counts)):
        raise ContractError("a larger bucket holds less than a smaller one")
    return LatencyHistogram(tuple(bounds[:-1]), counts)


def _bound(text: str) -> float:
    if text == "+Inf":
        return math.inf
    if not NUMBER.fullmatch(text):
        raise ContractError(f"has a bucket up to {text[:20]!r}")
    return float(text)


def _cache_labels(samples: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return what the first engine of the pod says of its KV cache; nothing where it says it in no readable way."""
    for sample in samples:
        found = dict(LABELS.findall(sample.rpartition("}")[0].removeprefix("{")))
        return tuple((label, found[label]) for label in CACHE_LABELS if label in found)
    return ()


def _memory_bytes(samples: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """Return the terms of the engine's memory; nothing where one of them cannot be read: its log tells as well."""
    try:
        found = [
            (dict(labels).get("term", ""), plausible(value, COUNTER_MOST)) for labels, value in map(series, samples)
        ]
    except ContractError:
        return ()
    return tuple(sorted(found))


def _wanted(text: str) -> _Scrape:
    """Pick the lines that matter. Cheap tests first: of hundreds of lines, a dozen get through."""
    scrape = _Scrape({}, {})
    for line in text.split("\n"):
        if line.startswith("# HELP"):
            continue
        name, brace, labels = line.partition("{")
        if name in _NAMES or name == CACHE_INFO:
            scrape.samples.setdefault(name, []).append(brace + labels)
        elif not brace or name.strip(_BLANKS) in _NAMES or name.startswith("#"):
            _take(line, scrape)
    return scrape


def _take(line: str, scrape: _Scrape) -> None:
    """A sample without labels or with blanks around its name, a TYPE line, or something of no interest."""
    words = _NAME.split(line.strip(_BLANKS), maxsplit=1)
    if words[0] in _NAMES and len(words) > 1:
        scrape.samples.setdefault(words[0], []).append(words[1])
    elif words[0] == "#":
        comment = line.split()
        if len(comment) == 4 and comment[1] == "TYPE" and comment[2] in _TYPED_NAMES:  # noqa: PLR2004 - # TYPE name kind
            scrape.types[comment[2]] = comment[3]


def _value(metric: Metric, scrape: _Scrape) -> float | None:
    """Value over all series of the metric, None where it is absent. Raises ContractError."""
    name = next((name for name in metric.names if name in scrape.samples), None)
    if name is None and not metric.optional:
        return None
    values = [] if name is None else [value for _, value in _values(name, metric, scrape)]
    if metric.added is not None and metric.added.name in scrape.samples:
        values += _beside(metric, metric.added, scrape) or [0.0]
    if not values:
        return None
    return sum(values) if metric.over is Over.SUM else sum(values) / len(values)


def _beside(metric: Metric, added: Added, scrape: _Scrape) -> list[float]:
    """Return what the middleware tells. Raises ContractError."""
    try:
        return [value for labels, value in _values(added.name, metric, scrape) if added.counts(labels)]
    except ContractError as error:
        raise ContractError(f"{added.name} {error}") from error


def _values(name: str, metric: Metric, scrape: _Scrape) -> list[tuple[Iterable[tuple[str, str]], float]]:
    """Labels and value of each series called `name`. Raises ContractError."""
    _check_type(name, metric.kind, scrape.types)
    found = [series(rest) for rest in scrape.samples[name]]
    if len({labels for labels, _ in found}) < len(found):
        raise ContractError("the same series twice")
    return [(labels, plausible(value, metric.most)) for labels, value in found]


def _check_type(name: str, kind: str, types: dict[str, str]) -> None:
    """OpenMetrics types a counter without its `_total`; no type at all says nothing against the metric."""
    typed = types.get(name) or types.get(name.removesuffix("_total")) or "untyped"
    if typed not in (kind, "untyped", "unknown"):
        raise ContractError(f"is a {typed}, not a {kind}")
