"""The run on a cluster: pods of the simulated engine behind their Service, clients, and an operator that scales."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import aiohttp

from batchedllm.api import names
from batchedllm.core.container_state import is_ready
from batchedllm.core.starts import starts_of, usual_seconds
from batchedllm.sim.workload import TraceRequest
from bench.agreement.curves import Curve
from bench.operator_watch import BenchError, Manifest, Watched, api_session
from testbed.cluster import Cluster

READY_SECONDS = 90.0
REQUEST_SECONDS = 180.0
"""Longest that one request may take before it counts as failed."""


@dataclass(frozen=True, slots=True)
class Start:
    """How long a replica took from being asked for until it was ready."""

    seen_seconds: float
    """From the change of the Deployment to the pod's readiness, both as the API server's watch told them."""
    told_seconds: float | None
    """What the operator reads of the same pod."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What was seen; times are since the first request."""

    wanted: Curve
    starts: tuple[Start, ...]
    sent: int
    failed: tuple[str, ...]
    """Why requests failed."""
    status: dict[str, Any]
    """The BatchedLLM's own in the end."""
    metrics: str
    """What one engine said in the end."""


@dataclass(frozen=True, slots=True)
class _Pod:
    is_ready: bool
    address: str
    told_startup_seconds: float | None


async def live(cluster: Cluster, namespace: str, manifest: dict[str, Any], requests: Sequence[TraceRequest]) -> Lived:
    """Apply a BatchedLLM where an operator looks after it, send the requests, and tell what became of them.

    Raises BenchError when the first replica does not come.
    """
    name = manifest["metadata"]["name"]
    kubectl = f"--namespace={namespace}"
    await asyncio.to_thread(cluster.kubectl, kubectl, "apply", "-f", "-", stdin=json.dumps(manifest))
    async with _watches(cluster, namespace) as (deployments, pods):
        await pods.until(lambda: any(one.is_ready for one in pods.now.values()), "a ready replica", READY_SECONDS)
        jsonpath = "--output=jsonpath={.spec.clusterIP}"
        host = await asyncio.to_thread(cluster.kubectl, kubectl, "get", "service", name, jsonpath)
        address = f"http://{host.strip()}:{names.ENGINE_PORT}"
        await _answers(address)
        began = time.monotonic()
        failed = await send(address, manifest["spec"]["model"]["id"], requests, began)
        metrics = await _metrics(next(one.address for one in pods.now.values() if one.is_ready))
        found = await asyncio.to_thread(cluster.kubectl, kubectl, "get", names.PLURAL, name, "--output=json")
        history = deployments.history[name]
    wanted = Curve(tuple((max(0.0, at - began), replicas) for at, replicas in history))
    return Lived(wanted, starts(history, pods), len(requests), failed, json.loads(found)["status"], metrics)


@asynccontextmanager
async def _watches(cluster: Cluster, namespace: str) -> AsyncIterator[tuple[Watched[int], Watched[_Pod]]]:
    where = f"namespaces/{namespace}"
    async with api_session(cluster.kubeconfig) as api, asyncio.TaskGroup() as group:
        deployments = Watched(api, f"/apis/apps/v1/{where}/deployments", lambda one: int(one["spec"]["replicas"]))
        pods = Watched(api, f"/api/v1/{where}/pods", _pod)
        watches = [group.create_task(one.follow()) for one in (deployments, pods)]
        await asyncio.gather(deployments.listed.wait(), pods.listed.wait())
        yield deployments, pods
        for watch in watches:
            watch.cancel()


def _pod(manifest: Manifest) -> _Pod:
    found = dict(manifest)
    return _Pod(is_ready(found), manifest.get("status", {}).get("podIP", ""), usual_seconds(starts_of([found])))


async def _answers(address: str) -> None:
    """Wait until the Service leads to the first replica."""
    end = time.monotonic() + READY_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while time.monotonic() < end:
            try:
                async with session.get(f"{address}/health") as response:
                    if response.ok:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.5)
    raise BenchError(f"{address}/health: no answer within {READY_SECONDS:.0f} s")


async def _metrics(pod_address: str) -> str:
    url = f"http://{pod_address}:{names.ENGINE_PORT}/metrics"
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as answer:
        return await answer.text()


async def send(address: str, model: str, requests: Sequence[TraceRequest], began: float) -> tuple[str, ...]:
    """Send each request at its time, however slow the answers are; return why some failed.

    Each has a connection of its own: kube-proxy spreads connections, the simulator requests.
    """
    failed: list[str] = []

    async def one(request: TraceRequest) -> None:
        body = {
            "model": model,
            "prompt": [1] * request.prompt_tokens,
            "max_tokens": request.output_tokens,
            "ignore_eos": True,
        }
        try:
            async with session.post(f"{address}/v1/completions", json=body) as response:
                await response.read()
                if not response.ok:
                    failed.append(f"HTTP {response.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            failed.append(f"{type(error).__name__}: {error}")

    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
        for request in requests:
            await asyncio.sleep(max(0.0, began + request.offset_seconds - time.monotonic()))
            group.create_task(one(request))
    return tuple(failed)


def starts(history: Sequence[tuple[float, int]], pods: Watched[_Pod]) -> tuple[Start, ...]:
    """Return the starts of all pods that a change of the Deployment brought, in order of time."""
    raised = [at for (_, before), (at, after) in pairwise(history) if after > before]
    found = []
    for seen in sorted(pods.history.values(), key=lambda one: one[0][0]):
        ready = next(((at, pod) for at, pod in seen if pod.is_ready), None)
        # The two watches are not in step: a pod may be told of just before the change that brought it.
        asked = [at for at in raised if at <= seen[0][0] + 0.5]
        if ready and asked:
            found.append(Start(ready[0] - asked[-1], ready[1].told_startup_seconds))
    return tuple(found)
