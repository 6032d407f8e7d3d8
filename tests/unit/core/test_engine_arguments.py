"""Every field that becomes an argument of the engine, and nothing that was not asked for."""

import pytest

from batchedllm.api.owned import OWNED_ARGUMENTS
from batchedllm.api.resource import parse
from batchedllm.core.engine_arguments import ARGUMENTS, engine_arguments
from samples import resource

ALWAYS = ["org/llama", "--shutdown-timeout=60", "--host=0.0.0.0", "--port=8000"]


def arguments(spec=None):
    return engine_arguments(parse(resource(spec)))


def test_a_minimal_resource_asks_for_nothing_but_the_model_its_drain_and_its_port():
    assert arguments() == ALWAYS


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"model": {"id": "org/llama", "servedName": "llama"}}, "--served-model-name=llama"),
        ({"model": {"id": "org/llama", "revision": "abc"}}, "--revision=abc"),
        ({"model": {"id": "org/llama", "dtype": "bfloat16"}}, "--dtype=bfloat16"),
        ({"model": {"id": "org/llama", "quantization": "awq"}}, "--quantization=awq"),
        ({"model": {"id": "org/llama", "trustRemoteCode": True}}, "--trust-remote-code"),
        ({"gpu": {"perReplica": 4}}, "--tensor-parallel-size=4"),
        ({"memory": {"gpuUtilization": 0.85}}, "--gpu-memory-utilization=0.85"),
        ({"memory": {"kvCacheMemory": "64Mi"}}, "--kv-cache-memory-bytes=67108864"),
        ({"memory": {"kvCacheDtype": "fp8"}}, "--kv-cache-dtype=fp8"),
        ({"batching": {"maxModelLen": 8192}}, "--max-model-len=8192"),
        ({"batching": {"maxModelLen": "auto"}}, "--max-model-len=auto"),
        ({"batching": {"maxNumSeqs": 128}}, "--max-num-seqs=128"),
        ({"batching": {"maxNumBatchedTokens": 4096}}, "--max-num-batched-tokens=4096"),
        ({"admission": {"maxQueuedRequests": 256}}, "--max-num-queued-reqs=256"),
        ({"admission": {"maxQueuedTokens": 90000}}, "--max-num-queued-tokens=90000"),
    ],
)
def test_a_field_becomes_one_argument(spec, expected):
    found = arguments(spec)

    assert expected in found
    assert sorted(found) == sorted([*ALWAYS, expected])


CLASSES = {"classes": [{"name": "high", "rank": -1}, {"name": "normal", "rank": 0, "default": True}]}
MIDDLEWARE = "--middleware=batchedllm_engine.middleware.AdmissionMiddleware"


def test_classes_are_ranked_by_the_engine_and_in_an_image_of_ours_named_by_the_middleware():
    stock = {"engine": {"image": "vllm/vllm-openai:v0.32.0"}, "priority": CLASSES}

    assert set(arguments({"priority": CLASSES})) - set(ALWAYS) == {"--scheduling-policy=priority", MIDDLEWARE}
    assert set(arguments(stock)) - set(ALWAYS) == {"--scheduling-policy=priority"}


def test_the_engine_keeps_no_queue_limit_that_the_middleware_keeps():
    """vLLM's own 503 has no Retry-After."""
    admission = {"mode": "middleware", "maxQueuedRequests": 256, "maxQueuedTokens": 9000}

    known = arguments({"admission": admission, "batching": {"maxNumSeqs": 64}})
    unknown = arguments({"admission": admission})

    assert not [one for one in known if one.startswith("--max-num-queued")]
    assert {"--max-num-queued-reqs=256", "--max-num-queued-tokens=9000", MIDDLEWARE} <= set(unknown)


@pytest.mark.parametrize("value", [False, None])
def test_a_boolean_that_is_not_true_gives_no_argument(value):
    """Omitted must mean the engine's default, never --no-..."""
    model = {"id": "org/llama"} if value is None else {"id": "org/llama", "trustRemoteCode": value}

    assert arguments({"model": model}) == ALWAYS


@pytest.mark.parametrize("gpus", [0, 1])
def test_one_gpu_or_none_is_no_tensor_parallelism(gpus):
    assert arguments({"gpu": {"perReplica": gpus}}) == ALWAYS


def test_no_drain_is_said_too():
    assert "--shutdown-timeout=0" in arguments({"rollout": {"drainSeconds": 0}})


def test_the_users_own_arguments_come_last_and_as_they_are():
    found = arguments({"engine": {"arguments": ["--enforce-eager", "--num-gpu-blocks-override=64"]}})

    assert found == [*ALWAYS, "--enforce-eager", "--num-gpu-blocks-override=64"]


def test_a_model_on_a_volume_is_loaded_from_there_and_keeps_its_name_for_clients():
    model = {"id": "llama/8b", "source": {"pvc": {"claimName": "weights"}}}

    found = arguments({"model": model})

    assert found[0] == "/models/volume/llama/8b"
    assert "--served-model-name=llama/8b" in found


def test_arguments_that_the_operator_sets_are_refused_from_the_user():
    """Else both would be given, and the engine would take the last one. It takes several middlewares, though."""
    assert {argument.flag for argument in ARGUMENTS} - {"--middleware"} <= set(OWNED_ARGUMENTS)
