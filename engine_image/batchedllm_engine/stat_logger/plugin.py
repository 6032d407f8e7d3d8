"""The class that vLLM loads: all that knows vLLM's interface, and nothing else.

One object for all data-parallel engines of an API server. It also brings the GPU exporter and the report of the start
into the process whose `/metrics` is scraped, as vLLM has no extension point of its own for either.
"""

import logging
from collections.abc import Callable
from typing import Final

from prometheus_client import REGISTRY

from batchedllm_engine.foreign import Foreign, module
from batchedllm_engine.gpu_exporter.exporter import start_exporter
from batchedllm_engine.start.report import report_start
from batchedllm_engine.stat_logger.observer import Errors, StepObserver, setting_of

LOG: Final = logging.getLogger("vllm.batchedllm_engine")
"""Below vLLM's own logger, so that it is written the same way."""

_Base: Foreign = module("vllm.v1.metrics.loggers").AggregateStatLoggerBase


class BatchStatLogger(_Base):  # type: ignore[misc] # vLLM is not there where types are checked
    """vLLM's stat logger interface (v1/metrics/loggers.py of 0.26 to 0.32)."""

    def __init__(self, vllm_config: Foreign, engine_indexes: list[int]) -> None:
        self._observer: StepObserver | None = None
        self._errors = Errors(REGISTRY, LOG)
        self._attempt("reading vLLM's configuration", lambda: self._observe(vllm_config, engine_indexes))
        self._attempt("starting the GPU exporter", lambda: start_exporter(REGISTRY, LOG))

    def record(
        self,
        scheduler_stats: Foreign,
        iteration_stats: Foreign,
        mm_cache_stats: Foreign = None,  # noqa: ARG002 - vLLM's signature
        engine_idx: int = 0,
    ) -> None:
        """Take one engine step down."""
        if self._observer is not None:
            self._observer.record(scheduler_stats, iteration_stats, engine_idx)

    def log_engine_initialized(self) -> None:
        """Tell how long the start took and what memory went where, now that the engine has said it."""
        self._attempt("reporting the start", lambda: report_start(REGISTRY, LOG))

    def _observe(self, config: Foreign, engines: list[int]) -> None:
        self._observer = StepObserver(REGISTRY, setting_of(config, len(engines)), engines, self._errors)

    def _attempt(self, doing: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the engine starts, whatever we fail to do beside it
            self._errors.note(doing, error)
