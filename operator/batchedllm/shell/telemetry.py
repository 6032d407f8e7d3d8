"""The operator's own metrics.

Names begin with `batchedllm_operator_`. Labels are bounded: results, kinds, verbs, signals, and one
series per BatchedLLM where the number of replicas or a scrape's age is of interest; those are removed with it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector

from batchedllm.core.reconcile_types import Manifest
from batchedllm.core.scaling.types import Decision
from batchedllm.shell.key import Key

_DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PREFIX: Final = "batchedllm_operator"
_MODEL: Final = ("namespace", "name")


class Telemetry:
    """Counters, gauges and histograms, each told of by one method."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._clock = clock
        ProcessCollector(registry=self.registry)
        self._reconciles = self._counter("reconciles", "Reconciliations by result.", "result")
        self._duration = Histogram(
            f"{_PREFIX}_reconcile_duration_seconds",
            "Duration of a reconciliation, from taking the key to the last write.",
            buckets=_DURATIONS,
            registry=self.registry,
        )
        self._errors = self._counter("errors", "Errors by kind.", "kind")
        self._calls = self._counter(
            "api_calls", "Calls of the API server by verb, kind and status.", "verb", "kind", "code"
        )
        self._writes = self._counter("writes", "Successful writes by verb and kind.", "verb", "kind")
        self._scrapes = self._counter("scrapes", "Scrapes of engine pods by result.", "result")
        self._exporter_scrapes = self._counter(
            "dcgm_exporter_scrapes", "Scrapes of dcgm-exporters by result.", "result"
        )
        self._scrape_seconds = Histogram(
            f"{_PREFIX}_scrape_duration_seconds",
            "Duration of a successful scrape of one pod.",
            buckets=_DURATIONS,
            registry=self.registry,
        )
        self._scrape_age = self._gauge("scrape_age_seconds", "Age of the oldest pod's last good scrape.", *_MODEL)
        self._decisions = self._counter("scaling_decisions", "Scaling decisions by winner.", "winner")
        self._limits = self._counter("scaling_limits", "Limits that changed a scaling decision.", "limit")
        self._recommended = self._gauge(
            "recommended_replicas", "Replicas that the operator decided on, whether it applies that or not.", *_MODEL
        )
        self._spent = self._gauge(
            "budget_spent_replica_hours", "Replica-hours of the past day that count for scaling.budget.", *_MODEL
        )
        self._candidates = self._gauge("candidate_replicas", "Replicas that a signal asks for.", *_MODEL, "signal")
        self._asking: dict[Key, frozenset[str]] = {}
        self._wanted = self._gauge("wanted_replicas", "Replicas that the Deployment asks for.", *_MODEL)
        self._ready = self._gauge("ready_replicas", "Replicas that answer.", *_MODEL)
        self._leader = self._gauge("is_leader", "1 while this process holds the lease.")
        self._lag = self._gauge("event_loop_lag_seconds", "Delay of the event loop, last measured.")
        self._watch_events = self._counter("watch_events", "Watch events by kind.", "kind")
        self._watched_at = clock()
        self._gauge("watch_last_event_age_seconds", "Time since the last watch event of any kind.").set_function(
            self.watch_age_seconds
        )
        self._leader.set(0)
        self._scrape_ages: Callable[[], Mapping[str, float]] = dict

    def observe_queue(self, length: Callable[[], float], oldest_seconds: Callable[[], float]) -> None:
        """Have the queue's length and the age of its oldest key read at each scrape of the metrics."""
        self._gauge("queue_length", "Keys that wait for a worker.").set_function(length)
        self._gauge("queue_oldest_seconds", "How long the oldest key has waited.").set_function(oldest_seconds)

    def observe_resources(self, count: Callable[[], float]) -> None:
        """Have the number of BatchedLLMs read at each scrape of the metrics."""
        self._gauge("resources", "BatchedLLMs that this operator looks after.").set_function(count)

    def observe_scrapes(self, ages_seconds: Callable[[], Mapping[str, float]]) -> None:
        """Have the age of each model's oldest scrape read at each scrape of the metrics."""
        self._scrape_ages = ages_seconds

    def reconciled(self, result: str, seconds: float) -> None:
        """Take note of a finished reconciliation."""
        self._reconciles.labels(result).inc()
        self._duration.observe(seconds)

    def failed(self, kind: str) -> None:
        """Take note of an error; `kind` is a class name or a short word."""
        self._errors.labels(kind).inc()

    def called(self, verb: str, kind: str, code: int) -> None:
        """Take note of a call of the API server; code 0 means that there was no answer."""
        self._calls.labels(verb, kind, str(code)).inc()
        if verb not in {"get", "list", "log"} and 0 < code < 400:  # noqa: PLR2004 - the HTTP error classes begin here
            self._writes.labels(verb, kind).inc()

    def watched(self, kind: str) -> None:
        """Take note of a watch event."""
        self._watched_at = self._clock()
        self._watch_events.labels(kind).inc()

    def watch_age_seconds(self) -> float:
        """Return the time since the last watch event of any kind."""
        return self._clock() - self._watched_at

    def decided(self, key: Key, decision: Decision) -> None:
        """Take note of a scaling decision. A signal that has no say has no series: 0 would be a say."""
        asking = {one.signal: one.replicas for one in decision.candidates if one.replicas is not None}
        for signal in self._asking.get(key, frozenset()) - asking.keys():
            self._candidates.remove(key.namespace, key.name, signal)
        for signal, replicas in asking.items():
            self._candidates.labels(key.namespace, key.name, signal).set(replicas)
        self._asking[key] = frozenset(asking)
        self._recommended.labels(key.namespace, key.name).set(decision.to_replicas)
        if decision.spent_replica_hours is not None:
            self._spent.labels(key.namespace, key.name).set(decision.spent_replica_hours)
        else:
            _remove(self._spent, key)
        self._decisions.labels(decision.winner).inc()
        for limit in decision.limited_by:
            self._limits.labels(limit).inc()

    def sized(self, key: Key, deployment: Manifest) -> None:
        """Take note of a Deployment's wanted and ready replicas."""
        self._wanted.labels(key.namespace, key.name).set(deployment["spec"].get("replicas", 1))
        self._ready.labels(key.namespace, key.name).set(deployment.get("status", {}).get("readyReplicas") or 0)

    def scraped(self, _key: str, _pod: str, seconds: float) -> None:
        """Take note of a successful scrape."""
        self._scrapes.labels("ok").inc()
        self._scrape_seconds.observe(seconds)

    def scrape_failed(self, reason: str) -> None:
        """Take note of a failed scrape."""
        self._scrapes.labels(reason).inc()

    def exporter_scraped(self, result: str) -> None:
        """Take note of a scrape of a node's dcgm-exporter; `result` is `ok`, or why it failed."""
        self._exporter_scrapes.labels(result).inc()

    def forget(self, key: Key) -> None:
        """Remove the series of a BatchedLLM that is gone."""
        for signal in self._asking.pop(key, frozenset()):
            self._candidates.remove(key.namespace, key.name, signal)
        for gauge in (self._wanted, self._ready, self._recommended, self._spent):
            _remove(gauge, key)

    def leads(self, *, leading: bool) -> None:
        """Take note of gaining or losing the lease."""
        self._leader.set(int(leading))

    def lagged(self, seconds: float) -> None:
        """Take note of the event loop's delay."""
        self._lag.set(seconds)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self._scrape_age.clear()
        for text, age in self._scrape_ages().items():
            key = Key.parse(text)
            self._scrape_age.labels(key.namespace, key.name).set(age)
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}_total", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.registry)


def _remove(gauge: Gauge, key: Key) -> None:
    if (key.namespace, key.name) in gauge._metrics:  # noqa: SLF001 - `remove` of an unknown series warns
        gauge.remove(key.namespace, key.name)
