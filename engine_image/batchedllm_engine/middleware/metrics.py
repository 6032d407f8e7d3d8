"""What the middleware tells on the engine's own /metrics.

The names do not begin with `vllm:`: vLLM takes all such metrics out of the registry when it makes its own. Values are
those of one API server process; with several, Prometheus' multi-process mode adds them up.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

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


class AdmissionMetrics:
    """The metrics of one process. Labels are bounded: classes of the configuration, outcomes and reasons."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._requests = Counter(
            f"{PREFIX}requests", "Requests by class and what became of them.", ["class", "outcome"], registry=registry
        )
        self._rejections = Counter(
            f"{PREFIX}rejections", "Requests refused or cut, by class and reason.", ["class", "reason"],
            registry=registry,
        )  # fmt: skip
        self._queue_seconds = Histogram(
            f"{PREFIX}queue_seconds", "Time in the middleware's queue of requests that left it for the engine.",
            ["class"], buckets=QUEUE_BUCKETS, registry=registry,
        )  # fmt: skip
        self._queued = self._gauge("queued_requests", "Requests in the middleware's queue.", registry, ["class"])
        self._queued_tokens = self._gauge(
            "queued_tokens", "Estimated prompt tokens of the requests in the queue.", registry, ["class"]
        )
        self._running = self._gauge("running_requests", "Requests that the engine has.", registry, ["class"])
        self._buffered = self._gauge("buffered_bytes", "Bodies held in memory.", registry)
        self._draining = self._gauge("draining", "1 from SIGTERM on.", registry, mode="max")
        self._valid = self._gauge(
            "configuration_valid", "0 while a configuration or key file cannot be used and the one before holds.",
            registry, mode="min",
        )  # fmt: skip
        self._reloads = Counter(
            f"{PREFIX}configuration_reloads", "Changes of the configuration or the keys.", ["result"],
            registry=registry,
        )  # fmt: skip
        self._told: set[str] = set()

    @staticmethod
    def _gauge(
        name: str, text: str, registry: CollectorRegistry, labels: list[str] | None = None, mode: str = "livesum"
    ) -> Gauge:
        return Gauge(f"{PREFIX}{name}", text, labels or [], registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]

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
