"""What engine steps are like at each batch size: the numbers behind the engine image's `batchedllm_engine:` metrics.

Kept apart from the statistics, and counted only where somebody asks for them.
Bucket bounds are those of the image's plugin (engine_image/batchedllm_engine/stat_logger/definitions.py).
"""

from bisect import bisect_left
from dataclasses import dataclass, field

from batchedllm.sim.histograms import Histogram
from batchedllm.sim.statistics import BATCH_SIZE_BOUNDS

STEP_BOUNDS_SECONDS = (
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05),
    *(0.065, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0),
)
STEP_TOKENS_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


@dataclass(slots=True)
class StepsOfBatch:
    """Steps whose batch falls into one bucket; the last four count those that only decoded."""

    seconds: Histogram = field(default_factory=lambda: Histogram(STEP_BOUNDS_SECONDS))
    decode_steps: int = 0
    decode_seconds: float = 0.0
    decode_requests: int = 0
    decode_tokens: int = 0


@dataclass(slots=True)
class BatchSteps:
    """All steps since the engine started. How many had which batch size is among its statistics."""

    prefill_tokens: Histogram = field(default_factory=lambda: Histogram(STEP_TOKENS_BOUNDS))
    decode_tokens: Histogram = field(default_factory=lambda: Histogram(STEP_TOKENS_BOUNDS))
    by_batch: dict[int, StepsOfBatch] = field(default_factory=dict)
    """By the place of the bucket's bound in BATCH_SIZE_BOUNDS; sizes that never occurred are not in it."""

    def record_decoding(self, sequences: int, steps: int, first_seconds: float, growth_seconds: float) -> None:
        """Count steps in which each of the sequences got its next token, each step `growth_seconds` longer."""
        if not sequences:
            return
        self.decode_tokens.observe(sequences, steps)
        of_batch = self._of(sequences)
        of_batch.seconds.observe_growing(first_seconds, growth_seconds, steps, 1)
        of_batch.decode_steps += steps
        of_batch.decode_seconds += steps * first_seconds + growth_seconds * steps * (steps - 1) / 2
        of_batch.decode_requests += sequences * steps
        of_batch.decode_tokens += sequences * steps

    def record_step(
        self, seconds: float, sequences: int, prompt_tokens: int, decoded_tokens: int, *, has_prefill: bool
    ) -> None:
        """Count a step that may have read prompts too. Only who decoded in it has seen how long it took."""
        if not has_prefill:
            self.record_decoding(sequences, 1, seconds, 0.0)
            return
        if prompt_tokens:
            self.prefill_tokens.observe(prompt_tokens)
        if decoded_tokens:
            self.decode_tokens.observe(decoded_tokens)
            self._of(sequences).seconds.observe(seconds)

    def _of(self, sequences: int) -> StepsOfBatch:
        place = bisect_left(BATCH_SIZE_BOUNDS, sequences)
        found = self.by_batch.get(place)
        if found is None:
            found = self.by_batch[place] = StepsOfBatch()
        return found
