"""The simulated engine keeps the pace of the measured GPUs."""

import pytest

from batchedllm.sim.engine import SimulatedEngine
from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.events import EngineRequest
from batchedllm.sim.measurements import (
    H100_BATCHES,
    H100_SHAPES,
    H200_BATCHES,
    H200_SHAPES,
    H200_SHAPES_8192,
    MeasuredRun,
)
from batchedllm.sim.step_times import H100_LOAD, H100_STEP_TIMES, H200_LOAD, H200_STEP_TIMES

START_OF_AN_OFFLINE_RUN_SECONDS = 0.0062  # LLM.generate before its first step, found by the fit; no engine's time


def simulated_seconds(run: MeasuredRun, times, load, max_num_batched_tokens: int) -> float:
    settings = EngineSettings(max_model_len=8192, num_gpu_blocks=55712, max_num_batched_tokens=max_num_batched_tokens)
    engine = SimulatedEngine(settings, times, load)
    for index in range(run.batch):
        engine.submit(EngineRequest(str(index), run.prompt_tokens, run.output_tokens), 0.0)
    return engine.advance(float("inf"))[-1].at


@pytest.mark.parametrize(
    ("times", "load", "runs"),
    [(H200_STEP_TIMES, H200_LOAD, H200_BATCHES), (H100_STEP_TIMES, H100_LOAD, H100_BATCHES)],
    ids=["H200", "H100"],
)
@pytest.mark.parametrize("row", range(10), ids=[f"batch-{1 << power}" for power in range(10)])
def test_throughput_at_every_batch_is_within_five_percent_of_the_table(times, load, runs, row):
    run = runs[row]
    assert run.batch == 1 << row
    seconds = simulated_seconds(run, times, load, 16384)
    assert run.batch * run.output_tokens / seconds == pytest.approx(run.tokens_per_second, rel=0.05)


@pytest.mark.parametrize(
    ("run", "times", "limit"),
    [
        *((run, H200_STEP_TIMES, 16384) for run in H200_SHAPES),
        *((run, H200_STEP_TIMES, 8192) for run in H200_SHAPES_8192),
        *((run, H100_STEP_TIMES, 16384) for run in H100_SHAPES),
    ],
    ids=str,
)
def test_other_shapes_of_requests_are_within_five_percent(run, times, limit):
    seconds = simulated_seconds(run, times, H200_LOAD, limit) + START_OF_AN_OFFLINE_RUN_SECONDS
    assert seconds == pytest.approx(run.seconds, rel=0.05)


def test_a_longer_context_makes_a_decode_step_longer_by_its_reading():
    short = H200_STEP_TIMES.seconds(8, 8, 1_000, 0)
    long = H200_STEP_TIMES.seconds(8, 8, 101_000, 0)
    assert long - short == pytest.approx(100_000 * H200_STEP_TIMES.seconds_per_context_token)


def test_steps_beyond_the_table_go_on_in_a_straight_line():
    step = H200_STEP_TIMES.linear_seconds(32768) - H200_STEP_TIMES.linear_seconds(24576)
    assert step == pytest.approx(H200_STEP_TIMES.linear_seconds(16384) - H200_STEP_TIMES.linear_seconds(8192))


def test_gpu_load_is_the_tables_at_its_rows_and_between_them_in_between():
    assert H200_LOAD.utilization_percent(1) == 85.3
    assert H200_LOAD.watts(128) == 652.5
    assert H200_LOAD.watts(64) < H200_LOAD.watts(90) < H200_LOAD.watts(128)
    assert H200_LOAD.watts(16384) == 678.2
