"""The stage: a cluster with a GPU in shares, the operator by its chart, and BatchedLLMs that come and go on it."""

import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu import host, image, models, overlay
from gpu.budget import Budget
from gpu.in_pod import sitecustomize
from gpu.overlay import ENGINE_CONTAINER
from testbed import diagnosis
from testbed.cluster import Cluster
from testbed.definition import Gpus
from testbed.embedded import EmbeddedCluster
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY

NAMESPACE = "gpu"
OPERATOR_NAMESPACE = "batchedllm-system"
ENGINE_PORT = 8000
READY_SECONDS = 240
_POLL_SECONDS = 0.5
_WITHOUT_GPU = Gpus(4, "NVIDIA-H200", 143771)
Json = dict[str, Any]


class SceneError(Exception):
    """What was waited for did not come; the message has what was seen instead."""


@dataclass(slots=True)
class Scene:
    """What cases work with."""

    cluster: Cluster
    budget: Budget
    work: Path
    out: Path
    site: Path
    """Where the host's Python finds vLLM."""
    gpu: host.Gpu | None
    shares: int
    inspects: bool
    """Whether models are described by the product's own inspection; otherwise by ConfigMaps."""
    wanted: list[str] = field(default_factory=list)
    """The cases of this run."""
    starts: list[Json] = field(default_factory=list)
    """What engines told of their starts."""
    kept: dict[str, Json] = field(default_factory=dict)
    """What a case measured for another one, by that one's name."""

    def utilization(self, gibibytes: float) -> float:
        """Return the fraction of this GPU that so much memory is, as `memory.gpuUtilization` takes it."""
        mebibytes = self.gpu.memory_mebibytes if self.gpu else _WITHOUT_GPU.memory_mebibytes
        return round(gibibytes * 1024 / mebibytes, 2)

    @property
    def engine_process(self) -> str:
        """What vLLM calls the process that computes; the stand-in of a rehearsal has but one."""
        return "EngineCore" if self.gpu else "simulated"

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the harness's namespace."""
        return self.cluster.kubectl(f"--namespace={NAMESPACE}", *arguments, stdin=stdin)

    def apply(self, *documents: Json) -> None:
        """Apply objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed))

    def get(self, kind: str, name: str) -> Json:
        """Return one object; empty where it is not there."""
        found = self.kubectl("get", kind, name, "--ignore-not-found", "--output=json")
        return dict(json.loads(found)) if found.strip() else {}

    def status(self, name: str) -> Json:
        """Return a BatchedLLM's status."""
        return dict(self.get("batchedllm", name).get("status") or {})

    def condition(self, name: str, kind: str) -> Json:
        """Return one condition of a BatchedLLM; empty where it is not there."""
        found = self.status(name).get("conditions") or []
        return next((dict(one) for one in found if one["type"] == kind), {})

    def pods(self, name: str) -> list[Json]:
        """Return the engine pods of a BatchedLLM that are not on their way out."""
        selector = f"batchedllm.dev/name={name}"
        listed = json.loads(self.kubectl("get", "pods", f"--selector={selector}", "--output=json"))["items"]
        return [one for one in listed if not one["metadata"].get("deletionTimestamp")]

    def wait(
        self, condition: Callable[[], Any], what: str, seconds: float, vain: Callable[[], str] = lambda: ""
    ) -> Any:
        """Wait until the condition returns something true, and return that.

        Raises SceneError after the time, or as soon as `vain` tells why waiting will not help.
        """
        deadline = time.monotonic() + self.budget.bounded(seconds, what)
        while True:
            found = condition()
            if found:
                return found
            reason = vain()
            if not reason and time.monotonic() > deadline:
                reason = f"not after {seconds:.0f} s"
            if reason:
                raise SceneError(f"{reason}: {what}\n{diagnosis.troubles(self.cluster, NAMESPACE)}")
            time.sleep(_POLL_SECONDS)

    def wait_ready(self, name: str, replicas: int = 1, seconds: float = READY_SECONDS) -> list[Json]:
        """Wait until so many replicas are ready and return their pods; note what their starts told."""
        what = f"{replicas} replicas of {name} ready"
        ready = self.wait(lambda: self._ready(name, replicas), what, seconds, lambda: self._hopeless(name))
        for pod in ready:
            self.note_start(name, pod)
        return list(ready)

    def _hopeless(self, name: str) -> str:
        """Return why a BatchedLLM will not become ready, by its own word or after an engine has ended twice."""
        stalled = self.condition(name, "Stalled")
        if stalled.get("status") == "True":
            return f"{stalled['reason']}: {stalled['message']}"
        states = [one for pod in self.pods(name) for one in pod["status"].get("containerStatuses", [])]
        ended = [one for one in states if one["restartCount"] > 1]
        return f"the engine has ended {ended[0]['restartCount']} times" if ended else ""

    def _ready(self, name: str, replicas: int) -> list[Json]:
        ready = [one for one in self.pods(name) if diagnosis.is_ready(one)]
        return ready if len(ready) >= replicas else []

    def note_start(self, name: str, pod: Json) -> None:
        """Keep the phases and the memory of one start, once."""
        if any(one["pod"] == pod["metadata"]["name"] for one in self.starts):
            return
        samples = self.metrics(pod)
        self.starts.append(
            {
                "resource": name,
                "pod": pod["metadata"]["name"],
                "toReadySeconds": ready_seconds(pod),
                "phases": labelled(samples, "batchedllm_engine:startup_seconds", "phase"),
                "memoryBytes": labelled(samples, "batchedllm_engine:memory_bytes", "term"),
            }
        )

    def metrics(self, pod: Json) -> str:
        """Return what a pod's /metrics says."""
        return fetched(f"http://{pod['status']['podIP']}:{ENGINE_PORT}/metrics")

    def address(self, name: str) -> str:
        """Return the URL of a BatchedLLM's Service."""
        return f"http://{self.get('service', name)['spec']['clusterIP']}:{ENGINE_PORT}"

    def stop(self, name: str) -> None:
        """Delete a BatchedLLM and see its engines gone, at once: their memory is wanted."""
        self.kubectl("delete", "batchedllm", name, "--ignore-not-found", "--wait=false")
        self._no_more_pods(name)

    def rest(self, name: str) -> None:
        """Set replicas to 0 and see the engines gone, at once; the BatchedLLM and its plan stay."""
        self.scale(name, 0)
        self._no_more_pods(name)

    def _no_more_pods(self, name: str) -> None:
        selector = f"batchedllm.dev/name={name}"

        def gone() -> bool:
            self.kubectl("delete", "pods", f"--selector={selector}", "--grace-period=1", "--wait=false")
            return not self.kubectl("get", "pods", f"--selector={selector}", "--output=name").strip()

        self.wait(gone, f"the pods of {name} are gone", 60)

    def scale(self, name: str, replicas: int) -> None:
        """Set the wanted replicas of a BatchedLLM that does not scale by itself."""
        patch = json.dumps({"spec": {"replicas": replicas}})
        self.kubectl("patch", "batchedllm", name, "--type=merge", "--patch", patch)

    @contextlib.contextmanager
    def serving(self, document: Json, replicas: int = 1) -> Iterator[list[Json]]:
        """Serve a BatchedLLM while the block runs."""
        name = document["metadata"]["name"]
        self.apply(document)
        try:
            yield self.wait_ready(name, replicas)
        finally:
            with contextlib.suppress(TestbedError):
                self.stop(name)

    def processes(self, pod: Json, words: str) -> list[int]:
        """Return the host's process numbers of a pod's processes that call themselves so."""
        uid = pod["metadata"]["uid"]
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if uid in (folder / "cgroup").read_text() and words in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
        return sorted(found)

    def signal(self, numbers: list[int], which: signal.Signals) -> None:
        """Send a signal to processes of a pod."""
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, which)

    def keep_logs(self, case: str) -> None:
        """Write what tells of a failure: pods and warnings, logs of operator, kubelet and engines."""
        parts = {"troubles": diagnosis.troubles(self.cluster)}
        with contextlib.suppress(TestbedError):
            parts["batchedllms"] = self.kubectl("get", "batchedllms", "--output=yaml")
        with contextlib.suppress(TestbedError):
            deployment = "deployment/batchedllm-operator"
            parts["operator"] = self.cluster.kubectl("logs", deployment, "-n", OPERATOR_NAMESPACE, "--tail=300")
        with contextlib.suppress(TestbedError):
            for name in self.kubectl("get", "pods", "--output=name").split():
                for previous in ([], ["--previous"]):
                    with contextlib.suppress(TestbedError):
                        parts[f"{name} {' '.join(previous)}"] = self.kubectl("logs", name, "--tail=400", *previous)
        log = self.work / "state/batchedllm/testbed"
        for file in log.glob("cluster-*/logs/kubelet.log"):
            parts["kubelet"] = "\n".join(file.read_text(errors="replace").splitlines()[-80:])
        self.out.mkdir(parents=True, exist_ok=True)
        text = "\n".join(f"===== {name}\n{words}" for name, words in parts.items())
        (self.out / f"{case}.log").write_text(text)


