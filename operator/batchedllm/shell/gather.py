"""One look at the cluster: everything a reconciliation is decided from.

At rest it costs no call: objects come from the store, loads from the scraper. Only while something is
not well are the API server's warnings listed, and the logs that the core asked for read.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TypedDict, Unpack

from batchedllm.api import names
from batchedllm.core.memory.actual import memory_lines
from batchedllm.core.memory.correction import CorrectionKey
from batchedllm.core.memory.plan_types import Correction
from batchedllm.core.planning.node_gpus import NodeGpu
from batchedllm.core.readings import FleetLoad
from batchedllm.core.reconcile_types import Gathered, Manifest
from batchedllm.shell import kinds
from batchedllm.shell.api_errors import ApiError, NotFoundError
from batchedllm.shell.cluster import Cluster
from batchedllm.shell.key import Key
from batchedllm.shell.planning_facts import PlanningFacts
from batchedllm.shell.recollection import LogTail, Recollection, run_of
from batchedllm.shell.store import Store

log = logging.getLogger(__name__)

WARNINGS_MAX_AGE_SECONDS: Final = 5.0
LOG_LINES: Final = 200
LOG_BYTES: Final = 65536
"""Of an engine's last words. vLLM 0.26 on a GPU writes 84 lines of tracebacks after the one that tells why it ended."""
START_LOG_BYTES: Final = 262144
"""A start of vLLM with graphs and compilation writes some 20 to 60 KiB before it serves."""


class Rest(TypedDict):
    """What is not in the store: taken at this moment."""

    load: FleetLoad | None
    load_is_new: bool
    misconfigured_pods: tuple[str, ...]
    node_gpus: tuple[NodeGpu, ...] | None
    corrections: Mapping[CorrectionKey, Correction]


def is_ready(pod: Manifest) -> bool:
    """Tell whether a pod answers requests and is not on its way out."""
    conditions = pod.get("status", {}).get("conditions") or []
    answers = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return answers and not pod["metadata"].get("deletionTimestamp")


def needs_warnings(children: Sequence[Manifest], pods: Sequence[Manifest]) -> bool:
    """Tell whether something is not as it should be, so that the API server's warnings may say why."""
    if not all(is_ready(pod) for pod in pods):
        return True
    deployments = [child for child in children if child["kind"] == kinds.DEPLOYMENT.kind]
    return any(one.get("status", {}).get("unavailableReplicas") for one in deployments)


