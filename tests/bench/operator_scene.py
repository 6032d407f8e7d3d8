"""Where the operator is measured: a namespace of a real API server, pods by KWOK, and engines that answer for them."""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from batchedllm.api import names
from bench.operator_engines import Load
from bench.operator_watch import BenchError, Manifest, Watched, api_session
from testbed import Cluster, Gpus, kwok, processes
from testbed.components import Component
from testbed.embedded import EmbeddedCluster
from testbed.errors import TestbedError

ROOT = Path(__file__).parents[2]
ENGINES = "bench-engines"
FAKE_NODES = 2
FAKE_GPUS = Gpus(count=200, product="NVIDIA-H100-80GB-HBM3", memory_mebibytes=81559)
"""On each node: more than 100 models need, fewer than the 250 pods that it takes, and others than the real node has."""
QUIET_SECONDS = 15.0
"""What nothing was written for counts as at rest: longer than a scraper watches a load that went (10 s) and than the
shortest time between two statuses (5 s)."""
ANY_CHANGE = {"maxStep": 1000, "periodSeconds": 1}
SPEC: Mapping[str, Any] = {
    "model": {"id": "facebook/opt-125m"},
    "batching": {"maxNumSeqs": 16},
    "gpu": {"product": FAKE_GPUS.product},
    "pod": {
        "tolerations": [{"key": kwok.ANNOTATION, "operator": "Exists", "effect": "NoSchedule"}],
    },
    "scaling": {
        "maxReplicas": 4,
        "signals": {"pastDemand": {"role": "off"}},
        "scaleUp": ANY_CHANGE,
        "scaleDown": {**ANY_CHANGE, "stabilizationSeconds": 0},
    },
}
"""All defaults but what lands the pods on fake nodes and lets a burst be over at once."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A fake pod."""

    model: str
    address: str
    is_ready: bool


@dataclass(frozen=True, slots=True)
class Model:
    """A BatchedLLM."""

    version: str
    is_ready: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """One namespace and what is seen of it."""

    cluster: Cluster
    namespace: str
    engines: aiohttp.ClientSession
    models: Watched[Model]
    deployments: Watched[int]
    pods: Watched[Pod]

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl in the namespace, beside the event loop."""
        where = f"--namespace={self.namespace}"
        return await asyncio.to_thread(self.cluster.kubectl, where, *arguments, stdin=stdin, timeout_seconds=120)

    async def apply(self, models: Iterable[str]) -> None:
        """Apply BatchedLLMs by one `kubectl apply`, and wait for their Deployments."""
        chosen = tuple(models)
        items = [
            {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name}, "spec": SPEC}
            for name in chosen
        ]
        await self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        made = self.deployments
        await made.until(lambda: made.now.keys() >= set(chosen), f"{len(chosen)} Deployments")

    async def delete(self, models: Iterable[str]) -> None:
        """Delete BatchedLLMs and wait until the garbage collector took what belonged to them."""
        chosen = set(models)
        await self.kubectl("delete", "batchedllm", *sorted(chosen), "--wait=false")
        await self.deployments.until(lambda: not self.deployments.now.keys() & chosen, "their Deployments are gone")
        await self.pods.until(lambda: not any(pod.model in chosen for pod in self.pods.now.values()), "no pods")

    async def come_to_rest(self) -> None:
        """Wait until every model is Ready and none was written for a while."""

        def all_ready() -> bool:
            return all(model.is_ready for model in self.models.now.values())

        await self.models.until(all_ready, "every BatchedLLM is Ready", seconds=90)
        end = time.monotonic() + 120
        while (quiet := time.monotonic() - self.models.last_event_seconds) < QUIET_SECONDS:
            if time.monotonic() > end:
                raise BenchError(f"BatchedLLMs of {self.namespace} are still written after 120 s of idle engines")
            await asyncio.sleep(QUIET_SECONDS - quiet)

    async def only_pod(self, model: str) -> Pod:
        """Wait until a model is to have one pod, has one, and that one is Ready."""
        await self.deployments.until(lambda: self.deployments.now[model] == 1, f"one replica of {model}")

        def one_ready() -> Pod | None:
            found = [pod for pod in self.pods.now.values() if pod.model == model]
            return found[0] if len(found) == 1 and found[0].is_ready else None

        return await self.pods.until(one_ready, f"one ready pod of {model}")

    async def show(self, pod: Pod, load: Load) -> float:
        """Have a pod's engine say this from now on; return when that was."""
        url = f"http://{pod.address}:{names.ENGINE_PORT}/load"
        query = {"waiting": str(load.waiting), "running": str(load.running)}
        async with self.engines.put(url, params=query) as answer:
            return float((await answer.json())["since"])

    async def scraped_seconds(self, pod: Pod) -> float:
        """Return when what the pod's engine says was first scraped."""
        async with self.engines.get(f"http://{pod.address}:{names.ENGINE_PORT}/load") as answer:
            return float((await answer.json())["scraped"])


