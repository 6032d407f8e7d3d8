"""Scraping: one task per engine pod, so that a slow pod delays nobody, and what they say together.

Used within one event loop. How a pod is fetched is an argument (`Fetch`): directly, or through the API server.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from batchedllm.api.names import ENGINE_PORT
from batchedllm.core.metrics import parse
from batchedllm.core.readings import FleetLoad, PodReading
from batchedllm.core.windows import STALE_AFTER_SCRAPES, Windows
from batchedllm.shell.scrape_wake import SETTLING_SECONDS, Pulse, Waker, is_active

Key = str
"""`namespace/name` of a BatchedLLM."""

LOG = logging.getLogger(__name__)

READINGS_OF_A_RATE = 2


@dataclass(frozen=True, slots=True)
class Target:
    """A pod to scrape."""

    namespace: str
    pod: str
    address: str
    """The pod's IP, from its status."""
    port: int = ENGINE_PORT
    node: str = ""
    """Name of the node whose GPUs the pod has; empty where it has none of NVIDIA's."""


Fetch = Callable[[Target], Awaitable[str]]
"""Returns the exposition text of a target, or raises ScrapeError."""


class ScrapeError(Exception):
    """A scrape that failed, by a reason that telemetry counts."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ScrapeObserver(Protocol):
    """What telemetry wants to hear of scrapes. Must neither block nor raise."""

    def scraped(self, key: Key, pod: str, seconds: float) -> None:
        """Hear that a pod answered after `seconds`."""

    def failed(self, key: Key, pod: str, reason: str) -> None:
        """Hear that a scrape failed."""


class NodeGpus(Protocol):
    """Who else may know how busy a pod's GPUs are."""

    def utilization_percent(self, target: Target) -> float | None:
        """Return the percent that the pod's GPUs were busy; None: not known. Must neither block nor raise."""


class _Nobody:
    """Where nobody else knows."""

    def utilization_percent(self, target: Target) -> float | None:
        """Know nothing."""


class Silence:
    """The observer of who does not want to know."""

    def scraped(self, key: Key, pod: str, seconds: float) -> None:
        """Hear nothing."""

    def failed(self, key: Key, pod: str, reason: str) -> None:
        """Hear nothing."""


