"""The readings of the last minute, per pod, and what they say together.

Per pod, because a counter's rate and its reset belong to one process, and because a pod that is gone takes its
readings with it. The caller gives the time with every question; nothing here reads a clock.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final

from batchedllm.core.readings import FleetLoad, GpuMetricsSource, PodReading

STALE_AFTER_SCRAPES: Final = 3
"""A reading counts for this many intervals: two lost scrapes in a row are forgiven, a third makes the pod silent."""
LASTING_SCRAPES: Final = 3
"""Fewest readings in a window for something to be called lasting."""
SHORT_SECONDS: Final = 6.0
"""Knative's panic window (10 % of the stable one): long enough for three scrapes, short enough for a burst."""
LONG_SECONDS: Final = 60.0
"""Knative's stable window."""
IDLE_GPU_PERCENT: Final = 5.0
"""Up to this utilization a GPU does nothing for its queue: a batch of one already shows 17 to 85 %."""
MOST_READINGS: Final = 512
"""Bound of the memory per pod, whatever the interval."""

Readings = Sequence[PodReading]


class Windows:
    """Readings of the pods of one BatchedLLM."""

    def __init__(self, interval_seconds: float) -> None:
        """Keep readings that come about every `interval_seconds`."""
        self._stale_seconds = STALE_AFTER_SCRAPES * interval_seconds
        self._short_seconds = max(SHORT_SECONDS, LASTING_SCRAPES * interval_seconds)
        self._long_seconds = max(LONG_SECONDS, 10 * interval_seconds)
        self._pods: dict[str, deque[PodReading]] = {}

    def add(self, reading: PodReading) -> None:
        """Keep a reading, and let go of those of the same pod that are older than the long window."""
        kept = self._pods.setdefault(reading.pod, deque(maxlen=MOST_READINGS))
        kept.append(reading)
        while kept[0].at_seconds < reading.at_seconds - self._long_seconds:
            kept.popleft()

    def keep_only(self, pods: Iterable[str]) -> None:
        """Forget every pod but these."""
        wanted = set(pods)
        self._pods = {pod: readings for pod, readings in self._pods.items() if pod in wanted}

    def latest(self, pod: str) -> PodReading | None:
        """The pod's last reading, however old."""
        readings = self._pods.get(pod)
        return readings[-1] if readings else None

    def count(self, pod: str) -> int:
        """How many readings of the pod there are; from two on its rates are known."""
        return len(self._pods.get(pod, ()))

    def latest_of_all(self) -> list[PodReading]:
        """The last reading of every pod, however old."""
        return [readings[-1] for readings in self._pods.values()]

    def misconfigured(self, now_seconds: float) -> tuple[str, ...]:
        """Pods that cannot use their admission files, as they last said; also those that are not ready for it."""
        return tuple(
            pod for pod in sorted(self._pods) if (one := self._fresh(pod, now_seconds)) and one.is_misconfigured
        )

    def is_fresh(self, reading: PodReading, now_seconds: float) -> bool:
        """Whether the reading still speaks for its pod."""
        return now_seconds - reading.at_seconds <= self._stale_seconds

    def load(self, ready_pods: Iterable[str], now_seconds: float) -> FleetLoad | None:
        """Put the ready pods' readings together; None when none of them was ever read.

        Terminating pods are the caller's to leave out. A pod whose queue or batch is unknown is silent.
        """
        pods = sorted(set(ready_pods))
        if not any(pod in self._pods for pod in pods):
            return None
        fresh = {pod: latest for pod in pods if (latest := self._fresh(pod, now_seconds))}
        reporting = [pod for pod, latest in fresh.items() if latest.is_measured]
        return self._together(pods, [fresh[pod] for pod in reporting], list(fresh.values()), now_seconds)

    def _fresh(self, pod: str, now_seconds: float) -> PodReading | None:
        latest = self.latest(pod)
        return latest if latest is not None and self.is_fresh(latest, now_seconds) else None

    def _together(self, pods: list[str], reporting: Readings, fresh: Readings, now_seconds: float) -> FleetLoad:
        heard = {reading.pod for reading in reporting}
        short = {pod: self._since(pod, now_seconds - self._short_seconds) for pod in heard}
        stalled = [reading for reading in reporting if self._is_stalled(reading.pod, now_seconds)]
        stalled_pods = tuple(reading.pod for reading in stalled)
        gpu = [_smoothed(short[reading.pod], _utilization_percent) for reading in reporting]
        power = [_smoothed(short[reading.pod], _power_watts) for reading in reporting]
        return FleetLoad(
            reporting_replicas=len(reporting),
            silent_pods=tuple(pod for pod in pods if pod not in heard),
            new_pods=tuple(pod for pod in pods if pod not in self._pods),
            queue_depth_total=_total(reading.queue_depth for reading in reporting),
            running_total=_total(reading.running for reading in reporting),
            kv_cache_usage_fraction_mean=_mean([reading.kv_cache_usage_fraction for reading in reporting]),
            gpu_utilization_percent_mean=_mean(gpu),
            gpu_power_watts_mean=_mean(power),
            tokens_per_second_total=_total(tokens_per_second(readings) for readings in short.values()),
            missing=tuple(sorted({name for reading in fresh for name in reading.missing})),
            no_gpu_metrics=bool(reporting) and all(percent is None for percent in gpu),
            gpu_metrics_source=_gpu_metrics_source(reporting),
            stalled_pods=stalled_pods,
            stalled_queue_depth=sum(reading.queue_depth or 0.0 for reading in stalled),
            stalled_running=sum(reading.running or 0.0 for reading in stalled),
            full_batch=_full_batch([short[pod] for pod in sorted(heard) if pod not in stalled_pods]),
            running_max=max((reading.running or 0.0 for reading in reporting), default=None),
            readings=tuple(reporting),
            cache_labels=tuple((reading.pod, reading.cache_labels) for reading in reporting if reading.cache_labels),
        )

    def _since(self, pod: str, at_seconds: float) -> list[PodReading]:
        return [reading for reading in self._pods.get(pod, ()) if reading.at_seconds >= at_seconds]

    def _is_stalled(self, pod: str, now_seconds: float) -> bool:
        """Whether the pod's queue waited for a whole window in which no token came out and the GPU did nothing.

        The short window where the GPU is seen to be idle; the long one where nothing confirms that: a dcgm-exporter's
        numbers are older than the short window is long.
        """
        short = self._since(pod, now_seconds - self._short_seconds)
        if all(reading.gpu_utilization_percent is not None and not reading.gpu_is_of_node for reading in short):
            idle = all((reading.gpu_utilization_percent or 0.0) <= IDLE_GPU_PERCENT for reading in short)
            return idle and _waits_in_vain(short)
        long = self._since(pod, now_seconds - self._long_seconds)
        seen_seconds = long[-1].at_seconds - long[0].at_seconds if long else 0.0
        return seen_seconds >= self._long_seconds - self._stale_seconds and _waits_in_vain(long)


