"""From a definition to what prometheus_client counts with.

Only instruments and no collectors of our own: with several API servers each process counts into files, and only the
values of instruments come together there.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from batchedllm_engine.metric_definitions import MetricDefinition


def counter(definition: MetricDefinition, registry: CollectorRegistry) -> Counter:
    """Return a counter of this definition in the registry."""
    return Counter(definition.name, definition.text, definition.labels, registry=registry)


def gauge(definition: MetricDefinition, registry: CollectorRegistry) -> Gauge:
    """Return a gauge of this definition; of several processes the one that wrote last counts, as in vLLM."""
    return Gauge(definition.name, definition.text, definition.labels, registry=registry, multiprocess_mode="mostrecent")


def histogram(definition: MetricDefinition, registry: CollectorRegistry) -> Histogram:
    """Return a histogram of this definition."""
    return Histogram(definition.name, definition.text, definition.labels, registry=registry, buckets=definition.buckets)
