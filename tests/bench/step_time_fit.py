"""Fit the simulated engine's step times to the measured runs.

`PYTHONPATH=operator python tests/bench/step_time_fit.py`

The engine itself lays out the steps of every measured run; the time of a run is then linear in the constants sought
(time per step at each knot, per context token, per attention pair, and once per run for the start of `LLM.generate`,
which is no engine's time and is left out of the model). Least squares on relative errors. Needs numpy.
"""

from typing import NamedTuple

import numpy as np

from batchedllm.sim import measurements as measured
from batchedllm.sim.engine import SimulatedEngine
from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.events import EngineRequest
from batchedllm.sim.step_times import H200_LOAD, StepTimes

KNOTS = (1, 8, 16, 32, 64, 128, 256, 512, 2048, 8192, 16384)
MEMORY_BANDWIDTH_RATIO = 4.8 / 3.35  # TB/s of the H200 and of the H100 SXM, from their data sheets
SETTINGS = {"max_model_len": 8192, "num_gpu_blocks": 55712, "max_num_seqs": 1024}


class Work(NamedTuple):
    """What one engine step computes, as `StepTimes.seconds` takes it."""

    tokens: int
    sequences: int
    context_tokens: int
    attention_pairs: int


class Recorder(StepTimes):
    """Gives every step one second and keeps what it worked on."""

    __slots__ = ("works",)

    def __init__(self) -> None:
        super().__init__("", ((1, 1.0), (2, 1.0)), 0.0, 0.0, 0.0)
        object.__setattr__(self, "works", [])

    def seconds(self, tokens: int, sequences: int, context_tokens: int, attention_pairs: int) -> float:
        self.works.append(Work(tokens, sequences, context_tokens, attention_pairs))
        return 1.0


def steps_of(run: measured.MeasuredRun, max_num_batched_tokens: int) -> list[Work]:
    """Return what each engine step of a run works on."""
    recorder = Recorder()
    settings = EngineSettings(**SETTINGS, max_num_batched_tokens=max_num_batched_tokens)
    engine = SimulatedEngine(settings, recorder, H200_LOAD)
    for index in range(run.batch):
        engine.submit(EngineRequest(str(index), run.prompt_tokens, run.output_tokens), 0.0)
    works = []
    while engine.next_step_end() is not None:
        recorder.works.clear()
        engine.advance(engine.next_step_end() + 0.5)
        works += recorder.works[-1:]
    return works


def features(run: measured.MeasuredRun, max_num_batched_tokens: int) -> np.ndarray:
    """Return how often each constant counts in a run."""
    row = np.zeros(len(KNOTS) + 4)
    for work in steps_of(run, max_num_batched_tokens):
        if work.tokens == 0:
            continue
        right = min(max(int(np.searchsorted(KNOTS, work.tokens)), 1), len(KNOTS) - 1)
        part = (work.tokens - KNOTS[right - 1]) / (KNOTS[right] - KNOTS[right - 1])
        row[right - 1] += 1 - part
        row[right] += part
        row[-4] += work.sequences * 1e-6
        row[-3] += work.context_tokens * 1e-6
        row[-2] += work.attention_pairs * 1e-6
    row[-1] = 1
    return row


def fit(runs: list[tuple[measured.MeasuredRun, int]], fixed: dict[int, float]) -> np.ndarray:
    """Return the constants; `fixed` are given (index to value)."""
    weights = np.array([1 / run.seconds for run, _ in runs])
    matrix = np.array([features(run, limit) for run, limit in runs]) * weights[:, None]
    free = [index for index in range(matrix.shape[1]) if index not in fixed]
    target = np.ones(len(runs)) - sum(matrix[:, index] * value for index, value in fixed.items())
    solution = np.zeros(matrix.shape[1])
    solution[free] = np.linalg.lstsq(matrix[:, free], target, rcond=None)[0]
    for index, value in fixed.items():
        solution[index] = value
    errors = matrix @ solution - 1
    print("errors %:", " ".join(f"{100 * error:+.1f}" for error in errors))
    return solution


def show(name: str, solution: np.ndarray) -> None:
    """Print the constants as the module writes them."""
    print(name, "knots:", tuple((knot, round(float(s), 6)) for knot, s in zip(KNOTS, solution, strict=False)))
    sequence, context, pair, start = solution[-4:]
    print(f"  sequence {sequence:.3g} us, context token {context:.3g} us, attention pair {pair:.3g} us")
    print(f"  start of an offline run {start:.4f} s")


def main() -> None:
    """Fit the H200, then the H100; what its fewer runs cannot tell comes from the H200.

    Large steps are bound by arithmetic, which the two cards share; reading contexts is bound by memory.
    """
    h200 = [(run, 16384) for run in (*measured.H200_BATCHES, *measured.H200_SHAPES)]
    h200 += [(run, 8192) for run in measured.H200_SHAPES_8192]
    solution = fit(h200, {})
    show("H200", solution)
    h100 = [(run, 16384) for run in (*measured.H100_BATCHES, *measured.H100_SHAPES)]
    same = {index: solution[index] for index in (8, 9, 10, 11, 13, 14)}
    show("H100", fit(h100, {**same, 12: solution[-3] * MEMORY_BANDWIDTH_RATIO}))


if __name__ == "__main__":
    main()
