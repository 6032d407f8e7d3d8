"""What is read of an engine's own metrics."""

import pytest

from batchedllm_engine.bench.metrics_page import ReadingSums, StepSums, read_page

PAGE = """\
vllm:generation_tokens_total{engine="0",model_name="m"} 100.0
vllm:generation_tokens_total{engine="1",model_name="m"} 50.0
batchedllm_engine:decode_steps_total{batch_le="8",engine="0",model_name="m"} 4.0
batchedllm_engine:decode_step_seconds_total{batch_le="8",engine="0",model_name="m"} 0.08
batchedllm_engine:decode_step_requests_total{batch_le="8",engine="0",model_name="m"} 28.0
vllm:request_prefill_time_seconds_sum{engine="0",model_name="m"} 0.5
vllm:request_prefill_time_seconds_count{engine="0",model_name="m"} 4.0
vllm:request_prefill_time_seconds_bucket{engine="0",le="0.3",model_name="m"} 4.0
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="a",modelName="NVIDIA H200",GPU_I_PROFILE="",GPU_I_ID=""} 7.0
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="b",modelName="NVIDIA H200",GPU_I_PROFILE="",GPU_I_ID=""} 9.0
"""


def cache(**labels):
    told = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"vllm:cache_config_info{{{told}}} 1.0\n"


def test_steps_are_told_by_batch():
    steps = read_page(PAGE).decode_steps["8"]

    assert steps.step_seconds == pytest.approx(0.02)
    assert steps.batch == 7


def test_only_what_was_added_counts():
    added = read_page(PAGE).decode_steps["8"].since(StepSums(2, 0.05, 14))

    assert added.step_seconds == pytest.approx(0.015)
    assert StepSums().step_seconds is None


def test_prompts_are_timed_by_the_engine():
    reading = read_page(PAGE).reading

    assert reading.mean_seconds == pytest.approx(0.125)
    assert reading.since(ReadingSums(2, 0.4)).mean_seconds == pytest.approx(0.05)
    assert read_page("").reading.mean_seconds is None


def test_cards_and_tokens_are_summed_up():
    page = read_page(PAGE)

    assert (page.gpu, page.gpus, page.generated_tokens) == ("NVIDIA H200", 2, 150)


@pytest.mark.parametrize(
    "labels",
    [
        {"kv_cache_size_tokens": "65536", "num_gpu_blocks": "1", "block_size": "16"},
        {"num_gpu_blocks": "4096", "block_size": "16"},
    ],
)
def test_the_cache_is_read_as_newer_and_older_engines_tell_it(labels):
    assert read_page(cache(**labels)).kv_cache_tokens == 65536


def test_an_engine_that_tells_nothing_is_no_zero():
    page = read_page("")

    assert (page.gpu, page.kv_cache_tokens, page.decode_steps) == (None, None, {})
