"""A step is told from what vLLM says after it, and nothing is told that it does not say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchedllm_engine.stat_logger.definitions import BATCH_SIZES
from batchedllm_engine.stat_logger.step import BATCH_LABEL_VALUES, Step, batch_bucket, free_blocks, step_of
from vllm_stats import IterationStats, SchedulerIterationDetails, SchedulerStats, decoded, mixed


def told(scheduler, iteration, *, detailed=False, sole_front_end=True):
    return step_of(scheduler, iteration, detailed=detailed, sole_front_end=sole_front_end)


def test_a_step_of_decoding_has_its_batch_its_time_and_its_tokens():
    step = told(SchedulerStats(3), decoded(0.02, 0.02, 0.02))
    assert step == Step(3, 0.02, 0, 3, only_decodes=True)


def test_a_request_that_finished_in_the_step_was_in_it():
    assert told(SchedulerStats(2), decoded(0.02, 0.02, 0.02, finished=1)) == Step(3, 0.02, 0, 3, only_decodes=True)


def test_the_time_is_that_of_a_request_that_was_in_the_step_before_not_of_one_that_had_been_preempted():
    assert told(SchedulerStats(2), decoded(1.7, 0.02)).seconds == 0.02


def test_a_step_that_read_prompts_is_no_decoding_step():
    assert told(SchedulerStats(4), mixed(700, 1, 0.04, 0.04, 0.04)) == Step(4, 0.04, 700, 3, only_decodes=False)


def test_a_step_that_may_have_read_a_prompt_in_part_is_not_called_a_decoding_step():
    assert told(SchedulerStats(3), decoded(0.04, 0.04)) == Step(2, 0.04, 0, 2, only_decodes=False)


def test_a_step_that_only_read_a_prompt_in_part_has_no_time():
    assert told(SchedulerStats(1), None) == Step(1, None, 0, 0, only_decodes=False)


def test_a_first_token_alone_says_no_time():
    assert told(SchedulerStats(1), mixed(12, 1)) == Step(1, None, 12, 0, only_decodes=False)


@pytest.mark.parametrize(
    ("scheduler", "iteration"),
    [(None, decoded(0.02)), (SchedulerStats(0), None), (SchedulerStats(0), IterationStats())],
    ids=["another server has the scheduler's numbers", "the engine tidies up", "only aborted requests"],
)
def test_what_is_no_step_is_not_told_as_one(scheduler, iteration):
    assert told(scheduler, iteration) is None


def test_the_engines_own_word_counts_where_it_gives_it():
    details = SchedulerIterationDetails(1, 512, 7, 7, elapsed_ms=31.5)
    step = told(SchedulerStats(9, iteration_details=details), None, detailed=True)
    assert step == Step(8, 0.0315, 512, 7, only_decodes=False)


def test_the_time_between_results_counts_before_the_engines_wait_for_one():
    """With asynchronous scheduling the engine waits only for what its own work did not hide."""
    details = SchedulerIterationDetails(0, 0, 2, 2, elapsed_ms=4.0)
    step = told(SchedulerStats(2, iteration_details=details), decoded(0.02, 0.02), detailed=True)
    assert step == Step(2, 0.02, 0, 2, only_decodes=True)


@pytest.mark.parametrize("details", [None, SchedulerIterationDetails(0, 0, 0, 0, 1.0, is_dummy=True)])
def test_a_step_without_work_is_none(details):
    assert told(SchedulerStats(2, iteration_details=details), None, detailed=True) is None


def test_of_several_servers_each_tells_the_batch_and_none_the_tokens():
    step = told(SchedulerStats(64), decoded(0.02, 0.02), sole_front_end=False)
    assert step == Step(64, 0.02, None, None, only_decodes=False)
    assert told(SchedulerStats(0), None, sole_front_end=False) is None


@given(st.lists(st.floats(1e-4, 10), max_size=40), st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_no_step_is_negative_and_decoding_steps_have_a_token_for_each_request(waits, first, running, sole):
    step = told(SchedulerStats(running), mixed(first * 10, first, *waits), sole_front_end=sole)
    if step is None:
        return
    assert step.batch > 0
    assert step.seconds is None or step.seconds > 0
    if step.only_decodes:
        assert (step.prefill_tokens, step.decode_tokens) == (0, step.batch)


@given(st.integers(1, 5000))
def test_a_batch_belongs_to_the_smallest_bound_that_holds_it(batch):
    label = BATCH_LABEL_VALUES[batch_bucket(batch)]
    assert float(label) >= batch
    assert all(size < batch for size in BATCH_SIZES if size < float(label))


@pytest.mark.parametrize(("usage", "free"), [(0.0, 511), (1.0, 0), (1 - 100 / 511, 100)])
def test_free_blocks_are_exact(usage, free):
    assert free_blocks(SchedulerStats(kv_cache_usage=usage), 511) == free
    assert free_blocks(None, 511) is None