def model_of(manifest: Manifest) -> Model:
    """Reduce a BatchedLLM to what is of interest."""
    metadata, conditions = manifest["metadata"], manifest.get("status", {}).get("conditions", [])
    return Model(metadata["resourceVersion"], _is_ready(conditions))


def pod_of(manifest: Manifest) -> Pod:
    """Reduce a pod to what is of interest."""
    metadata, status = manifest["metadata"], manifest["status"]
    is_ready = _is_ready(status.get("conditions", [])) and not metadata.get("deletionTimestamp")
    return Pod(metadata.get("labels", {}).get(names.LABEL_NAME, ""), status.get("podIP", ""), is_ready)


def _is_ready(conditions: Iterable[Mapping[str, Any]]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@asynccontextmanager
async def set_up(provider: EmbeddedCluster, cluster: Cluster) -> AsyncIterator[Scene]:
    """Make the scene, and remove all of it in the end."""
    await asyncio.to_thread(_assert_alone, cluster)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, _strike, provider, cluster)
        await asyncio.to_thread(_build, provider, cluster)
        namespace = f"bench-{uuid.uuid4().hex[:8]}"
        cluster.kubectl("create", "namespace", namespace)
        gone = ("delete", "namespace", namespace, "--timeout=120s")
        stack.push_async_callback(asyncio.to_thread, cluster.kubectl, *gone, timeout_seconds=150)
        api = await stack.enter_async_context(api_session(cluster.kubeconfig))
        engines = await stack.enter_async_context(aiohttp.ClientSession(raise_for_status=True))
        where = f"namespaces/{namespace}"
        models = Watched(api, f"/apis/{names.API_VERSION}/{where}/{names.PLURAL}", model_of)
        deployments = Watched(api, f"/apis/apps/v1/{where}/deployments", lambda one: int(one["spec"]["replicas"]))
        pods = Watched(api, f"/api/v1/{where}/pods", pod_of)
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(one.follow()) for one in (models, deployments, pods)]
            await asyncio.gather(*(one.listed.wait() for one in (models, deployments, pods)))
            yield Scene(cluster, namespace, engines, models, deployments, pods)
            for watch in watches:
                watch.cancel()


def _assert_alone(cluster: Cluster) -> None:
    selector = "app.kubernetes.io/name=batchedllm-operator"
    found = cluster.kubectl("get", "deployments", "-A", "--selector", selector, "--output=name").strip()
    if found:
        raise BenchError(f"an operator runs in this cluster already ({found}): `make demo-down`, or another INDEX")


def _build(provider: EmbeddedCluster, cluster: Cluster) -> None:
    cluster.establish(ROOT / "crds/batchedllms.yaml")
    # A resource that is new to the API server answers 429 for a second; kubectl waits that out.
    cluster.kubectl("get", names.PLURAL, "--all-namespaces")
    kwok.set_fake_nodes(provider, cluster, FAKE_NODES, FAKE_GPUS)
    definition = provider.definition
    for former in ("responder", ENGINES):
        processes.stop(definition, former)
    script = str(Path(__file__).with_name("operator_engines.py"))
    processes.start(definition, Component(ENGINES, (sys.executable, script, str(names.ENGINE_PORT))))


def _strike(provider: EmbeddedCluster, cluster: Cluster) -> None:
    processes.stop(provider.definition, ENGINES)
    try:
        kwok.set_fake_nodes(provider, cluster, 0, Gpus())
    except TestbedError as error:
        raise BenchError(f"the fake nodes are still there: {error}") from error
    processes.stop(provider.definition, "kwok")
