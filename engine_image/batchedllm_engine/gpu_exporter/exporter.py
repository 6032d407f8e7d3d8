"""Keeps the GPU metrics current, from a thread of its own: NVML may take milliseconds, and the event loop has none."""

import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from batchedllm_engine import instruments
from batchedllm_engine.gpu_exporter.definitions import EXPORTER_METRICS, THROTTLED, UP
from batchedllm_engine.gpu_exporter.nvml import Gpus, GpusUnreadableError, open_gpus
from batchedllm_engine.gpu_exporter.reading import Reading

INTERVAL_SECONDS: Final = 1.0
"""NVML's utilization is that of the last 1/6 to 1 s: sampled less often, bursts would be missed."""
RETRY_SECONDS: Final = 30.0
"""Between looks for GPUs where none can be read."""


class GpuGauges:
    """The gauges, and the rule that nothing stays of a GPU that is not read any more."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges = {one.name: instruments.gauge(one, registry) for one in EXPORTER_METRICS}
        self._shown: set[tuple[str, tuple[str, ...]]] = set()
        self._gauges[UP.name].set(0)

    def show(self, readings: Sequence[Reading]) -> None:
        """Show these readings and nothing else; none means that no GPU can be read."""
        current = {key: value for reading in readings for key, value in _series(reading)}
        for (name, labels), value in current.items():
            self._gauges[name].labels(*labels).set(value)
        for name, labels in self._shown - current.keys():
            _forget(self._gauges[name], labels)
        self._shown = set(current)
        self._gauges[UP.name].set(1 if readings else 0)


def _series(reading: Reading) -> list[tuple[tuple[str, tuple[str, ...]], float]]:
    labels = reading.identity.labels
    values: list[tuple[tuple[str, tuple[str, ...]], float]] = [
        ((name, labels), value) for name, value in reading.values.items()
    ]
    return values + [((THROTTLED.name, (*labels, reason)), holds) for reason, holds in reading.throttled.items()]


def _forget(gauge: Gauge, labels: tuple[str, ...]) -> None:
    """Take a series away. Among several processes prometheus_client cannot: there it is no number any more."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        gauge.labels(*labels).set(math.nan)
    else:
        gauge.remove(*labels)


class GpuExporter:
    """Looks at the GPUs, once a call of `look`."""

    def __init__(self, gauges: GpuGauges, log: logging.Logger, open_all: Callable[[], Gpus]) -> None:
        self._gauges = gauges
        self._log = log
        self._open = open_all
        self._gpus: Gpus | None = None
        self._trouble = ""

    def look(self) -> float:
        """Bring the gauges up to date; return the seconds until the next look. A new trouble is logged once."""
        try:
            if self._gpus is None:
                self._gpus = self._open()
            readings = self._gpus.readings()
        except GpusUnreadableError as error:
            self._give_up(str(error))
            return RETRY_SECONDS
        self._trouble = ""
        self._gauges.show(readings)
        return INTERVAL_SECONDS

    def _give_up(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._log.warning("no GPU metrics: %s; looking again every %d s", trouble, RETRY_SECONDS)
        if self._gpus is not None:
            self._gpus.close()
            self._gpus = None
        self._gauges.show(())

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop. An error of ours is logged and ends the metrics, never the engine."""
        try:
            while not stop.wait(self.look()):
                pass
        except Exception:  # noqa: BLE001 - as the docstring says
            self._gauges.show(())
            self._log.exception("the GPU exporter ended; the engine goes on without GPU metrics")


def exporter(registry: CollectorRegistry, log: logging.Logger) -> GpuExporter:
    """Return an exporter of the GPUs that CUDA lets this process use."""
    return GpuExporter(GpuGauges(registry), log, lambda: open_gpus(os.environ.get("CUDA_VISIBLE_DEVICES")))


def start_exporter(registry: CollectorRegistry, log: logging.Logger) -> threading.Event:
    """Look at the GPUs from a thread from now on; return what stops it."""
    stop = threading.Event()
    made = exporter(registry, log)
    threading.Thread(target=made.run, args=(stop,), name="gpu-exporter", daemon=True).start()
    return stop
