"""A benchmark from the resource, on a real cluster: a pod of its own measures, and what it found is used."""

import asyncio
import json
from typing import Any

import pytest

from batchedllm.core.scaling.capacity import UNKNOWN_TOKENS_PER_SECOND
from cluster.conftest import Models, RunningOperator, eventually
from demo.burst import play
from demo.trace import Arrival
from testbed.errors import TestbedError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
SPEC = {
    "model": {"id": MODEL},
    "gpu": {"product": "NVIDIA-H200"},
    "engine": {
        "image": "batchedllm.dev/engine:0.1.0-sim",
        "arguments": ["--sim-startup-seconds=1"],
        "sharedMemory": "16Mi",
    },
    "scaling": {"minReplicas": 1, "maxReplicas": 2},
    "rollout": {"drainSeconds": 1},
}
BENCHMARKS = "batchedllm.dev/benchmarks"


def status(models: Models, name: str) -> dict[str, Any]:
    return dict((models.get("batchedllm", name) or {}).get("status") or {})


def wait_for(models: Models, name: str, reason: str, seconds: float = 150) -> dict[str, Any]:
    """The condition Benchmarked when it has this reason."""
    eventually(
        lambda: models.condition(name, "Benchmarked").get("reason") == reason, seconds=seconds, what=f"{name}: {reason}"
    )
    return models.condition(name, "Benchmarked")


def test_a_model_is_measured_once_and_batching_and_scaling_go_by_it(
    sim_image: str, operator: RunningOperator, models: Models
) -> None:
    tuning = {"benchmark": "once", "benchmarkSeconds": 25}
    models.apply("llama", **SPEC, batching={"goal": "balanced", "maxModelLen": 8192}, tuning=tuning)

    wait_for(models, "llama", "BenchmarkRunning")
    pod = eventually(lambda: models.list("pods", f"{BENCHMARKS}=llama"), what="the benchmark's pod")[0]
    assert status(models, "llama")["replicas"] == 1, "it is never counted"
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    service = models.children("llama")["Service"]
    assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()

    measured = wait_for(models, "llama", "Measured")
    assert "output tokens/s at most" in measured["message"]
    profile = status(models, "llama")["profile"]
    assert profile["gpu"] == "NVIDIA H200"
    assert profile["curve"][0]["batch"] == 1
    assert 4000 < profile["curve"][0]["interTokenMicroseconds"] < 12_000, "a step of the simulated H200, and HTTP"
    eventually(lambda: not models.list("pods", f"{BENCHMARKS}=llama"), what="the pod is gone")

    wanted = f"--max-num-seqs={profile['knee']}"
    eventually(lambda: wanted in _arguments(models), what=f"the replicas get {wanted}")
    eventually(lambda: status(models, "llama").get("readyReplicas") == 1, what="the replica is replaced")
    assert models.list("pods", f"{BENCHMARKS}=llama") == [], "what the goal chose is no reason to measure again"

    _ask(models, 5)
    assert _assumed_tokens_per_second(models) != UNKNOWN_TOKENS_PER_SECOND


def _arguments(models: Models) -> list[str]:
    deployment = models.get("deployment", "llama") or {}
    return list(deployment["spec"]["template"]["spec"]["containers"][0]["args"])


def _ask(models: Models, requests: int) -> None:
    address = models.children("llama")["Service"]["spec"]["clusterIP"]
    answers: list[Any] = []
    asyncio.run(play(f"http://{address}:8000", MODEL, [Arrival(0, 64, 50)] * requests, answers.append))
    assert len(answers) == requests


def _assumed_tokens_per_second(models: Models) -> float:
    """The speed that scaling starts from, as it is kept."""
    kept = eventually(lambda: models.get("configmap", "llama-learned"), what="what was learned is kept")
    learned = json.loads(kept["data"]["learned.json"])
    return float(learned["experience"]["capacity"]["assumed_tokens_per_second"])


def _log(models: Models, pod: str) -> str:
    """The log of a pod; empty before its container has begun."""
    try:
        return models.kubectl("logs", pod, "--tail=20")
    except TestbedError:
        return ""


def test_the_annotation_asks_for_a_run_and_a_failure_is_told_while_the_model_serves_on(
    sim_image: str, operator: RunningOperator, models: Models
) -> None:
    operator.expected += ["batchedllm.shell.notices"]
    models.apply("llama", **SPEC, batching={"maxModelLen": 8192})
    eventually(lambda: status(models, "llama").get("readyReplicas") == 1, what="the replica serves")
    assert models.condition("llama", "Benchmarked") == {}

    models.kubectl("annotate", "batchedllm", "llama", "batchedllm.dev/benchmark=now")
    pod = eventually(lambda: models.list("pods", f"{BENCHMARKS}=llama"), what="the annotation asks for a run")[0]
    name = pod["metadata"]["name"]
    eventually(lambda: "measuring" in _log(models, name), what="it measures")
    # Its process ends as if the kernel had killed it: no last words.
    models.kubectl("exec", name, "--", "python3", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")

    failed = wait_for(models, "llama", "BenchmarkFailed")
    assert name in failed["message"]
    assert "not tried again by itself" in failed["message"]
    assert "BenchmarkFailed" in models.kubectl("get", "events", "-o", "yaml")
    assert status(models, "llama")["readyReplicas"] == 1
    assert "profile" not in status(models, "llama")
