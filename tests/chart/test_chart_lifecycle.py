"""The chart's life on a real cluster: install, upgrade, rollback, uninstall, and a model all the while."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, ROOT
from testbed.errors import TestbedError

pytestmark = [pytest.mark.chart, pytest.mark.cluster, pytest.mark.alone]

CRD = "crd/batchedllms.batchedllm.dev"
MODEL = "llama-8b"
OF_HELM = ("meta.helm.sh/release-name", "meta.helm.sh/release-namespace")


class Release:
    """A release of the chart that looks after its own namespace, so that it leaves others' models alone."""

    def __init__(self, cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.name = f"r-{namespace}"
        self.deployment = f"deployment/{self.name}-batchedllm-operator"

    def install(self, *settings: str) -> None:
        """Install or upgrade. The CRD of a cluster that other tests use may be there already: it is taken over."""
        self.cluster.helm(
            *("upgrade", "--install", self.name, str(CHART), "-n", self.namespace, "--take-ownership"),
            *("--force-conflicts", "--wait", "--timeout", "2m", "--set", "watch.scope=namespace"),
            *(word for one in settings for word in ("--set", one)),
        )

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """Run kubectl in the release's namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, **options)

    def helm(self, verb: str, *arguments: str) -> str:
        """Run helm on the release."""
        return self.cluster.helm(*verb.split(), self.name, *arguments, "-n", self.namespace)

    def environment(self) -> dict[str, str]:
        """Return the operator's environment as the cluster holds it."""
        found = json.loads(self.kubectl("get", self.deployment, "-o", "json"))
        env = found["spec"]["template"]["spec"]["containers"][0]["env"]
        return {one["name"]: one.get("value", "") for one in env}


@pytest.fixture
def release(cluster, namespace: str) -> Iterator[Release]:
    """A release that is not installed yet; afterwards the CRD is nobody's again."""
    cluster.load_image("operator")
    made = Release(cluster, namespace)
    yield made
    with contextlib.suppress(TestbedError):
        made.helm("uninstall", "--wait")
    cluster.kubectl("annotate", CRD, *(f"{one}-" for one in OF_HELM))
    cluster.kubectl("label", CRD, "app.kubernetes.io/managed-by-")


def wanted(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what its controller reports."""
    kept = {key: value for key, value in manifest.items() if key != "status"}
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "resourceVersion"}
    metadata["managedFields"] = [one for one in metadata["managedFields"] if one.get("subresource") != "status"]
    return {**kept, "metadata": metadata}


def live(release: Release) -> dict[tuple[str, str], dict[str, Any]]:
    """Return everything of the release as the cluster holds it, who set which field and when included."""
    manifest = release.helm("get manifest")
    text = release.kubectl("get", "--show-managed-fields", "-o", "json", "-f", "-", stdin=manifest)
    found = {(one["kind"], one["metadata"]["name"]): wanted(one) for one in json.loads(text)["items"]}
    assert len(found) == len([one for one in yaml.safe_load_all(manifest) if one])
    return found


def serve(release: Release) -> None:
    """Serve a model by the simulated engine and wait until it is Ready."""
    release.cluster.load_image("engine-sim")
    example = yaml.safe_load((ROOT / "examples/simulated.yaml").read_text())
    example["spec"]["scaling"] = {"minReplicas": 1, "maxReplicas": 1}
    release.kubectl("apply", "--server-side", "--field-manager=gitops", "-f", "-", stdin=yaml.safe_dump(example))
    release.kubectl("wait", f"batchedllm/{MODEL}", "--for=condition=Ready", "--timeout=60s", timeout_seconds=90)


def pods(release: Release) -> list[tuple[str, int]]:
    """Return the engine's pods: uid and number of restarts of each."""
    found = json.loads(release.kubectl("get", "pods", "-l", f"batchedllm.dev/name={MODEL}", "-o", "json"))["items"]
    return [(one["metadata"]["uid"], one["status"]["containerStatuses"][0]["restartCount"]) for one in found]


def served_models(release: Release) -> str:
    """Ask the model through its Service, as the API server's proxy reaches it."""
    path = f"/api/v1/namespaces/{release.namespace}/services/{MODEL}:8000/proxy/v1/models"
    return release.cluster.kubectl("get", "--raw", path)


def generations(release: Release) -> list[int]:
    """Return the generations of the model and its Deployment: a change of either's spec adds one."""
    text = release.kubectl("get", f"batchedllm/{MODEL}", f"deployment/{MODEL}", "-o", "json")
    return [one["metadata"]["generation"] for one in json.loads(text)["items"]]


def test_the_model_serves_on_through_upgrade_rollback_uninstall_and_the_next_install(release):
    release.install()
    serve(release)
    begun, replicas = generations(release), pods(release)
    assert len(replicas) == 1

    release.install("log.level=debug")
    assert release.environment()["BATCHEDLLM_LOG_LEVEL"] == "debug"
    release.helm("rollback", "1", "--wait")
    assert release.environment()["BATCHEDLLM_LOG_LEVEL"] == "info"

    release.helm("uninstall", "--wait")
    assert release.cluster.kubectl("get", CRD, "-o", "name").strip() != ""
    assert release.kubectl("get", "deployments", "-o", "name").split() == [f"deployment.apps/{MODEL}"]
    assert "Llama-3.1-8B" in served_models(release)

    release.install()
    serve(release)
    assert pods(release) == replicas, "replicas were replaced or started again"
    assert generations(release) == begun, "the same resource applied again changed a spec"


def test_a_second_upgrade_with_the_same_values_changes_nothing(release):
    release.install()
    before = live(release)

    release.install()

    assert live(release) == before
