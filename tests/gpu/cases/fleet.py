"""The BatchedLLM of the cases about scaling: an 8B shape that takes a third of the GPU, with a batch of 32."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from demo import trace, watch
from gpu import traffic
from gpu.scene import NAMESPACE, Json, Scene, resource
from gpu.traffic import Outcome, Request

NAME = "fleet"
MODEL = "llama-3.1-8b"
BATCH = 32
LENGTH = 8192
MOST = 3
GIBIBYTES = 23.0
CACHE = "5Gi"
"""Fixed, as replicas on one GPU start at once: an engine that measures what is free would see its neighbour come."""


def document(scene: Scene, least: int = 1, most: int = MOST) -> Json:
    """Return the BatchedLLM for this scene's GPU."""
    return manifest(scene.utilization(GIBIBYTES), None if scene.inspects else f"model-{MODEL}", least, most)


def manifest(utilization: float, described_by: str | None = None, least: int = 1, most: int = MOST) -> Json:
    """Return the BatchedLLM."""
    scaling = {
        "minReplicas": least,
        "maxReplicas": most,
        # It would keep replicas for half an hour, for the next burst like this one.
        "signals": {"pastDemand": {"role": "off"}},
        "scaleDown": {"stabilizationSeconds": 20, "maxStep": 2, "periodSeconds": 5},
    }
    return resource(
        NAME,
        MODEL,
        described_by=described_by,
        memory={"gpuUtilization": utilization, "kvCacheMemory": CACHE},
        batching={"maxModelLen": LENGTH, "maxNumSeqs": BATCH, "maxNumBatchedTokens": 2048},
        admission={"mode": "middleware"},
        scaling=scaling,
    )


def requests(factor: float, seconds: float) -> list[Request]:
    """Return the first seconds of a real trace, played so many times faster than it was recorded."""
    recorded = trace.read(trace.SLICE.read_text().splitlines())
    return traffic.of_trace(trace.densify(recorded, factor, seconds), LENGTH)


class Watcher:
    """Looks at a BatchedLLM's status once a second while it is entered."""

    def __init__(self, scene: Scene, name: str = NAME) -> None:
        self._scene, self._name = scene, name
        self.looks: list[watch.Look] = []
        self.errors = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._begin = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begin

    def _look(self) -> None:
        while not self._stop.is_set():
            try:
                self.looks.append(watch.look(self._scene.cluster, NAMESPACE, self._name, self.seconds))
            except Exception:  # noqa: BLE001 - the API may be away for a moment; the next look tells
                self.errors += 1
            self._stop.wait(0.7)

    def until(self, condition: Callable[[watch.Look], bool], seconds: float) -> float | None:
        """Wait until a look shows it; return when that was, or None if it never did."""
        end = self.seconds + seconds
        index = len(self.looks)
        while self.seconds < end:
            for look in self.looks[index:]:
                if condition(look):
                    return look.at_seconds
            index = len(self.looks)
            time.sleep(0.2)
        return None


def series(looks: list[watch.Look]) -> list[list[Any]]:
    """Return the looks as rows: seconds, wanted, ready, queue, running, GPU %, KV %."""
    return [
        [round(one.at_seconds, 1), one.wanted, one.ready, one.queue, one.running, one.gpu_percent, one.kv_percent]
        for one in looks
    ]


def play(address: str, planned: list[Request]) -> tuple[threading.Thread, list[Outcome]]:
    """Begin to send requests beside what goes on."""
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: asyncio.run(traffic.play(address, MODEL, planned, found.append)))
    thread.start()
    return thread, found


def hold(address: str, clients: int, seconds: float, sizes: tuple[int, int]) -> tuple[threading.Thread, list[Outcome]]:
    """Begin to keep so many requests under way; the outcomes are there when the thread has ended."""
    found: list[Outcome] = []

    def run() -> None:
        found.extend(asyncio.run(traffic.hold(address, MODEL, clients, seconds, sizes)))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def failures(outcomes: list[Outcome]) -> list[str]:
    """Return why requests failed that were not turned away in order, each reason once with its count."""
    counts: dict[str, int] = {}
    for one in outcomes:
        if not one.served and not one.shed:
            words = one.error[:160] or f"HTTP {one.status}"
            counts[words] = counts.get(words, 0) + 1
    return [f"{count} x {words}" for words, count in counts.items()]


def summed(outcomes: list[Outcome]) -> Json:
    """Return counts and latencies."""
    first = traffic.first_tokens(outcomes)
    return {
        "sent": len(outcomes),
        "served": sum(one.served for one in outcomes),
        "shed": sum(one.shed for one in outcomes),
        "failures": failures(outcomes),
        "ttftSeconds": {f"p{percent}": traffic.percentile(first, percent) for percent in (50, 90, 99)},
        "tokens": sum(one.tokens for one in outcomes),
    }


def decisions(scene: Scene) -> list[Json]:
    """Return the decisions that changed the number of replicas, oldest first."""
    told = scene.status(NAME).get("decisions") or []
    return [
        {name: one[name] for name in ("at", "from", "to", "winner", "reason") if name in one} for one in reversed(told)
    ]


def rows(outcomes: list[Outcome]) -> list[list[Any]]:
    """Return each request as a row: sent at, time to first token, total, tokens."""
    return [
        [round(one.at_seconds, 3), _known(one.first_token_seconds), round(one.total_seconds, 3), one.tokens]
        for one in sorted(outcomes, key=lambda each: each.at_seconds)
    ]


def _known(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
