"""Takes down what vLLM tells its stat loggers, and never lets an error of ours reach it.

vLLM calls from its event loop, and an exception there would fail every request under way.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from batchedllm_engine import instruments
from batchedllm_engine.foreign import Foreign
from batchedllm_engine.stat_logger.definitions import ERRORS
from batchedllm_engine.stat_logger.recorder import EngineRecorder, StepRecorder
from batchedllm_engine.stat_logger.step import free_blocks, step_of


@dataclass(frozen=True, slots=True)
class Setting:
    """What of vLLM's configuration says how its stats are to be read."""

    model: str
    """Served name."""
    blocks: int
    """KV cache blocks that the requests of one engine can use."""
    detailed: bool
    """Whether the engine tells of each step itself (--enable-logging-iteration-details)."""
    sole_front_end: bool
    """Whether there is only one API server."""


def setting_of(config: Foreign, engines: int) -> Setting:
    """Read it from a VllmConfig. Blocks are told for all engines at once; one of each is vLLM's own, for padding."""
    blocks = config.cache_config.num_gpu_blocks or 0
    return Setting(
        model=config.model_config.served_model_name,
        blocks=max(0, blocks // max(1, engines) - 1),
        detailed=bool(getattr(config.observability_config, "enable_logging_iteration_details", False)),
        sole_front_end=getattr(config.parallel_config, "_api_process_count", 1) == 1,
    )


class Errors:
    """Counts the plugin's own failures, and tells the first of each kind."""

    def __init__(self, registry: CollectorRegistry, log: logging.Logger) -> None:
        self._count = instruments.counter(ERRORS, registry)
        self._log = log
        self._told: set[str] = set()

    def note(self, doing: str, error: Exception) -> None:
        """Count a failure of `doing`; log it, with its traceback, the first time."""
        self._count.inc()
        if doing not in self._told:
            self._told.add(doing)
            self._log.error("%s failed; the engine goes on without it. Reported once", doing, exc_info=error)


class StepObserver:
    """One recorder per engine, fed with vLLM's stats."""

    def __init__(self, registry: CollectorRegistry, setting: Setting, engines: Sequence[int], errors: Errors) -> None:
        self._setting = setting
        self._errors = errors
        recorder = StepRecorder(registry)
        self._engines: dict[int, EngineRecorder] = {
            engine: recorder.engine(engine, setting.model, setting.blocks) for engine in engines
        }

    def record(self, scheduler: Foreign, iteration: Foreign, engine: int) -> None:
        """Take one call of vLLM's down; what goes wrong is counted and told once."""
        try:
            self._record(scheduler, iteration, self._engines[engine])
        except Exception as error:  # noqa: BLE001 - see the module's description
            self._errors.note("taking an engine step down", error)

    def _record(self, scheduler: Foreign, iteration: Foreign, recorder: EngineRecorder) -> None:
        setting = self._setting
        if iteration is not None and iteration.num_preempted_reqs:
            recorder.take_preemptions(iteration.num_preempted_reqs)
        step = step_of(scheduler, iteration, detailed=setting.detailed, sole_front_end=setting.sole_front_end)
        if step is not None:
            recorder.take(step)
        free = free_blocks(scheduler, setting.blocks)
        if free is not None:
            recorder.take_free_blocks(free)