def fetched(url: str, timeout_seconds: float = 10) -> str:
    """Return what an address of this machine answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=timeout_seconds) as answer:
        return str(answer.read().decode())


def labelled(text: str, metric: str, label: str) -> dict[str, float]:
    """Return the samples of a metric by one of their labels."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith(f"{metric}{{") and f'{label}="' in line:
            found[line.split(f'{label}="')[1].split('"')[0]] = float(line.rsplit(" ", 1)[1])
    return found


def sample(text: str, metric: str) -> float | None:
    """Return the first sample of a metric, whatever its labels."""
    for line in text.splitlines():
        if line.startswith((f"{metric}{{", f"{metric} ")):
            return float(line.rsplit(" ", 1)[1])
    return None


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds between two times as Kubernetes writes them."""
    from datetime import datetime  # noqa: PLC0415

    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def ready_seconds(pod: Json) -> float | None:
    """Return how long a pod took from being made until it was ready."""
    for one in pod["status"].get("conditions", []):
        if one["type"] == "Ready" and one["status"] == "True":
            return seconds_between(pod["metadata"]["creationTimestamp"], one["lastTransitionTime"])
    return None


def resource(
    name: str,
    model: str,
    *,
    arguments: tuple[str, ...] = (),
    replicas: int | None = None,
    described_by: str | None = None,
    **spec: Any,
) -> Json:
    """Return a BatchedLLM of a shape with made-up weights. With `replicas` it does not scale by itself."""
    source: Json = {"id": model, "servedName": model, "source": {"pvc": {"claimName": "models"}}}
    if described_by is not None:
        source["configMap"] = described_by
    fixed = {} if replicas is None else {"replicas": replicas, "scaling": {"mode": "off", "maxReplicas": 4}}
    engine = {"arguments": ["--load-format=dummy", *arguments], "cache": {"claimName": "cache"}}
    rollout = {"drainSeconds": 20, "startupSeconds": 400}
    document = {"model": source, "engine": engine, "rollout": rollout, **fixed, **spec}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "batchedllm.dev/v1alpha1", "kind": "BatchedLLM", "metadata": metadata, "spec": document}


def set_up(budget: Budget, work: Path, out: Path, *, shares: int, index: int, rehearsal: Path | None) -> Scene:
    """Bring the cluster up and the operator in; all of it is taken up where an earlier run left it."""
    present = host.gpus()
    found = present[0] if present else None
    gpus = Gpus(shares * len(present), found.product, found.memory_mebibytes) if found else _WITHOUT_GPU
    if len(present) > 1:
        sitecustomize.make(work / "shares", len(present), shares)
    provider = EmbeddedCluster(index)
    cluster = provider.up(gpus)
    site = rehearsal or work / "site"
    scene = Scene(cluster, budget, work, out, site, found, shares, inspects=rehearsal is None)
    _load_images(provider, work)
    _install(cluster)
    _stage(scene, work)
    return scene


def _load_images(provider: EmbeddedCluster, work: Path) -> None:
    for name in ("operator", "engine"):
        reference = (work / f"images/{name}.reference").read_text().strip()
        if not provider.holds(reference):
            provider.load_archive(work / f"images/{name}.tar", reference)


def _install(cluster: Cluster) -> None:
    repository, _, tag = image.REFERENCE.rpartition(":")
    cluster.helm(
        "upgrade",
        "--install",
        "batchedllm",
        str(REPOSITORY / "helm/batchedllm"),
        "--namespace",
        OPERATOR_NAMESPACE,
        "--create-namespace",
        "--take-ownership",
        "--force-conflicts",
        "--set",
        f"engine.image.repository={repository}",
        "--set",
        f"engine.image.tag={tag}",
        "--wait",
        "--timeout",
        "2m",
    )


def _stage(scene: Scene, work: Path) -> None:
    """Make the namespace with its overlay, volumes of models and caches, and, where nobody inspects, descriptions."""
    models.write(work / "models")
    cache = work / "engine-cache"
    cache.mkdir(exist_ok=True)
    cache.chmod(0o777)
    added = overlay.manifests(host.overlay(work, scene.site, REPOSITORY, several=len(host.gpus()) > 1), NAMESPACE)
    scene.cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": added}))
    scene.wait(lambda: _is_overlaid(scene), "the API server applies the overlay", 60)
    claims = [
        *overlay.claim("models", NAMESPACE, str(work / "models"), "ReadOnlyMany"),
        *overlay.claim("cache", NAMESPACE, str(cache), "ReadWriteMany"),
    ]
    scene.apply(*claims)
    if not scene.inspects:
        scene.apply(*(_description(name) for name in models.SHAPES))


def _is_overlaid(scene: Scene) -> bool:
    """Whether pods are changed already: the API server takes a second or two to know a new policy."""
    container = {"name": ENGINE_CONTAINER, "image": image.REFERENCE}
    metadata = {"name": "probe", "namespace": NAMESPACE}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
    with contextlib.suppress(TestbedError):  # a new namespace has no service account yet
        made = scene.kubectl("create", "--dry-run=server", "-f", "-", "-o", "json", stdin=json.dumps(pod))
        return '"privileged": true' in made
    return False


def _description(name: str) -> Json:
    metadata = {"name": f"model-{name}", "namespace": NAMESPACE}
    data = {"config.json": json.dumps(models.config(name))}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
