"""Where the dcgm-exporters are: found by the labels of NVIDIA's chart and of its GPU operator, seldom, and kept."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from batchedllm.core.reconcile_types import Manifest
from batchedllm.shell import kinds
from batchedllm.shell.api_errors import ApiError, RefusedError
from batchedllm.shell.cluster import Cluster
from batchedllm.shell.scrape import Target

LOG = logging.getLogger(__name__)

SELECTORS: Final = ("app.kubernetes.io/name=dcgm-exporter", "app=nvidia-dcgm-exporter")
"""Labels of the pods of NVIDIA's chart, and of its GPU operator."""
EXPORTER_PORT: Final = 9400
"""Where no container names a port."""
LOOK_SECONDS: Final = 60.0
"""How long what was found is relied on."""
LOOK_AGAIN_SECONDS: Final = 10.0
"""The same, where an exporter that was found does not answer."""


class ExporterPods:
    """Finds them in one namespace, or in all. Needs the right to list pods there, and nothing more."""

    def __init__(self, cluster: Cluster, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Look in `namespace`; empty: in all."""
        self._cluster = cluster
        self._namespace = namespace or None
        self._clock = clock
        self._found: Mapping[str, Target] = {}
        self._looked_seconds = float("-inf")
        self._looking = asyncio.Lock()
        self._was_refused = False

    async def find(self, look_again: bool = False) -> Mapping[str, Target]:  # noqa: FBT001, FBT002 - the type `Find`
        """Return the exporter of each node. Never raises: what cannot be found is not there, and the log says why."""
        async with self._looking:
            good_for_seconds = LOOK_AGAIN_SECONDS if look_again else LOOK_SECONDS
            if self._clock() - self._looked_seconds >= good_for_seconds:
                await self._look()
                self._looked_seconds = self._clock()
            return self._found

    async def _look(self) -> None:
        pods: list[Manifest] = []
        try:
            for selector in SELECTORS:
                pods += (await self._cluster.list(kinds.POD, self._namespace, labelSelector=selector))[0]
        except RefusedError as error:
            level = logging.DEBUG if self._was_refused else logging.INFO
            self._was_refused, self._found = True, {}
            LOG.log(level, "no dcgm-exporter is read, so GPUs of stock images are not known: %s", error.message)
        except ApiError as error:
            LOG.warning("the dcgm-exporters cannot be listed: %s", error.message)
        else:
            self._was_refused, self._found = False, exporters(pods)


def exporters(pods: Iterable[Manifest]) -> dict[str, Target]:
    """Return the running exporter of each node. Of several on one, the oldest: a pod that poses as one comes later."""
    found: dict[str, Target] = {}
    for pod in sorted(pods, key=lambda one: (one["metadata"].get("creationTimestamp") or "", one["metadata"]["name"])):
        status, metadata = pod.get("status") or {}, pod["metadata"]
        if status.get("phase") == "Running" and status.get("podIP") and not metadata.get("deletionTimestamp"):
            target = Target(metadata["namespace"], metadata["name"], status["podIP"], _port(pod))
            found.setdefault(pod["spec"].get("nodeName", ""), target)
    return found


def _port(pod: Manifest) -> int:
    """Return the port called `metrics`, else the first one."""
    ports = [port for container in pod["spec"].get("containers", ()) for port in container.get("ports") or ()]
    first = sorted(ports, key=lambda port: port.get("name") != "metrics")[:1]
    return int(first[0]["containerPort"]) if first else EXPORTER_PORT