@dataclass(slots=True)
class _Model:
    """What is kept for one BatchedLLM."""

    windows: Windows
    since_seconds: float
    """When its pods began to be asked."""
    tasks: dict[Target, asyncio.Task[None]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    """Pods whose last reading is stale, as far as the caller was told."""
    pulse: Pulse | None = None
    """As it was at the last urgent or timely call."""
    active_seconds: float = float("-inf")
    """When there was last a sign of load."""


class Scraper:
    """Scrapes the targets of every BatchedLLM, and calls `on_change` when one of them is worth a look.

    That is at once when queue, batch or GPU changed noticeably or a pod fell silent or came back, once per interval
    while there is any load, and never at rest. Calls are on the event loop and coalesced.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        on_change: Callable[[Key], None],
        interval_seconds: float = 2.0,
        time_cap_seconds: float = 1.5,
        observer: ScrapeObserver | None = None,
        node_gpus: NodeGpus | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Scrape each target every `interval_seconds`, giving up on it after `time_cap_seconds`.

        `jitter` returns a number in [0, 1): the share of an interval that a new target waits for its first scrape, so
        that a hundred pods are spread over it. `node_gpus` is asked for what a pod does not tell of its GPUs.
        """
        self._fetch = fetch
        self._interval_seconds = interval_seconds
        self._time_cap_seconds = time_cap_seconds
        self._observer: ScrapeObserver = observer or Silence()
        self._node_gpus: NodeGpus = node_gpus or _Nobody()
        self._clock = clock
        self._jitter = jitter
        self._waker = Waker(on_change, interval_seconds, clock)
        self._models: dict[Key, _Model] = {}

    def set_targets(self, key: Key, targets: Iterable[Target]) -> None:
        """Scrape these pods of the BatchedLLM from now on, and no others. Costs nothing where nothing changed."""
        wanted = set(targets)
        model = self._models.get(key)
        if model is None:
            if not wanted:
                return
            model = self._models[key] = _Model(Windows(self._interval_seconds), self._clock())
        for target in model.tasks.keys() - wanted:
            model.tasks.pop(target).cancel()
        for target in wanted - model.tasks.keys():
            name = f"scrape {key} {target.pod}"
            model.tasks[target] = asyncio.get_running_loop().create_task(self._scrape_forever(key, target), name=name)
        pods = {target.pod for target in wanted}
        model.windows.keep_only(pods)
        model.silent &= pods

    def load(self, key: Key, ready_pods: Iterable[str], now_seconds: float) -> FleetLoad | None:
        """Tell the load over the ready pods at the monotonic time `now_seconds`; None: none was ever read."""
        model = self._models.get(key)
        return model.windows.load(ready_pods, now_seconds) if model else None

    def misconfigured(self, key: Key, now_seconds: float) -> tuple[str, ...]:
        """Tell which pods, ready or not, cannot use their admission files."""
        model = self._models.get(key)
        return model.windows.misconfigured(now_seconds) if model else ()

    def is_new(self, key: Key, ready_pods: Iterable[str], now_seconds: float) -> bool:
        """Tell whether the load may be known better in a moment: pods of a new BatchedLLM were not yet read twice.

        Not longer than it takes to call a pod silent, whether they answer or not.
        """
        model = self._models.get(key)
        if model is None or now_seconds - model.since_seconds > STALE_AFTER_SCRAPES * self._interval_seconds:
            return False
        return any(model.windows.count(pod) < READINGS_OF_A_RATE for pod in ready_pods)

    def forget(self, key: Key) -> None:
        """Stop scraping a BatchedLLM that is gone."""
        model = self._models.pop(key, None)
        for task in model.tasks.values() if model else ():
            task.cancel()
        self._waker.forget(key)

    async def close(self) -> None:
        """Stop everything, and wait until it has stopped."""
        tasks = [task for model in self._models.values() for task in model.tasks.values()]
        for key in list(self._models):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    def ages_seconds(self, now_seconds: float) -> dict[Key, float]:
        """Seconds since the last good scrape of the pod that was heard of least, per BatchedLLM; inf: never."""
        return {
            key: max(self._age(model, target.pod, now_seconds) for target in model.tasks)
            for key, model in self._models.items()
            if model.tasks
        }

    def _age(self, model: _Model, pod: str, now_seconds: float) -> float:
        latest = model.windows.latest(pod)
        return float("inf") if latest is None else now_seconds - latest.at_seconds

    async def _scrape_forever(self, key: Key, target: Target) -> None:
        """Scrape on a fixed beat; a beat that a slow scrape ran over is left out, not made up for."""
        beat = self._clock() + self._jitter() * self._interval_seconds
        while True:
            await asyncio.sleep(max(0.0, beat - self._clock()))
            await self._scrape(key, target)
            beat = max(beat + self._interval_seconds, self._clock())

    async def _scrape(self, key: Key, target: Target) -> None:
        started = self._clock()
        try:
            async with asyncio.timeout(self._time_cap_seconds):
                text = await self._fetch(target)
            self._observer.scraped(key, target.pod, self._clock() - started)
            self._heard(key, target, self._with_gpus(target, parse(text, target.pod, self._clock())))
        except TimeoutError:
            self._failed(key, target, "timeout")
        except ScrapeError as error:
            LOG.debug("scrape of %s in %s: %s", target.pod, key, error)
            self._failed(key, target, error.reason)
        except Exception:
            LOG.exception("scrape of %s in %s failed in a way it should not", target.pod, key)
            self._failed(key, target, "bug")

    def _with_gpus(self, target: Target, reading: PodReading) -> PodReading:
        """Add what the pod's node says of its GPUs, where the engine says nothing: a stock image has no exporter."""
        if reading.gpu_utilization_percent is not None or not target.node:
            return reading
        percent = self._node_gpus.utilization_percent(target)
        return replace(reading, gpu_utilization_percent=percent, gpu_is_of_node=percent is not None)

    def _heard(self, key: Key, target: Target, reading: PodReading) -> None:
        model = self._model_of(key, target)
        if model is None:
            return
        if is_active(model.windows.latest(reading.pod), reading):
            model.active_seconds = reading.at_seconds
        model.windows.add(reading)
        was_silent = reading.pod in model.silent
        model.silent.discard(reading.pod)
        pulse = Pulse.of(model.windows.latest_of_all())
        has_rates_now = model.windows.count(reading.pod) == READINGS_OF_A_RATE
        if was_silent or has_rates_now or pulse.is_urgent_after(model.pulse):
            model.pulse = pulse
            self._waker.wake_soon(key)
        elif self._is_worth_a_look(model, pulse, reading.at_seconds) and self._waker.wake_in_time(key):
            model.pulse = pulse

    def _is_worth_a_look(self, model: _Model, pulse: Pulse, now_seconds: float) -> bool:
        settling = now_seconds - model.active_seconds <= SETTLING_SECONDS
        return settling or model.pulse is None or pulse.differs_from(model.pulse)

    def _failed(self, key: Key, target: Target, reason: str) -> None:
        self._observer.failed(key, target.pod, reason)
        model = self._model_of(key, target)
        if model is None or target.pod in model.silent:
            return
        latest = model.windows.latest(target.pod)
        if latest is not None and not model.windows.is_fresh(latest, self._clock()):
            model.silent.add(target.pod)
            self._waker.wake_soon(key)

    def _model_of(self, key: Key, target: Target) -> _Model | None:
        """The model, unless the target was dropped while its answer was on the way."""
        model = self._models.get(key)
        return model if model is not None and target in model.tasks else None
