"""What an engine that ran out of GPU memory says, and what is planned again with that."""

from dataclasses import replace

import pytest

from batchedllm.core.memory.fixes import changed, fixes
from batchedllm.core.memory.plan import plan
from batchedllm.core.memory.plan_types import Correction, Verdict
from batchedllm.core.memory.shortage import shortage
from batchedllm.core.memory.units import GIB, MIB, Tokens
from memory_models import gpu, question

LLAMA = question(on=gpu(80), max_model_len=Tokens(8192), max_num_seqs=64, engine_version="0.32.0")
BILL = plan(LLAMA).bill

SERVING = '  File "vllm/v1/worker/gpu_worker.py", line 1101, in execute_model\n'
LOADING = '  File "vllm/v1/worker/gpu_worker.py", line 507, in load_model\n'
PROFILING = '  File "vllm/v1/worker/gpu_worker.py", line 640, in determine_available_memory\n'
ASKED_FOR_MORE = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.18 GiB "
    "of which 512.00 MiB is free. Process 1 has 78.96 GiB memory in use."
)
WITHOUT_NUMBERS = "torch.AcceleratorError: CUDA error: out of memory"
TAKEN = (
    "ValueError: Free memory on device cuda:0 (60.1/80.0 GiB) on startup is less than desired GPU memory utilization "
    "(0.92, 73.6 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
)
SMALL_CACHE = (
    "To serve at least one request with the model's max seq len (8192), (1.0 GiB KV cache is needed, which is larger "
    "than the available KV cache memory (0.50 GiB). Based on the available memory, the estimated maximum model length "
    "is 4096."
)
NOTHING_LEFT = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"


def test_the_case_fits_by_its_plan():
    assert plan(LLAMA).verdict is Verdict.FITS


@pytest.mark.parametrize(
    "log", [SERVING + ASKED_FOR_MORE, SERVING + WITHOUT_NUMBERS, LOADING + ASKED_FOR_MORE, TAKEN, SMALL_CACHE]
)
def test_planned_again_it_does_not_fit_and_each_fix_does(log):
    found = shortage(LLAMA, BILL, log)

    again = plan(found.question)
    proposed = fixes(found.question, again)
    assert again.verdict is Verdict.DOES_NOT_FIT
    assert proposed
    assert {plan(changed(found.question, fix)).verdict for fix in proposed} == {Verdict.FITS}


def test_what_runs_out_beside_the_cache_is_mended_by_a_smaller_budget():
    """1.5 GiB were missing: two hundredths of 80 GiB."""
    found = shortage(LLAMA, BILL, SERVING + ASKED_FOR_MORE)

    (first, *_) = fixes(found.question, plan(found.question))
    assert (first.setting, first.was, first.becomes) == ("memory.gpuUtilization", "0.92", "0.90")
    assert "1.50 GiB more than was free" in found.words


def test_without_numbers_a_hundredth_of_the_gpu_is_held_to_be_missing():
    found = shortage(LLAMA, BILL, WITHOUT_NUMBERS)

    (first, *_) = fixes(found.question, plan(found.question))
    assert (first.was, first.becomes) == ("0.92", "0.91")
    assert "GiB more" not in found.words, "a number that nobody told"


@pytest.mark.parametrize("frame", [LOADING, PROFILING])
def test_what_runs_out_before_the_cache_is_no_matter_of_the_budget(frame):
    found = shortage(LLAMA, BILL, frame + ASKED_FOR_MORE)

    settings = [fix.setting for fix in fixes(found.question, plan(found.question))]
    assert "memory.gpuUtilization" not in settings
    assert "gpu.perReplica" in settings


def test_a_gpu_that_others_use_is_planned_with_what_was_free():
    found = shortage(LLAMA, BILL, TAKEN)

    (first, *_) = fixes(found.question, plan(found.question))
    assert first.setting == "memory.gpuUtilization"
    assert 0.95 * 60.1 < float(first.becomes) * 80 <= 60.1


def test_a_small_cache_is_what_was_left_and_teaches():
    found = shortage(LLAMA, BILL, SMALL_CACHE)

    assert plan(found.question).bill.kv_cache == pytest.approx(0.5 * GIB, abs=MIB)
    assert found.actual.kv_cache == GIB // 2


def test_no_memory_for_blocks_is_a_cache_of_nothing_and_teaches_nothing():
    found = shortage(LLAMA, BILL, NOTHING_LEFT)

    assert plan(found.question).bill.kv_cache == 0
    assert found.actual is None


def test_what_starts_have_taught_before_stays():
    learned = replace(LLAMA, correction=Correction(activation_bytes=GIB, starts=1))
    bill = plan(learned).bill

    found = shortage(learned, bill, SMALL_CACHE)

    assert plan(found.question).bill.kv_cache == pytest.approx(0.5 * GIB, abs=MIB)


@pytest.mark.parametrize("log", ["", "RuntimeError: NCCL error", "INFO Available KV cache memory: 10.0 GiB"])
def test_other_ends_are_no_shortage(log):
    assert shortage(LLAMA, BILL, log) is None
