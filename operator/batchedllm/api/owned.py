"""Arguments and environment of the engine that the operator sets itself, and the rules that keep users from both.

Two settings of one thing would be one that is silently ignored.
"""

from collections.abc import Mapping
from typing import Final

from batchedllm.api.base import Rule

OWNED_ARGUMENTS: Final = {
    "--model": "spec.model.id",
    "--revision": "spec.model.revision",
    "--served-model-name": "spec.model.servedName",
    "--dtype": "spec.model.dtype",
    "--quantization": "spec.model.quantization",
    "--trust-remote-code": "spec.model.trustRemoteCode",
    "--tensor-parallel-size": "spec.gpu.perReplica",
    "--gpu-memory-utilization": "spec.memory.gpuUtilization",
    "--device-memory-utilization": "spec.memory.gpuUtilization",
    "--kv-cache-dtype": "spec.memory.kvCacheDtype",
    "--kv-cache-memory-bytes": "spec.memory.kvCacheMemory",
    "--max-model-len": "spec.batching.maxModelLen",
    "--max-num-seqs": "spec.batching.maxNumSeqs",
    "--max-num-batched-tokens": "spec.batching.maxNumBatchedTokens",
    "--scheduling-policy": "spec.priority.classes",
    "--max-num-queued-reqs": "spec.admission.maxQueuedRequests",
    "--max-num-queued-tokens": "spec.admission.maxQueuedTokens",
    "--shutdown-timeout": "spec.rollout.drainSeconds",
    "--hf-token": "spec.model.source.huggingFace.tokenSecretRef",
    "--pipeline-parallel-size": "spec.gpu.perReplica: one replica is one tensor-parallel group",
    "--data-parallel-size": "spec.scaling: replicas share nothing, each is scaled and drained alone",
    "--nnodes": "nothing: a replica is one pod",
    "--headless": "nothing: probes and metrics need the port",
    "--ssl-keyfile": "nothing: probes and metrics speak plain HTTP",
    "--ssl-certfile": "nothing: probes and metrics speak plain HTTP",
    "--host": "nothing: the operator sets it",
    "--port": "nothing: the operator sets it",
    "--uds": "nothing: probes and metrics need the port",
    "--disable-log-stats": "nothing: scaling needs the metrics",
    "--api-key": "spec.pod.env with VLLM_API_KEY from a Secret: arguments are readable by everyone",
}
"""Arguments of the engine that `engine.arguments` must not repeat, and the field that sets each."""

OWNED_ENVIRONMENT: Final = {
    "HF_TOKEN": "spec.model.source.huggingFace.tokenSecretRef",
    "HUGGING_FACE_HUB_TOKEN": "spec.model.source.huggingFace.tokenSecretRef",
    "HF_TOKEN_PATH": "spec.model.source.huggingFace.tokenSecretRef",
    "BATCHEDLLM_ADMISSION_CONFIG": "spec.admission and spec.priority",
    "VLLM_PORT": "nothing: the operator sets the port",
    "VLLM_SERVER_DEV_MODE": "nothing: it lets clients run code in the engine",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "nothing: it lets clients run code in the engine",
}
"""Environment variables that `pod.env` must not set, and the field that sets each."""


def _refuse(owned: Mapping[str, str]) -> str:
    """CEL map of the refused names to what sets them instead."""
    return "{" + ", ".join(f"'{name}': '{instead}'" for name, instead in owned.items()) + "}"


_ARGUMENT = "a.matches('^--[A-Za-z0-9][-A-Za-z0-9_.]*(=|$)')"

_SPELLED_OUT = "(a.replace('_', '-') + '=')"
_NAME = f"{_SPELLED_OUT}.substring(0, {_SPELLED_OUT}.indexOf('=')).replace('--no-', '--')"
"""CEL: the name that the argument `a` sets, with dashes; `--no-x` sets `--x` too.

`substring` rather than `split`: the API server's cost limit knows the size of what it gives.
"""

_OWNED_ROWS = "[" + ", ".join(f"'{name}: use {instead}'" for name, instead in OWNED_ARGUMENTS.items()) + "]"

_OWNED = f"{_OWNED_ROWS}.filter(row, row.startsWith({_NAME}))"
"""CEL: the rows of owned arguments that `a` stands for; vLLM takes abbreviations, `--max-model` is one."""

ARGUMENT_RULES: Final = (
    Rule(
        f"!has(self.arguments) || self.arguments.all(a, {_ARGUMENT})",
        "each must be --name or --name=value",
        f"self.arguments.filter(a, !{_ARGUMENT})[0] + ': each must be --name or --name=value, one to an entry'",
        ".arguments",
    ),
    Rule(
        f"!has(self.arguments) || self.arguments.all(a, {_OWNED}.size() == 0)",
        "holds an argument that a field of the resource sets",
        f"self.arguments.map(a, {_OWNED}.size() > 0, a + ' must not be set here. ' + {_OWNED}[0])[0]",
        ".arguments",
    ),
)
"""Rules of an object with a list of `arguments`."""

ENVIRONMENT_RULE: Final = Rule(
    f"!(self.name in {_refuse(OWNED_ENVIRONMENT)})",
    "must not be set here",
    f"self.name + ' must not be set here, use ' + {_refuse(OWNED_ENVIRONMENT)}[self.name]",
    ".name",
)
"""Rule of an environment variable."""
