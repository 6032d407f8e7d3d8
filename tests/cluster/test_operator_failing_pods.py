"""Every way in which a replica fails is told in the status, with a reason and words that a person can act on."""

from typing import Any

import pytest

from cluster.conftest import Models, RunningOperator, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}


def failure(models: Models, name: str, reason: str, *, seconds: float = 60) -> dict[str, Any]:
    """The status' failure with this reason, when it is there."""

    def found() -> dict[str, Any]:
        status = (models.get("batchedllm", name) or {}).get("status", {})
        return next((one for one in status.get("failures", []) if one["reason"] == reason), {})

    return dict(eventually(found, seconds=seconds, what=f"failure {reason} of {name}"))


@pytest.fixture
def tolerant(operator: RunningOperator) -> RunningOperator:
    """An operator that will have failures to tell of."""
    operator.expected += ["batchedllm.shell.notices"]
    return operator


def test_an_image_that_cannot_be_pulled(tolerant: RunningOperator, models: Models) -> None:
    models.apply("opt", engine={"image": "registry.invalid/engine:1"})

    told = failure(models, "opt", "ImagePull")

    assert "registry.invalid/engine:1" in told["message"]
    assert "engine.image" in told["message"], "it says what to change"


def test_no_node_fits_tells_the_schedulers_words(tolerant: RunningOperator, models: Models) -> None:
    models.apply("opt", pod={"nodeSelector": {"example.com/nowhere": "true"}})

    told = failure(models, "opt", "Unschedulable")

    assert "node" in told["message"]
    assert "affinity/selector" in told["message"]


def test_more_failures_than_the_status_holds_are_each_logged_once(tolerant: RunningOperator, models: Models) -> None:
    nowhere = {"nodeSelector": {"example.com/nowhere": "true"}}
    models.apply("opt", pod=nowhere, scaling={"minReplicas": 14, "maxReplicas": 14})

    def warnings() -> list[str]:
        return [one["message"] for one in tolerant.log() if one["message"].startswith("Unschedulable: opt-")]

    eventually(lambda: len(set(warnings())) >= 14, seconds=60, what="a warning about each replica")
    looks = tolerant.metric("batchedllm_operator_reconciles_total")
    eventually(lambda: tolerant.metric("batchedllm_operator_reconciles_total") >= looks + 4, seconds=60)

    assert len(models.get("batchedllm", "opt")["status"]["failures"]) == 10
    assert sorted(warnings()) == sorted(set(warnings()))


def test_a_quota_that_is_used_up(tolerant: RunningOperator, models: Models) -> None:
    models.kubectl("create", "quota", "none", "--hard=pods=0")
    models.apply("opt")

    told = failure(models, "opt", "QuotaExceeded")

    assert "exceeded quota: none" in told["message"]
    models.kubectl("delete", "quota", "none")
    eventually(lambda: models.list("pods"), what="a pod after the quota is gone", seconds=90)


def test_a_namespace_whose_pod_security_refuses_the_pod(tolerant: RunningOperator, models: Models) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    models.cluster.kubectl("label", "namespace", models.namespace, label)
    models.apply("opt")

    eventually(lambda: models.list("pods"), what="restricted Pod Security takes our pods as they are")


def test_a_secret_that_is_missing(tolerant: RunningOperator, models: Models, sim_image: str) -> None:
    source = {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "token"}}}
    models.apply(
        "opt", model={"id": "facebook/opt-125m", "source": source}, engine={"image": sim_image, "resources": SMALL}
    )

    told = failure(models, "opt", "ConfigurationError", seconds=120)

    assert '"hf" not found' in told["message"]
    models.kubectl("create", "secret", "generic", "hf", "--from-literal=token=hf_canarycanarycanary")
    eventually(lambda: models.condition("opt", "Ready").get("status") == "True", seconds=150)
    assert "canary" not in tolerant.log_file.read_text()


@pytest.mark.parametrize(
    ("how", "reason", "words"),
    [
        ("cuda-oom", "OutOfGpuMemory", "CUDA out of memory"),
        ("kv-cache-too-small", "KVCacheTooSmall", "90192"),
        ("crash", "Crashed", "NCCL error"),
        ("host-oom", "OOMKilled", "memory"),
    ],
)
def test_an_engine_that_ends(
    tolerant: RunningOperator, models: Models, sim_image: str, how: str, *, reason: str, words: str
) -> None:
    limits = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "300Mi"}}
    models.apply("opt", engine={"image": sim_image, "arguments": [f"--sim-failure={how}"], "resources": limits})

    told = failure(models, "opt", reason, seconds=90)

    assert words in told["message"]
    if how == "cuda-oom":
        planned = models.condition("opt", "MemoryPlanned")
        assert planned["reason"] == reason
        assert "Smallest changes that fit: memory.gpuUtilization" in planned["message"]
    assert models.condition("opt", "EngineHealthy")["status"] == "False"
    assert len(models.list("pods")) == 1, "a failing replica is no reason to scale up"


def test_a_failure_is_forgotten_once_it_is_repaired(tolerant: RunningOperator, models: Models, sim_image: str) -> None:
    models.apply("opt", engine={"image": "registry.invalid/engine:1", "resources": SMALL})
    failure(models, "opt", "ImagePull")

    models.apply("opt", engine={"image": sim_image, "resources": SMALL})

    eventually(lambda: models.condition("opt", "Ready").get("status") == "True", seconds=90)
    eventually(lambda: not models.get("batchedllm", "opt")["status"].get("failures"), seconds=60)
    eventually(lambda: models.get("batchedllm", "opt")["status"].get("load"), what="a load that was scraped")
