"""The pods of a simulated fleet.

Requests go to a ready pod at random, each with the same chance: what kube-proxy does with new connections (iptables
mode). A pod that is removed gets none any more and has some time to finish those it has.
"""

from collections.abc import Iterator
from math import inf
from typing import Final

from batchedllm.core.readings import LatencyHistogram, PodReading
from batchedllm.sim.engine import SimulatedEngine
from batchedllm.sim.events import EngineRequest, Finished, QueueLimitReached
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.histograms import Histogram
from batchedllm.sim.randomness import Randomness

_FULL: Final = 100.0


def _reported(histogram: Histogram) -> LatencyHistogram:
    return LatencyHistogram(histogram.bounds, tuple(histogram.cumulative()))


class Pod:
    """One replica, from being asked for until it is gone."""

    __slots__ = (
        *("_idle_watts", "_scraped", "created_at", "engine", "gone_by", "gpu_percent", "gpu_watts", "name"),
        *("open_requests", "ready_at"),
    )

    def __init__(self, name: str, created_at: float, ready_at: float, settings: FleetSettings) -> None:
        self.name = name
        self.created_at = created_at
        self.ready_at = ready_at
        self.gone_by = inf
        self.open_requests = 0
        self.engine = SimulatedEngine(settings.engine, settings.times, settings.gpu_load, start=ready_at)
        self.gpu_percent = 0.0
        """Mean GPU utilization between the last two scrapes."""
        self._idle_watts = settings.gpu_load.idle_watts
        self.gpu_watts = self._idle_watts
        """Mean power between the last two scrapes."""
        self._scraped = (ready_at, 0.0, 0.0)

    def scrape(self, now: float) -> None:
        """Note that a scrape came through: the GPU's utilization and power are means since the one before."""
        before, busy_before, joules_before = self._scraped
        busy, joules = self.engine.gpu_integrals(now)
        seconds = now - before
        self.gpu_percent = min(_FULL, (busy - busy_before) / seconds) if seconds > 0 else 0.0
        self.gpu_watts = self._idle_watts + ((joules - joules_before) / seconds if seconds > 0 else 0.0)
        self._scraped = (now, busy, joules)

    def reading(self, now: float) -> PodReading:
        """Return what the pod's metrics say."""
        engine, statistics = self.engine, self.engine.statistics
        return PodReading(
            pod=self.name,
            at_seconds=now,
            queue_depth=float(engine.waiting),
            running=float(engine.running),
            kv_cache_usage_fraction=engine.kv_cache_usage,
            gpu_utilization_percent=self.gpu_percent,
            gpu_power_watts=self.gpu_watts,
            prompt_tokens_total=float(statistics.prompt_tokens),
            generation_tokens_total=float(statistics.generation_tokens),
            preemptions_total=float(statistics.num_preemptions),
            rejections_total=float(sum(statistics.admission_rejections.values())),
            finished_total=float(sum(statistics.request_success.values()) + statistics.aborted),
            step_seconds_total=statistics.inter_token_seconds.total,
            step_tokens_total=float(statistics.inter_token_seconds.count),
            time_to_first_token=_reported(statistics.first_token_seconds),
            time_per_output_token=_reported(statistics.time_per_output_token_seconds),
        )


class Replicas:
    """All pods, with what they cost so far."""

    def __init__(self, settings: FleetSettings, randomness: Randomness) -> None:
        self._settings = settings
        self._randomness = randomness
        self._pods: list[Pod] = []
        self._stopping: list[Pod] = []
        self._made = 0
        self.failed = 0
        self.pod_seconds = 0.0
        for _ in range(settings.bounded(settings.start_replicas)):
            self._add(0.0, 0.0)

    @property
    def wanted(self) -> int:
        """Replicas that are asked for."""
        return len(self._pods)

    @property
    def paid(self) -> int:
        """Replicas that hold a GPU: wanted ones, starting or not, and those that drain."""
        return len(self._pods) + len(self._stopping)

    @property
    def open_requests(self) -> int:
        """Requests that were accepted and are not answered yet."""
        return sum(pod.open_requests for pod in (*self._pods, *self._stopping))

    def ready(self, now: float) -> list[Pod]:
        """Return the pods that take requests."""
        return [pod for pod in self._pods if pod.ready_at <= now]

    def route(self, request: EngineRequest, at: float, ready: list[Pod]) -> None:
        """Send a request to one of the ready pods; refused, or without any, it has failed."""
        if not ready:
            self.failed += 1
            return
        pod = ready[self._randomness.below(len(ready))]
        try:
            pod.engine.submit(request, at)
        except QueueLimitReached:
            self.failed += 1
        else:
            pod.open_requests += 1

    def advance(self, now: float, paid_seconds: float) -> Iterator[Finished]:
        """Run all engines up to `now` and yield what was answered; count the cost of the seconds that are paid."""
        self.pod_seconds += self.paid * paid_seconds
        for pod in (*self._pods, *self._stopping):
            if pod.open_requests:
                yield from self._answers(pod, now)
        for pod in self._stopping:
            if now >= pod.gone_by:
                self.failed += pod.open_requests
        self._stopping = [pod for pod in self._stopping if pod.open_requests and now < pod.gone_by]

    def _answers(self, pod: Pod, now: float) -> Iterator[Finished]:
        for event in pod.engine.advance(now):
            if isinstance(event, Finished):
                pod.open_requests -= 1
                yield event

    def scrape(self, now: float) -> list[Pod]:
        """Return the ready pods whose scrape came through; some are lost."""
        loss = self._settings.scrape_loss
        kept = [pod for pod in self.ready(now) if not loss or self._randomness.unit() >= loss]
        for pod in kept:
            pod.scrape(now)
        return kept

    def scale(self, replicas: int, now: float) -> None:
        """Ask for so many replicas."""
        while len(self._pods) < replicas:
            self._add(now, now + self._settings.startup_seconds)
        while len(self._pods) > replicas:
            self._remove(now)

    def _add(self, now: float, ready_at: float) -> None:
        self._made += 1
        self._pods.append(Pod(f"pod-{self._made:05d}", now, ready_at, self._settings))

    def _remove(self, now: float) -> None:
        """Stop the pod that a ReplicaSet stops first: one that is not ready, else the one that became so last."""
        pod = max(self._pods, key=lambda one: (one.ready_at > now, one.ready_at, one.created_at, one.name))
        self._pods.remove(pod)
        if pod.open_requests:
            pod.gone_by = now + self._settings.drain_seconds
            self._stopping.append(pod)