class Gatherer:
    """Makes the `Gathered` of one BatchedLLM."""

    def __init__(self, cluster: Cluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._facts = PlanningFacts(cluster)

    def engines(self, key: Key) -> tuple[Manifest, ...]:
        """Return the pods that serve, or will."""
        return tuple(pod for pod in self._store.of(key, kinds.POD) if not (_inspects(pod) or _benchmarks(pod)))

    def inspections(self, key: Key) -> tuple[Manifest, ...]:
        """Return the pods that read the model's config."""
        return tuple(pod for pod in self._store.of(key, kinds.POD) if _inspects(pod))

    def benchmarks(self, key: Key) -> tuple[Manifest, ...]:
        """Return the pods that measure the engine."""
        return tuple(pod for pod in self._store.of(key, kinds.POD) if _benchmarks(pod))

    async def refresh(self, key: Key) -> None:
        """Read everything about `key` anew: what is known of it proved stale."""
        try:
            self._store.put(await self._cluster.read(kinds.RESOURCE, key.namespace, key.name))
        except NotFoundError:
            self.drop(key)
        for kind in kinds.CHILDREN:
            selector = f"{kinds.CHILD_SELECTOR},{names.LABEL_NAME}={key.name}"
            listed, version = await self._cluster.list(kind, key.namespace, labelSelector=selector)
            self._store.merge_of(key, kind, listed, version)

    def drop(self, key: Key) -> None:
        """Take note that the BatchedLLM is gone."""
        resource = self._store.resource(key)
        if resource is not None:
            self._store.remove(resource)

    async def with_warnings(self, key: Key, recollection: Recollection, now_seconds: float) -> Recollection:
        """List the warnings about the children and pods of `key` if something is not well; else none."""
        children, pods = self._store.of(key, *kinds.CHILDREN), self.engines(key)
        if not needs_warnings(children, pods):
            return replace(recollection, warnings=())
        if now_seconds - recollection.warnings_at_seconds < WARNINGS_MAX_AGE_SECONDS:
            return recollection
        try:
            events, _ = await self._cluster.list(kinds.EVENT, key.namespace, fieldSelector="type=Warning")
        except ApiError as error:
            log.warning("the warnings about the pods cannot be listed: %s", error.message, extra={"key": str(key)})
            events = list(recollection.warnings)
        about = {_named(one) for one in (*children, *pods, *self._store.of(key, kinds.REPLICA_SET))}
        relevant = tuple(event for event in events if _about(event) in about)
        return replace(recollection, warnings=relevant, warnings_at_seconds=now_seconds)

    async def with_logs(self, key: Key, recollection: Recollection, wanted: Sequence[str]) -> Recollection:
        """Read the last words of the pods in `wanted` that have not been read for the pods' present run."""
        tails = dict(recollection.log_tails)
        for pod in self.engines(key):
            name, run = pod["metadata"]["name"], run_of(pod, names.ENGINE_CONTAINER)
            if name in wanted and (name not in tails or tails[name].run != run):
                tails[name] = LogTail(run, await self._log_tail(key, name))
        return replace(recollection, log_tails=tails)

    async def _log_tail(self, key: Key, pod: str) -> str:
        """Read the log of the crashed run, or of the present one where the kubelet kept no other."""
        for previous in (True, False):
            try:
                return await self._cluster.log_tail(
                    key.namespace, pod, previous=previous, lines=LOG_LINES, limit_bytes=LOG_BYTES
                )
            except ApiError as error:
                log.debug("no log of pod %s (previous=%s): %s", pod, previous, error.message, extra={"key": str(key)})
        return ""

    async def with_start_log(self, key: Key, recollection: Recollection, pod: str) -> Recollection:
        """Read what a pod said of its memory when it started, once."""
        if not pod or pod in recollection.start_logs:
            return recollection
        try:
            text = await self._cluster.log_head(key.namespace, pod, START_LOG_BYTES)
        except ApiError as error:
            log.info("the start of %s cannot be read: %s", pod, error.message, extra={"key": str(key)})
            text = ""
        return replace(recollection, start_logs={**recollection.start_logs, pod: memory_lines(text)})

    async def with_description(
        self, key: Key, resource: Manifest, recollection: Recollection, now_seconds: float
    ) -> Recollection:
        """Read the description of the model that the resource names, if it does and the last one is old."""
        found = await self._facts.description(key, resource, recollection.description, now_seconds)
        return replace(recollection, description=found)

    async def node_gpus(self, resource: Manifest, now_seconds: float) -> tuple[NodeGpu, ...] | None:
        """Return the GPUs of the nodes, where the resource leaves it to them."""
        return await self._facts.node_gpus(resource, now_seconds)

    def gathered(self, key: Key, resource: Manifest, recollection: Recollection, **rest: Unpack[Rest]) -> Gathered:
        """Put together what the store and the memory hold, and the rest."""
        described = recollection.description
        return Gathered(
            resource=resource,
            children=self._store.of(key, *kinds.CHILDREN),
            pods=self.engines(key),
            inspections=self.inspections(key),
            benchmarks=self.benchmarks(key),
            neighbour_inspections=tuple(pod for pod in self._store.beside(key, kinds.POD) if _inspects(pod)),
            neighbour_records=self._store.beside(key, kinds.CONFIG_MAP),
            description=None if described is None else described.config_map,
            replica_sets=self._store.of(key, kinds.REPLICA_SET),
            warnings=recollection.warnings,
            log_tails={pod: tail.text for pod, tail in recollection.log_tails.items()},
            start_logs=recollection.start_logs,
            **rest,
            memory=recollection.memory,
            refusals=recollection.refusals_of(resource["metadata"]["generation"]),
        )


def _inspects(pod: Manifest) -> bool:
    return names.LABEL_INSPECTS in (pod["metadata"].get("labels") or {})


def _benchmarks(pod: Manifest) -> bool:
    return names.LABEL_BENCHMARKS in (pod["metadata"].get("labels") or {})


def _named(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _about(event: Manifest) -> tuple[str, str]:
    involved = event.get("involvedObject", {})
    return involved.get("kind", ""), involved.get("name", "")
