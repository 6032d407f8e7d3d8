"""What the middleware tells on the engine's own /metrics.

The names do not begin with `vllm:`: vLLM takes all such metrics out of the registry when it makes its own. Values are
those of one API server process; with several, Prometheus' multi-process mode adds them up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from batchedllm_engine.middleware.gate import Gate
from batchedllm_engine.middleware.refusal import Reason

PREFIX: Final = "batchedllm_engine:admission_"
NO_CLASS: Final = ""
"""Label of requests that were refused before their class was known."""
QUEUE_BUCKETS: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)


class Outcome(StrEnum):
    """What became of a request: label `outcome`."""

    SERVED = "served"
    REFUSED_BY_ENGINE = "refused_by_engine"
    """The engine answered 4xx."""
    ENGINE_ERROR = "engine_error"
    """The engine answered 5xx, or not at all."""
    REJECTED = "rejected"
    """Refused here, or taken out of the queue: the engine never saw it."""
    CUT = "cut"
    """Its time was over, or the drain's, while it ran."""
    DISCONNECTED = "disconnected"
    """Its client went away."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    text: str
    labels: tuple[str, ...] = ()
    mode: Literal["livesum", "max", "min"] = "livesum"
    """How gauges of several API server processes become one."""

    @property
    def full_name(self) -> str:
        """The name on /metrics."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Return it as a counter."""
        return Counter(f"{PREFIX}{self.name}", self.text, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """Return it as a gauge."""
        return Gauge(f"{PREFIX}{self.name}", self.text, self.labels, registry=registry, multiprocess_mode=self.mode)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """Return it as a histogram of seconds."""
        return Histogram(f"{PREFIX}{self.name}", self.text, self.labels, registry=registry, buckets=QUEUE_BUCKETS)


REQUESTS: Final = Definition("counter", "requests", "Requests by class and what became of them.", ("class", "outcome"))
REJECTIONS: Final = Definition("counter", "rejections", "Requests refused or cut, by why.", ("class", "reason"))
QUEUE_SECONDS: Final = Definition(
    "histogram", "queue_seconds", "Time in the queue of requests that left it for the engine.", ("class",)
)
QUEUED_REQUESTS: Final = Definition("gauge", "queued_requests", "Requests in the middleware's queue.", ("class",))
QUEUED_TOKENS: Final = Definition("gauge", "queued_tokens", "Their prompt tokens, estimated.", ("class",))
RUNNING_REQUESTS: Final = Definition("gauge", "running_requests", "Requests that the engine has.", ("class",))
BUFFERED_BYTES: Final = Definition("gauge", "buffered_bytes", "Bodies of requests held in memory.")
DRAINING: Final = Definition("gauge", "draining", "1 from SIGTERM on.", mode="max")
CONFIGURATION_VALID: Final = Definition(
    "gauge", "configuration_valid", "0 while a changed file cannot be used and what was before holds.", mode="min"
)
CONFIGURATION_RELOADS: Final = Definition(
    "counter", "configuration_reloads", "Changes of the files, used or refused.", ("result",)
)
DEFINITIONS: Final = (
    REQUESTS, REJECTIONS, QUEUE_SECONDS, QUEUED_REQUESTS, QUEUED_TOKENS, RUNNING_REQUESTS, BUFFERED_BYTES, DRAINING,
    CONFIGURATION_VALID, CONFIGURATION_RELOADS,
)  # fmt: skip


class AdmissionMetrics:
    """The metrics of one process. Labels are bounded: classes of the configuration, outcomes and reasons."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._requests = REQUESTS.counter(registry)
        self._rejections = REJECTIONS.counter(registry)
        self._queue_seconds = QUEUE_SECONDS.histogram(registry)
        self._queued = QUEUED_REQUESTS.gauge(registry)
        self._queued_tokens = QUEUED_TOKENS.gauge(registry)
        self._running = RUNNING_REQUESTS.gauge(registry)
        self._buffered = BUFFERED_BYTES.gauge(registry)
        self._draining = DRAINING.gauge(registry)
        self._valid = CONFIGURATION_VALID.gauge(registry)
        self._reloads = CONFIGURATION_RELOADS.counter(registry)
        self._told: set[str] = set()

    def requested(self, service_class: str, outcome: Outcome) -> None:
        """Count the end of a request."""
        self._requests.labels(service_class, outcome).inc()

    def rejected(self, service_class: str, reason: Reason) -> None:
        """Count a refusal or a cut."""
        self._rejections.labels(service_class, reason).inc()

    def left_queue(self, service_class: str, seconds: float) -> None:
        """Note how long a request waited that the engine gets now."""
        self._queue_seconds.labels(service_class).observe(seconds)

    def announce(self, service_classes: Iterable[str]) -> None:
        """Let the series of classes begin at 0, so that their first request is an increase."""
        for name in service_classes:
            for outcome in Outcome:
                self._requests.labels(name, outcome)

    def show(self, gate: Gate, buffered_bytes: int) -> None:
        """Tell what waits and runs. A class that was taken away goes to 0 and stays there."""
        present = set()
        for name, line in gate.lines():
            present.add(name)
            self._queued.labels(name).set(line.queued_requests)
            self._queued_tokens.labels(name).set(line.queued_tokens)
            self._running.labels(name).set(line.running_requests)
        for name in self._told - present:
            for gauge in (self._queued, self._queued_tokens, self._running):
                gauge.labels(name).set(0)
        self._told |= present
        self._buffered.set(buffered_bytes)
        self._draining.set(gate.draining)

    def reloaded(self, *, valid: bool) -> None:
        """Count a change of the files."""
        self._valid.set(valid)
        self._reloads.labels("used" if valid else "refused").inc()
