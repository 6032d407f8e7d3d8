"""How long one step of the engine takes, how busy its GPU is and what it draws, by what the step works on.

A step over n tokens (one for each request that decodes, the chunk's length for each that prefills) takes
`linear(n)`, interpolated between knots, plus attention: decoding reads the keys and values of all contexts,
prefilling pairs each new token with every earlier one; and a part per request, for sampling from the whole vocabulary.
`tests/bench/step_time_fit.py` fits the constants to
`measurements`; `tests/bench/engine_accuracy.py` prints what is left as error.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from math import log2

from batchedllm.sim.measurements import H100_BATCHES, H200_BATCHES, MeasuredRun


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Step times of one model on one GPU. `knots` are (tokens in the step, seconds), ascending."""

    gpu: str
    knots: tuple[tuple[int, float], ...]
    seconds_per_sequence: float
    seconds_per_context_token: float
    seconds_per_attention_pair: float
    _linear: dict[int, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `linear_seconds` came to, by tokens."""

    def seconds(self, tokens: int, sequences: int, context_tokens: int, attention_pairs: int) -> float:
        """Return how long a step takes over so many tokens, of so many requests.

        `context_tokens` are those that its decoding requests read; `attention_pairs` are, for each prefill chunk, the
        pairs of a new token with itself and every earlier token.
        """
        return (
            self._known_linear_seconds(tokens)
            + self.seconds_per_context_token * context_tokens
            + self.seconds_per_attention_pair * attention_pairs
            + self.seconds_per_sequence * sequences
        )

    def _known_linear_seconds(self, tokens: int) -> float:
        known = self._linear.get(tokens)
        if known is None:
            known = self._linear[tokens] = self.linear_seconds(tokens)
        return known

    def linear_seconds(self, tokens: int) -> float:
        """Return the part that depends on the number of tokens only; beyond the knots it goes on as it was."""
        index = min(max(bisect_right(self.knots, (tokens, float("inf"))), 1), len(self.knots) - 1)
        (left_tokens, left_seconds), (right_tokens, right_seconds) = self.knots[index - 1], self.knots[index]
        slope = (right_seconds - left_seconds) / (right_tokens - left_tokens)
        return left_seconds + slope * (tokens - left_tokens)

    def decode_growth_seconds(self, sequences: int) -> float:
        """Return by how much each decode step is longer than the one before: the contexts have grown by a token."""
        return self.seconds_per_context_token * sequences


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """What NVML shows of a GPU while steps of some batch follow one another, and when nothing runs.

    Utilization tells that some kernel ran, not that the GPU is full: it is at 100 % from a batch of 2.
    """

    runs: tuple[MeasuredRun, ...]
    idle_watts: float

    def utilization_percent(self, tokens: int) -> float:
        """Return NVML's GPU utilization during steps over so many tokens."""
        return self._interpolate(tokens, "gpu_utilization_percent")

    def watts(self, tokens: int) -> float:
        """Return the power drawn during steps over so many tokens."""
        return self._interpolate(tokens, "watts")

    def _interpolate(self, tokens: int, field: str) -> float:
        """Interpolate over the logarithm of the batch, constant beyond the table's ends."""
        runs = self.runs
        if tokens <= runs[0].batch:
            return float(getattr(runs[0], field))
        for left, right in pairwise(runs):
            if tokens <= right.batch:
                part = log2(tokens / left.batch) / log2(right.batch / left.batch)
                return float(getattr(left, field) + part * (getattr(right, field) - getattr(left, field)))
        return float(getattr(runs[-1], field))


# Llama-3.1-8B, bfloat16: 34 runs, none more than 2.3 % off; at batch 1 to 512 the engine alone is at most 1.9 % off.
H200_STEP_TIMES = StepTimes(
    gpu="H200",
    knots=(
        *((1, 4.924e-3), (8, 4.768e-3), (16, 4.727e-3), (32, 4.726e-3), (64, 4.467e-3), (128, 4.454e-3)),
        *((256, 5.399e-3), (512, 8.468e-3), (2048, 38.311e-3), (8192, 184.937e-3), (16384, 359.506e-3)),
    ),
    seconds_per_sequence=15.3e-6,
    seconds_per_context_token=34.2e-9,
    seconds_per_attention_pair=0.757e-9,
)

# 13 runs, none more than 1.1 % off. Steps of 2,048 tokens and more, attention pairs and sampling are the H200's (the
# same arithmetic units); reading contexts is the H200's time multiplied by the ratio of the memory bandwidths.
H100_STEP_TIMES = StepTimes(
    gpu="H100",
    knots=(
        *((1, 6.541e-3), (8, 6.550e-3), (16, 6.483e-3), (32, 6.390e-3), (64, 6.108e-3), (128, 5.933e-3)),
        *((256, 6.274e-3), (512, 8.822e-3), (2048, 38.311e-3), (8192, 184.937e-3), (16384, 359.506e-3)),
    ),
    seconds_per_sequence=15.3e-6,
    seconds_per_context_token=49.1e-9,
    seconds_per_attention_pair=0.757e-9,
)

# No run of the tables was idle: 75 W is the order of magnitude of a card that holds a context and does nothing.
H200_LOAD = GpuLoad(H200_BATCHES, idle_watts=75.0)
H100_LOAD = GpuLoad(H100_BATCHES, idle_watts=75.0)
