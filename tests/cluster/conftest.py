"""The operator as a process of this machine, against the real API server, for one test."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.faulty_api import FaultyApi
from cluster.model_volume import volume
from testbed.cluster import Cluster
from testbed.errors import TestbedError

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
"""On two cores that three tests share, an operator alone may take ten to start."""
LONGEST_PAUSE_SECONDS = 0.5
LOUD = {"warning", "error", "critical"}
IMAGE = "batchedllm.dev/engine:0.1.0-sim"


def eventually(check: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS, what: str = "") -> Any:
    """Return the first true value of `check`; fail with its last one when there is none in time.

    Most checks run kubectl, half a core when that goes on without a pause: who waits long asks less often.
    """
    end, pause_seconds = time.monotonic() + seconds, 0.1
    while True:
        value = check()
        if value or time.monotonic() > end:
            assert value, f"{what or check.__name__}: still {value!r} after {seconds} s"
            return value
        time.sleep(pause_seconds)
        pause_seconds = min(LONGEST_PAUSE_SECONDS, pause_seconds * 1.3)


@dataclass
class Models:
    """The objects of one namespace, by kubectl."""

    cluster: Cluster
    namespace: str

    def apply(self, name: str, **spec: Any) -> None:
        """Apply a BatchedLLM."""
        body = {"model": {"id": "facebook/opt-125m"}, "engine": {"image": IMAGE}, "scaling": {"maxReplicas": 3}}
        manifest = {
            "apiVersion": "batchedllm.dev/v1alpha1",
            "kind": "BatchedLLM",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": body | spec,
        }
        self.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl in the namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """One object, None where it is not there."""
        try:
            found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "--output=json"))
        except TestbedError as error:
            if "NotFound" in str(error):
                return None
            raise
        return found

    def list(self, kinds: str, selector: str = "batchedllm.dev/name") -> list[dict[str, Any]]:
        """Objects of ours, of several kinds."""
        found = json.loads(self.kubectl("get", kinds, "--selector", selector, "--output=json"))
        return list(found["items"])

    def children(self, name: str) -> dict[str, dict[str, Any]]:
        """The children of one BatchedLLM, by kind."""
        kinds = "deployment,service,serviceaccount,poddisruptionbudget"
        return {one["kind"]: one for one in self.list(kinds, f"batchedllm.dev/name={name}")}

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """One condition of a BatchedLLM; empty where it is not there."""
        conditions = ((self.get("batchedllm", name) or {}).get("status") or {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def wait_for_children(self, name: str) -> dict[str, dict[str, Any]]:
        """All four children, when they are there."""

        def complete() -> dict[str, dict[str, Any]]:
            found = self.children(name)
            return found if len(found) == 4 else {}

        return eventually(complete, what=f"four children of {name}")


@dataclass
class RunningOperator:
    """One operator process."""

    process: subprocess.Popen[bytes]
    log_file: Path
    identity: str
    expected: list[str] = field(default_factory=lambda: ["ImagePull", "Unschedulable"])
    """Patterns of warnings and errors that a test provokes; by default what pods without their image cause."""

    def log(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]

    def says(self, pattern: str) -> bool:
        """Whether a message of its log matches."""
        return any(re.search(pattern, entry["message"]) for entry in self.log())

    def endpoint(self, path: str) -> str:
        """What it serves under `path`."""
        port = next(int(re.findall(r"\d+", one["message"])[-1]) for one in self.log() if "serving" in one["message"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def health(self) -> str:
        """What /healthz says, whatever its status."""
        try:
            return self.endpoint("/healthz")
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def metric(self, name: str, labels: str = "") -> float:
        """Sum of the series of one of its metrics that have these labels, written as in the exposition."""
        lines = [line for line in self.endpoint("/metrics").splitlines() if re.match(rf"{name}(\{{| )", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if labels in line)

    def is_watching(self) -> bool:
        """Whether its first lists are done: from then on it works."""
        return self.says("^watching")

    def wait_until_leading(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when it holds the lease."""
        eventually(lambda: self.says("^leading"), seconds=seconds, what=f"{self.identity} leads")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGCONT)
        try:
            return self.process.wait(15)
        finally:
            self.process.kill()

    def unexpected(self) -> list[str]:
        """Warnings, errors and unparsable lines that the test did not announce."""
        lines = [line for line in self.log_file.read_text().splitlines() if line.strip()]
        bad = [line for line in lines if not line.startswith("{") or json.loads(line)["level"] in LOUD]
        return [line for line in bad if not any(re.search(pattern, line) for pattern in self.expected)]