def increase(readings: Readings, counter: Callable[[PodReading], float | None]) -> tuple[float, float] | None:
    """How much a counter grew over the readings, and the seconds that this is known for; None where it is not known.

    A counter that falls was reset by a restart of the engine: what it shows since then is its growth.
    """
    grown, seconds = 0.0, 0.0
    for before, after in pairwise(readings):
        old, new = counter(before), counter(after)
        if old is None or new is None:
            continue
        grown += new - old if new >= old else new
        seconds += after.at_seconds - before.at_seconds
    return (grown, seconds) if seconds > 0 else None


def tokens_per_second(readings: Readings) -> float | None:
    """Prompt and generated tokens per second of one pod over the readings."""
    rates = []
    for counter in (_prompt_tokens, _generation_tokens):
        grown = increase(readings, counter)
        if grown is None:
            return None
        rates.append(grown[0] / grown[1])
    return sum(rates)


def _prompt_tokens(reading: PodReading) -> float | None:
    return reading.prompt_tokens_total


def _generation_tokens(reading: PodReading) -> float | None:
    return reading.generation_tokens_total


def _is_queued_throughout(readings: Readings) -> bool:
    return len(readings) >= LASTING_SCRAPES and all((reading.queue_depth or 0.0) > 0 for reading in readings)


def _waits_in_vain(readings: Readings) -> bool:
    return _is_queued_throughout(readings) and tokens_per_second(readings) == 0


def _full_batch(pods: Iterable[Readings]) -> float | None:
    """Mean batch of the pods whose queue lasted: they had no room for more."""
    batches = [max(reading.running or 0.0 for reading in pod) for pod in pods if _is_queued_throughout(pod)]
    return fmean(batches) or None if batches else None


def _utilization_percent(reading: PodReading) -> float | None:
    return reading.gpu_utilization_percent


def _power_watts(reading: PodReading) -> float | None:
    return reading.gpu_power_watts


def _smoothed(readings: Readings, value: Callable[[PodReading], float | None]) -> float | None:
    """Mean of one pod over the window: single samples jump. Unknown as soon as the last reading lacks it."""
    values = [known for reading in readings if (known := value(reading)) is not None]
    return fmean(values) if values and value(readings[-1]) is not None else None


def _gpu_metrics_source(readings: Readings) -> GpuMetricsSource:
    told = {reading.gpu_is_of_node for reading in readings if reading.gpu_utilization_percent is not None}
    if not told:
        return "none"
    if len(told) > 1:
        return "mixed"
    return "dcgm-exporter" if told == {True} else "engine"


def _total(values: Iterable[float | None]) -> float | None:
    """Sum; unknown if one value is, or if there is none."""
    known = list(values)
    return sum(value for value in known if value is not None) if known and None not in known else None


def _mean(values: Sequence[float | None]) -> float | None:
    total = _total(values)
    return None if total is None else total / len(values)
