"""The loop: requests arrive, engines work, pods are scraped, the policy decides, replicas come and go.

Time goes in scrape intervals (2 s): replicas become ready and go at such moments, requests arrive at their own.
"""

from collections.abc import Sequence

from batchedllm.sim.fleet.autoscaler import Arrived, Autoscaler, Seen
from batchedllm.sim.fleet.fixed import Fixed, Planned
from batchedllm.sim.fleet.replicas import Pod, Replicas
from batchedllm.sim.fleet.score import Sample, Score
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.randomness import Randomness
from batchedllm.sim.traces.trace import Trace
from batchedllm.sim.workload import TraceRequest


def simulate(
    trace: Trace, autoscaler: Autoscaler, settings: FleetSettings, seed: int, *, most_late: int | None = None
) -> Score:
    """Run a trace against a policy. The same arguments give the same score.

    A run in which more than `most_late` answers come too late ends there: for whom that is all there is to know.
    """
    return _Simulation(trace, autoscaler, settings, seed).run(most_late)


class _Simulation:
    def __init__(self, trace: Trace, autoscaler: Autoscaler, settings: FleetSettings, seed: int) -> None:
        self._requests: Sequence[TraceRequest] = trace.requests
        self._end = trace.duration_seconds
        self._autoscaler = autoscaler
        self._settings = settings
        self._replicas = Replicas(settings, Randomness(seed))
        self._score = Score(settings.slo, len(trace.requests), duration_seconds=self._end)
        self._served = bytearray(len(trace.requests))
        self._is_blind = isinstance(autoscaler, Fixed | Planned)
        self._next = 0
        self._arrived = Arrived()
        self._ask_at = 0.0

    def run(self, most_late: int | None) -> Score:
        score, interval = self._score, self._settings.scrape_interval_seconds
        tick, now = 0, 0.0
        while score.is_whole and self._goes_on(now):
            before, tick = now, tick + 1
            now = tick * interval
            self._tick(before, now)
            score.is_whole = most_late is None or score.late <= most_late
        score.failed = self._replicas.failed + self._replicas.open_requests
        score.replica_seconds = self._replicas.pod_seconds
        score.missed_at_seconds = [
            request.offset_seconds for request, served in zip(self._requests, self._served, strict=True) if not served
        ]
        return score

    def _goes_on(self, now: float) -> bool:
        """Whether requests are still to come, or some are unanswered and not given up."""
        if self._next < len(self._requests):
            return True
        return self._replicas.open_requests > 0 and now < self._end + self._settings.tail_seconds

    def _tick(self, before: float, now: float) -> None:
        score, replicas = self._score, self._replicas
        first, late = self._next, score.late
        self._route(replicas.ready(before), now)
        for answer in replicas.advance(now, max(0.0, min(now, self._end) - before)):
            if score.finished(answer):
                self._served[int(answer.request_id)] = 1
        scraped, ready = replicas.scrape(now), replicas.ready(now)
        if now >= self._ask_at:
            readings = () if self._is_blind else tuple(pod.reading(now) for pod in scraped)
            self._ask(Seen(now, replicas.wanted, tuple(pod.name for pod in ready), readings, self._arrived))
        missed = score.late - late
        gpu = sum(pod.gpu_percent for pod in scraped) / max(1, len(scraped))
        queued = float(sum(pod.engine.waiting for pod in scraped))
        score.samples.append(Sample(now, self._next - first, missed, queued, replicas.wanted, len(ready), gpu))
        score.most_replicas = max(score.most_replicas, replicas.wanted)

    def _route(self, ready: list[Pod], now: float) -> None:
        requests, index = self._requests, self._next
        prompts, outputs = self._arrived.prompt_tokens, self._arrived.output_tokens
        while index < len(requests) and requests[index].offset_seconds <= now:
            request = requests[index]
            self._replicas.route(request.as_engine_request(str(index)), request.offset_seconds, ready)
            prompts += request.prompt_tokens
            outputs += request.output_tokens
            index += 1
        self._next = index
        self._arrived = Arrived(index, prompts, outputs)

    def _ask(self, seen: Seen) -> None:
        self._ask_at = seen.now_seconds + self._autoscaler.interval_seconds
        wanted = self._settings.bounded(self._autoscaler.want(seen))
        if seen.now_seconds < self._settings.hold_seconds or wanted == seen.wanted:
            return
        self._score.changes.append((seen.now_seconds, wanted - seen.wanted))
        self._replicas.scale(wanted, seen.now_seconds)
