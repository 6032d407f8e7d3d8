"""Reading the dcgm-exporters of nodes, for pods whose engines tell nothing of their GPUs.

One scrape per node and interval, however many models have pods there, and only while somebody asks for such a pod.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from batchedllm.core.dcgm import PodName, utilization_by_pod
from batchedllm.core.windows import STALE_AFTER_SCRAPES
from batchedllm.shell.scrape import Fetch, ScrapeError, ScrapeObserver, Silence, Target

LOG = logging.getLogger(__name__)

UNASKED_SECONDS: Final = 30.0
"""A node that nobody has asked about for this long, or for three intervals if those are longer, is read no more."""

Find = Callable[[bool], Awaitable[Mapping[str, Target]]]
"""Returns the exporter of each node, by the node's name. With True what it knew did not answer: it is to look again."""


@dataclass(slots=True)
class _Node:
    """What is kept for one node."""

    asked_seconds: float
    task: asyncio.Task[None] | None = None
    read_seconds: float = float("-inf")
    percents: Mapping[PodName, float] = field(default_factory=dict)


class NodeExporters:
    """How busy the GPUs of pods are, as the dcgm-exporters of their nodes say. Used within one event loop."""

    def __init__(
        self,
        fetch: Fetch,
        find: Find,
        *,
        interval_seconds: float = 2.0,
        time_cap_seconds: float = 1.5,
        observer: ScrapeObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the exporter that `find` returns for a node every `interval_seconds`."""
        self._fetch = fetch
        self._find = find
        self._interval_seconds = interval_seconds
        self._time_cap_seconds = time_cap_seconds
        self._unasked_seconds = max(UNASKED_SECONDS, STALE_AFTER_SCRAPES * interval_seconds)
        self._observer: ScrapeObserver = observer or Silence()
        self._clock = clock
        self._nodes: dict[str, _Node] = {}

    def utilization_percent(self, target: Target) -> float | None:
        """Return what was last read of the pod, unless it is old; None: not known, perhaps with the next scrape."""
        now_seconds = self._clock()
        node = self._nodes.get(target.node)
        if node is None:
            node = self._nodes[target.node] = _Node(now_seconds)
            node.task = asyncio.get_running_loop().create_task(self._read_on(target.node, node))
        node.asked_seconds = now_seconds
        if now_seconds - node.read_seconds > STALE_AFTER_SCRAPES * self._interval_seconds:
            return None
        return node.percents.get((target.namespace, target.pod))

    async def close(self) -> None:
        """Stop reading, and wait until it has stopped."""
        tasks = [node.task for node in self._nodes.values() if node.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_on(self, name: str, node: _Node) -> None:
        """Read on a fixed beat until nobody asks any more."""
        failed = False
        while self._clock() - node.asked_seconds <= self._unasked_seconds:
            beat = self._clock() + self._interval_seconds
            failed = not await self._read(name, node, look_again=failed)
            await asyncio.sleep(max(0.0, beat - self._clock()))
        del self._nodes[name]

    async def _read(self, name: str, node: _Node, *, look_again: bool) -> bool:
        """Read once; tell whether there was nothing to read, or it went well."""
        started = self._clock()
        try:
            exporter = (await self._find(look_again)).get(name)
            if exporter is None:
                return True
            async with asyncio.timeout(self._time_cap_seconds):
                text = await self._fetch(exporter)
            node.percents, node.read_seconds = utilization_by_pod(text), self._clock()
            self._observer.scraped(name, exporter.pod, self._clock() - started)
        except TimeoutError:
            self._observer.failed(name, "", "timeout")
        except ScrapeError as error:
            LOG.debug("scrape of the dcgm-exporter on %s: %s", name, error)
            self._observer.failed(name, "", error.reason)
        except Exception:
            LOG.exception("reading the dcgm-exporter on %s failed in a way it should not", name)
            self._observer.failed(name, "", "bug")
        else:
            return True
        return False