StartOperator = Callable[..., RunningOperator]


@pytest.fixture
def models(cluster: Cluster, namespace: str, installed_crd: None) -> Models:
    """The objects of the test's namespace."""
    return Models(cluster, namespace)


def _assert_alone(cluster: Cluster) -> None:
    """An operator for all namespaces would do what is to be seen to be done, or not done, by the test's own."""
    selector = "app.kubernetes.io/name=batchedllm-operator"
    found = json.loads(cluster.kubectl("get", "deployments", "-A", "--selector", selector, "--output=json"))["items"]
    others = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in found if not _namespaces(one)]
    if others:
        pytest.fail(f"an operator for all namespaces runs in this cluster ({others}); run `make demo-down` first")


def _namespaces(deployment: dict[str, Any]) -> str:
    """The namespaces that an installed operator looks after; empty: all."""
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return next((one.get("value", "") for one in env if one["name"] == "BATCHEDLLM_NAMESPACES"), "")


@pytest.fixture
def start_operator(
    cluster: Cluster, namespace: str, installed_crd: None, tmp_path: Path, faulty_api: FaultyApi
) -> Iterator[StartOperator]:
    """Start operators that look after the test's namespace only, with a lease there.

    `faulty_api` is asked for so that it outlives them. In the end each must have a clean log.
    """
    _assert_alone(cluster)
    started: list[RunningOperator] = []

    def start(*flags: str, kubeconfig: Path | None = None, **environment: str) -> RunningOperator:
        identity = f"operator-{len(started)}"
        log_file = tmp_path / f"{identity}.log"
        command = [sys.executable, "-m", "batchedllm", "--namespace", namespace, "--pod-name", identity]
        command += ["--kubeconfig", str(kubeconfig or cluster.kubeconfig), "--engine-image", IMAGE]
        command += ["--listen-host", "127.0.0.1", "--listen-port", "0", "--resync-seconds", "5", *flags]
        kept = {key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")}
        with log_file.open("wb") as sink:
            process = subprocess.Popen(
                command, stdout=sink, stderr=sink, env=kept | {"PYTHONPATH": "operator"} | environment, cwd=REPOSITORY
            )
        started.append(RunningOperator(process, log_file, identity))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.terminate()
    complaints = {one.identity: one.unexpected() for one in started}
    assert not any(complaints.values()), f"the operator's log is not clean: {complaints}"


@pytest.fixture
def operator(start_operator: StartOperator) -> RunningOperator:
    """One operator that leads."""
    one = start_operator()
    one.wait_until_leading()
    return one


@pytest.fixture(scope="session")
def sim_image(cluster: Cluster) -> str:
    """The simulated engine's image, on the node. The nodes of a foreign cluster must have it from a registry."""
    with suppress(TestbedError):
        return cluster.load_image("engine-sim")
    return IMAGE


@pytest.fixture
def faulty_api(cluster: Cluster) -> Iterator[FaultyApi]:
    """A proxy before the API server that can misbehave."""
    with FaultyApi(cluster.kubeconfig) as proxy:
        yield proxy


@pytest.fixture
def folder(models: Models, tmp_path: Path) -> Iterator[Path]:
    """A folder of models that pods see as a volume."""
    made = tmp_path / "models"
    made.mkdir()
    for one in (made, *made.parents[:3]):
        one.chmod(0o755)  # pods run as somebody else
    volume(models, made)
    yield made
    models.cluster.kubectl("delete", "persistentvolume", models.namespace, "--wait=false")
