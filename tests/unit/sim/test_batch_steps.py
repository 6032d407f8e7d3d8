"""Steps are counted by batch size, many equal ones at once like one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.sim import batch_steps, statistics
from batchedllm.sim.batch_steps import BatchSteps
from batchedllm_engine.stat_logger import definitions


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(1, 200), st.floats(1e-3, 1), st.floats(0, 1e-4))
def test_many_decoding_steps_count_like_single_ones(sequences, steps, first, growth):
    at_once, singly = BatchSteps(), BatchSteps()
    at_once.record_decoding(sequences, steps, first, growth)
    for step in range(steps):
        singly.record_decoding(sequences, 1, first + growth * step, 0.0)
    ((place, one),) = at_once.by_batch.items()
    same = singly.by_batch[place]
    assert (one.decode_steps, one.decode_requests, one.decode_tokens) == (steps, sequences * steps, sequences * steps)
    assert one.decode_seconds == pytest.approx(same.decode_seconds)
    assert at_once.decode_tokens.counts == singly.decode_tokens.counts
    assert one.seconds.count == same.seconds.count == steps


def test_a_step_that_read_a_prompt_has_a_time_only_if_somebody_decoded_in_it():
    told = BatchSteps()
    told.record_step(0.05, 3, 700, 2, has_prefill=True)
    told.record_step(0.09, 1, 900, 0, has_prefill=True)
    (of_batch,) = told.by_batch.values()
    assert (of_batch.seconds.count, of_batch.seconds.total, of_batch.decode_steps) == (1, 0.05, 0)
    assert (told.prefill_tokens.total, told.decode_tokens.total) == (1600, 2)


def test_a_step_without_work_is_none():
    told = BatchSteps()
    told.record_step(0.01, 0, 0, 0, has_prefill=False)
    assert (told.decode_tokens.count, told.by_batch) == (0, {})


def test_the_bounds_are_the_engine_images():
    assert statistics.BATCH_SIZE_BOUNDS == definitions.BATCH_SIZES
    assert batch_steps.STEP_BOUNDS_SECONDS == definitions.STEP_SECONDS
    assert batch_steps.STEP_TOKENS_BOUNDS == definitions.STEP_TOKENS
