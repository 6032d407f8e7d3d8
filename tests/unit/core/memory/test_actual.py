"""What engines report of their memory, in their own words."""

from batchedllm.core.memory.actual import Actual, actual_of_labels, actual_of_log, merged
from batchedllm.core.memory.units import GIB

OLD_LOG = """
INFO [model_runner.py:305] Model loading took 14.29 GiB and 1.597012 seconds
INFO [gpu_worker.py:560] Available KV cache memory: 110.18 GiB
INFO [kv_cache_utils.py:2004] GPU KV cache size: 2,063,088 tokens
INFO [kv_cache_utils.py:2009] Maximum concurrency for 2,048 tokens per request: 1007.37x
INFO [gpu_model_runner.py:6737] Estimated CUDA graph memory: 0.64 GiB total
INFO [model_runner.py:747] Graph capturing finished in 6 secs, took 0.89 GiB
DEBUG Free memory on device (139.29/139.8 GiB) on startup. Desired GPU memory utilization is (0.9, 125.82 GiB). \
Actual usage is 14.29 GiB for weight, 1.13 GiB for peak activation, 0.22 GiB for non-torch memory, and 0.89 GiB for \
CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory=117192627712` (109.14 GiB)
"""
NEW_LOG = (
    "GPU KV cache size: 16,384 tokens, Maximum concurrency for 2,048 tokens per request: 8.00x\n"
    "Free memory on device (78.66/79.18 GiB) on startup. Desired GPU memory utilization is (0.9, 71.26 GiB). Actual "
    "usage is 15.5 GiB for consumed memory (weights + non-torch), 1.77 GiB for peak activation, and 0.98 GiB for "
    "CUDAGraph memory."
)
TOO_LONG = (
    "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (11.01 GiB). Based on the available memory, the estimated "
    "maximum model length is 90208. Try increasing `gpu_memory_utilization`"
)


def gib(value: float) -> int:
    return round(value * GIB)


def test_a_whole_start_of_0_26():
    assert actual_of_log(OLD_LOG) == Actual(
        total=gib(139.8),
        free=gib(139.29),
        requested=gib(125.82),
        weights=gib(14.29),
        activation=gib(1.13),
        non_torch=gib(0.22),
        cuda_graphs=gib(0.89),
        cuda_graphs_estimate=gib(0.64),
        kv_cache=gib(110.18),
        kv_tokens=2063088,
        max_model_len=2048,
        concurrency=1007.37,
        utilization=0.9,
    )


def test_newer_versions_say_one_sum():
    found = actual_of_log(NEW_LOG)
    assert (found.consumed, found.activation, found.weights) == (gib(15.5), gib(1.77), None)
    assert (found.kv_tokens, found.concurrency) == (16384, 8.0)


def test_a_cache_that_is_too_small_says_what_it_needed_and_what_there_was():
    found = actual_of_log(TOO_LONG)
    assert (found.kv_needed, found.kv_cache, found.max_model_len) == (gib(16.0), gib(11.01), 90208)


def test_a_length_that_the_engine_chose():
    log = "Auto-fit max_model_len: reduced from 131072 to 90208 to fit in available KV cache memory (11.01 GiB GPU)"
    assert actual_of_log(log).max_model_len == 90208


def test_too_little_free_memory():
    log = "ValueError: Free memory on device cuda:0 (30.5/79.18 GiB) on startup is less than desired GPU memory"
    assert actual_of_log(log).total == gib(79.18)


def test_a_log_about_something_else():
    assert actual_of_log("Uvicorn running") == Actual()


def test_labels_of_the_metric():
    labels = {
        "num_gpu_blocks": "128",
        "block_size": "16",
        "kv_cache_size_tokens": "2048",
        "kv_cache_max_concurrency": "8.0",
        "gpu_memory_utilization": "0.92",
        "cache_dtype": "auto",
    }
    expected = Actual(blocks=128, block_size=16, kv_tokens=2048, concurrency=8.0, utilization=0.92)
    assert actual_of_labels(labels) == expected
    assert actual_of_labels({"num_gpu_blocks": "None"}) == Actual()


def test_the_first_account_counts_where_both_speak():
    assert merged(Actual(blocks=1), Actual(blocks=2, block_size=16)) == Actual(blocks=1, block_size=16)
