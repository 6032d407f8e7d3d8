"""What the end of an engine's log says."""

import pytest

from batchedllm.api.conditions import Reason
from batchedllm.core.crash_log import known_cause, line_that_matters, redacted

KV_TOO_SMALL = (
    "(EngineCore_DP0 pid=74) ValueError: To serve at least one request with the model's max seq len (4096), "
    "(0.5 GiB KV cache is needed, which is larger than the available KV cache memory (0.1 GiB). Based on the "
    "available memory, the estimated maximum model length is 384. Try increasing `gpu_memory_utilization`\n"
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above."
)

CASES = {
    "kv": (KV_TOO_SMALL, Reason.KV_CACHE_TOO_SMALL, "384 tokens fit"),
    "no blocks": (
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
        Reason.KV_CACHE_TOO_SMALL,
        "weights leave no memory",
    ),
    "auto": (
        "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token.",
        Reason.KV_CACHE_TOO_SMALL,
        "weights leave no memory",
    ),
    "gpu": (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79 GiB.",
        Reason.OUT_OF_GPU_MEMORY,
        "Tried to allocate 2.00 GiB",
    ),
    "neighbour": (
        (
            "ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired GPU memory "
            "utilization (0.92, 72.8 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."  # noqa: E501 - as vLLM prints it
        ),
        Reason.OUT_OF_GPU_MEMORY,
        "3.1/79.1 GiB free, 0.92, 72.8 GiB wanted",
    ),
    "too long": (
        (
            "Value error, User-specified max_model_len (9000) is greater than the derived max_model_len "
            "(max_position_embeddings=4096.0 or model_max_length=None in model's config.json)."
        ),
        Reason.CONFIGURATION,
        "batching.maxModelLen (9000) is longer than the model was made for (max_position_embeddings=4096.0)",
    ),
    "shm": (
        (
            "RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required, 64 MiB free. "
            "Increase /dev/shm"
        ),
        Reason.CONFIGURATION,
        "160 MiB required, 64 MiB free",
    ),
    "gated": (
        "huggingface_hub.errors.GatedRepoError: 403 Client Error",
        Reason.CONFIGURATION,
        "tokenSecretRef",
    ),
    "unknown model": (
        "OSError: org/none is not a local folder and is not a valid model identifier listed on 'https://hf.co/models'",
        Reason.CONFIGURATION,
        "Check model.id",
    ),
    "a stock image that is to have the middleware": (
        "ModuleNotFoundError: No module named 'batchedllm_engine'",
        Reason.CONFIGURATION,
        "set admission.mode: engine",
    ),
    "arguments": (
        "vllm: error: unrecognized arguments: --no-such-thing",
        Reason.CONFIGURATION,
        "--no-such-thing. Check engine.arguments",
    ),
    "code": (
        (
            "ValueError: The repository x contains custom code. You can inspect it. Please set the option "
            "`trust_remote_code=True` to allow custom code to be run."
        ),
        Reason.CONFIGURATION,
        "model.trustRemoteCode",
    ),
    "disk": ("OSError: [Errno 28] No space left on device", Reason.CONFIGURATION, "engine.cache.sizeLimit"),
    "no gpu": ("RuntimeError: No CUDA GPUs are available", Reason.CONFIGURATION, "device plugin"),
}


@pytest.mark.parametrize(("log", "reason", "words"), CASES.values(), ids=CASES.keys())
def test_a_known_cause_is_told_with_what_to_change(log, reason, words):
    found = known_cause(f"INFO starting\n{log}\nmore lines follow")

    assert found is not None
    assert found[0] is reason
    assert words in found[1]


def test_an_unknown_end_is_not_guessed_at():
    assert known_cause("ValueError: something new") is None
    assert known_cause("") is None


def test_the_line_that_matters_is_the_error_and_not_the_traceback_nor_what_follows_from_it():
    log = """
(EngineCore pid=9) ERROR 11-24 02:00:01.123 [core.py:700] Traceback (most recent call last):
(EngineCore pid=9) ERROR 11-24 02:00:01.123 [core.py:700]   File "/x.py", line 1, in <module>
(EngineCore pid=9) ERROR 11-24 02:00:01.123 [core.py:700]     raise KeyError("model.layers.0.weight")
(EngineCore pid=9) ERROR 11-24 02:00:01.123 [core.py:700] KeyError: 'model.layers.0.weight'
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1)   File "/usr/bin/vllm", line 10, in <module>
(APIServer pid=1)     sys.exit(main())
(APIServer pid=1)     ^^^^^^^^^^^^^^^^
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
/usr/lib/python3.11/multiprocessing/resource_tracker.py:254: UserWarning: there appear to be 1 leaked semaphore objects
"""

    assert line_that_matters(log) == "KeyError: 'model.layers.0.weight'"


def test_a_source_line_of_a_traceback_is_not_taken_for_the_error_that_it_raises():
    """As vLLM 0.26 ended on a GPU host, where the traceback was all that told of it."""
    log = """
(APIServer pid=1)   File "/site/vllm/v1/engine/utils.py", line 1272, in wait_for_engine_startup
(APIServer pid=1)     raise RuntimeError(
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""

    assert line_that_matters(log).startswith("RuntimeError: Engine core initialization failed")


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", ""),
        ("\n \n", ""),
        ("just text\nand more", "and more"),
        ("fatal: cannot do it\nbye", "fatal: cannot do it"),
        ("RuntimeError: Engine core initialization failed. See root cause above.", "RuntimeError: Engine core"),
    ],
)
def test_without_an_error_the_last_line_has_to_do(log, line):
    assert line_that_matters(log).startswith(line)


@pytest.mark.parametrize(
    "text",
    [
        "ValueError: bad token hf_abcdefghijklmnop",
        "OSError: Authorization: Bearer abcdefghijklmnop",
        "Error: api_key=abcdefghijklmnop is wrong",
        "Error: token 'abcdefghijklmnop' is wrong",
    ],
)
def test_no_token_gets_from_a_log_into_the_status(text):
    assert "abcdefghijklmnop" not in line_that_matters(text)
    assert "***" in redacted(text)
