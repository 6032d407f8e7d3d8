"""The plugin's metrics: takes steps down, in microseconds, with every label resolved beforehand."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from batchedllm_engine import instruments
from batchedllm_engine.stat_logger import definitions
from batchedllm_engine.stat_logger.step import BATCH_LABEL_VALUES, Step, batch_bucket


class _BatchSeries:
    """The series of one engine that belong to one bucket of batch sizes."""

    __slots__ = ("requests", "seconds", "step_seconds", "steps", "tokens")

    def __init__(self, families: "_Families", labels: Sequence[str]) -> None:
        self.step_seconds: Histogram = families.step_seconds.labels(*labels)
        self.steps: Counter = families.decode_steps.labels(*labels)
        self.seconds: Counter = families.decode_seconds.labels(*labels)
        self.requests: Counter = families.decode_requests.labels(*labels)
        self.tokens: Counter = families.decode_tokens.labels(*labels)


class _Families:
    """The families that have a bucket of batch sizes as a label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.step_seconds = instruments.histogram(definitions.STEP_DURATION, registry)
        self.decode_steps = instruments.counter(definitions.DECODE_STEPS, registry)
        self.decode_seconds = instruments.counter(definitions.DECODE_SECONDS, registry)
        self.decode_requests = instruments.counter(definitions.DECODE_REQUESTS, registry)
        self.decode_tokens = instruments.counter(definitions.DECODE_TOKENS, registry)


class EngineRecorder:
    """Takes down the steps of one engine. Batch sizes that never occurred have no series."""

    def __init__(self, recorder: "StepRecorder", engine: int, model: str, blocks: int) -> None:
        labels = (str(engine), model)
        self.blocks = blocks
        self._labels = labels
        self._families = recorder.families
        self._by_batch: list[_BatchSeries | None] = [None] * len(BATCH_LABEL_VALUES)
        self._batch_size = recorder.batch_size.labels(*labels)
        self._prefill = recorder.step_tokens.labels(*labels, "prefill")
        self._decode = recorder.step_tokens.labels(*labels, "decode")
        self._preemptions = recorder.preemptions.labels(*labels)
        self._free = recorder.kv_blocks_free.labels(*labels)
        self._free.set(blocks)
        recorder.kv_blocks.labels(*labels).set(blocks)

    def take(self, step: Step) -> None:
        """Take one step down."""
        self._batch_size.observe(step.batch)
        if step.prefill_tokens:
            self._prefill.observe(step.prefill_tokens)
        if step.decode_tokens:
            self._decode.observe(step.decode_tokens)
        if step.seconds is not None:
            self._take_time(step, step.seconds)

    def take_free_blocks(self, free: int) -> None:
        """Take down how many KV cache blocks are free."""
        self._free.set(free)

    def take_preemptions(self, count: int) -> None:
        """Count requests that were preempted."""
        self._preemptions.inc(count)

    def _take_time(self, step: Step, seconds: float) -> None:
        place = batch_bucket(step.batch)
        series = self._by_batch[place]
        if series is None:
            series = self._by_batch[place] = _BatchSeries(self._families, (*self._labels, BATCH_LABEL_VALUES[place]))
        series.step_seconds.observe(seconds)
        if step.only_decodes:
            series.steps.inc()
            series.seconds.inc(seconds)
            series.requests.inc(step.batch)
            series.tokens.inc(step.decode_tokens or 0)


class StepRecorder:
    """The metrics of all engines that one API server serves for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.families = _Families(registry)
        self.batch_size = instruments.histogram(definitions.BATCH_SIZE, registry)
        self.step_tokens = instruments.histogram(definitions.STEP_TOKEN_COUNT, registry)
        self.preemptions = instruments.counter(definitions.PREEMPTIONS, registry)
        self.kv_blocks = instruments.gauge(definitions.KV_BLOCKS, registry)
        self.kv_blocks_free = instruments.gauge(definitions.KV_BLOCKS_FREE, registry)

    def engine(self, engine: int, model: str, blocks: int) -> EngineRecorder:
        """Return the recorder of one engine that has so many usable KV cache blocks."""
        return EngineRecorder(self, engine, model, blocks)
