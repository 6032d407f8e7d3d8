"""Plan = actual where a replica is spread over two GPUs: each rank holds its share, and what they talk through."""

from gpu.cases import plan_actual
from gpu.results import Check
from gpu.scene import Json, Scene

LEAST_SECONDS = 60
LEAST_GPUS = 2
_LEAST_RESOURCES = 3
_COMMON: Json = {"arguments": ("--enforce-eager",), "gpu": {"perReplica": 2}}
SPECS: dict[str, Json] = {
    "llama-8b-two": _COMMON
    | {
        "model": "llama-3.1-8b",
        "memory": {"gpuUtilization": 0.4},
        "batching": {"maxModelLen": 16384, "maxNumSeqs": 256, "maxNumBatchedTokens": 8192},
    },
    "qwen-7b-two": _COMMON
    | {
        "model": "qwen2.5-7b",
        "memory": {"gpuUtilization": 0.3, "kvCacheDtype": "fp8"},
        "batching": {"maxModelLen": 32768, "maxNumSeqs": 64, "maxNumBatchedTokens": 2048},
    },
    "olmoe-two": _COMMON
    | {
        "model": "olmoe-1b-7b",
        "memory": {"gpuUtilization": 0.3},
        "batching": {"maxModelLen": 4096, "maxNumSeqs": 256, "maxNumBatchedTokens": 8192},
    },
    "llama-8b-two-graphs": {
        "arguments": (),
        "gpu": {"perReplica": 2},
        "model": "llama-3.1-8b",
        "memory": {"gpuUtilization": 0.4},
        "batching": {"maxModelLen": 16384, "maxNumSeqs": 256, "maxNumBatchedTokens": 8192},
    },
}
"""The last with CUDA graphs and compiled, which costs a minute more."""


def run(scene: Scene, measured: Json) -> None:
    """Plan all, then start each alone."""
    plan_actual.compare(scene, measured, SPECS)
    plan_actual.end(scene, SPECS)


def judge(measured: Json) -> list[Check]:
    """The bounds of one GPU hold for two."""
    errors = {one["name"]: plan_actual.error_percent(one) for one in measured["starts"]}
    return plan_actual.judge_errors(errors, _LEAST_RESOURCES)
