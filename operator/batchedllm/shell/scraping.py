"""Ties the scraper to the loop: which pods it is to ask, and what they say together."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from batchedllm import settings
from batchedllm.core.readings import FleetLoad
from batchedllm.core.reconcile_types import Manifest
from batchedllm.shell import connection
from batchedllm.shell.cluster import Cluster
from batchedllm.shell.dcgm import NodeExporters
from batchedllm.shell.dcgm_pods import ExporterPods
from batchedllm.shell.key import Key
from batchedllm.shell.scrape import Scraper, Target
from batchedllm.shell.scrape_http import HttpFetch, open_session, proxy_url
from batchedllm.shell.telemetry import Telemetry

TOKEN_REFRESH_SECONDS: Final = 60.0


def targets_of(pods: Sequence[Manifest]) -> list[Target]:
    """Return the pods worth asking: running, with an address, and not on their way out."""
    return [
        Target(
            pod["metadata"]["namespace"],
            pod["metadata"]["name"],
            pod["status"]["podIP"],
            node=_node_of_gpus(pod.get("spec") or {}),
        )
        for pod in pods
        if pod.get("status", {}).get("phase") == "Running"
        and pod["status"].get("podIP")
        and not pod["metadata"].get("deletionTimestamp")
    ]


def _node_of_gpus(spec: Manifest) -> str:
    """Return the pod's node, if a container has GPUs, or MIG instances, by NVIDIA's device plugin; else nothing."""
    limits = ((one.get("resources") or {}).get("limits") or {} for one in spec.get("containers", ()))
    has_gpus = any(resource.startswith("nvidia.com/") for one in limits for resource in one)
    return str(spec.get("nodeName") or "") if has_gpus else ""


@dataclass(frozen=True, slots=True)
class ScrapedLoads:
    """The loop's view of the scraper."""

    scraper: Scraper

    def observe(self, key: Key, pods: Sequence[Manifest]) -> None:
        """Scrape these pods from now on, and no others of this BatchedLLM."""
        self.scraper.set_targets(str(key), targets_of(pods))

    def load(self, key: Key, ready_pods: Iterable[str], now_seconds: float) -> FleetLoad | None:
        """Return what the pods say together; None if none was scraped yet."""
        return self.scraper.load(str(key), ready_pods, now_seconds)

    def misconfigured(self, key: Key, now_seconds: float) -> tuple[str, ...]:
        """Return the pods, ready or not, that cannot use their admission files."""
        return self.scraper.misconfigured(str(key), now_seconds)

    def is_new(self, key: Key, ready_pods: Iterable[str], now_seconds: float) -> bool:
        """Tell whether the load may be known better in a moment."""
        return self.scraper.is_new(str(key), ready_pods, now_seconds)

    def forget(self, key: Key) -> None:
        """Stop scraping the pods of `key`."""
        self.scraper.forget(str(key))


@dataclass(frozen=True, slots=True)
class ScrapeTelemetry:
    """Counts scrapes in the operator's own metrics."""

    telemetry: Telemetry

    def scraped(self, key: str, pod: str, seconds: float) -> None:
        """Take note of a successful scrape."""
        self.telemetry.scraped(key, pod, seconds)

    def failed(self, _key: str, _pod: str, reason: str) -> None:
        """Take note of a failed scrape."""
        self.telemetry.scrape_failed(reason)


@dataclass(frozen=True, slots=True)
class ExporterTelemetry:
    """Counts scrapes of nodes' GPU exporters in the operator's own metrics."""

    telemetry: Telemetry

    def scraped(self, _node: str, _pod: str, _seconds: float) -> None:
        """Take note of a successful scrape."""
        self.telemetry.exporter_scraped("ok")

    def failed(self, _node: str, _pod: str, reason: str) -> None:
        """Take note of a failed scrape."""
        self.telemetry.exporter_scraped(reason)


@dataclass(slots=True)
class Authorization:
    """The header that the API server's pod proxy asks for, renewed in the background."""

    configuration: connection.Connection
    _headers: Mapping[str, str] = field(default_factory=dict, init=False)

    async def refresh(self) -> None:
        """Read the token anew."""
        token = await connection.bearer_token(self.configuration)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def run(self) -> None:
        """Read it anew for ever."""
        while True:
            await asyncio.sleep(TOKEN_REFRESH_SECONDS)
            await self.refresh()

    def headers(self) -> Mapping[str, str]:
        """Return the header as it is now."""
        return self._headers


async def open_scraper(
    stack: AsyncExitStack,
    chosen: settings.Settings,
    cluster: Cluster,
    telemetry: Telemetry,
    on_change: Callable[[Key], None],
) -> ScrapedLoads:
    """Make the scraper; `stack` closes it."""
    session = await stack.enter_async_context(open_session())
    fetch = HttpFetch(session)
    if chosen.scrape_through == "api-server":
        authorization = Authorization(cluster.configuration)
        await authorization.refresh()
        renewal = asyncio.create_task(authorization.run())
        stack.callback(renewal.cancel)
        context = connection.ssl_context(cluster.configuration)
        url_of = proxy_url(cluster.configuration.host)
        fetch = HttpFetch(session, url_of=url_of, headers=authorization.headers, ssl=context)
    exporters = None
    if chosen.dcgm_exporters:
        find = ExporterPods(cluster, chosen.dcgm_exporter_namespace).find
        seconds, observer = chosen.scrape_interval_seconds, ExporterTelemetry(telemetry)
        exporters = NodeExporters(fetch, find, interval_seconds=seconds, observer=observer)
        stack.push_async_callback(exporters.close)
    scraper = Scraper(
        fetch,
        on_change=lambda text: on_change(Key.parse(text)),
        interval_seconds=chosen.scrape_interval_seconds,
        observer=ScrapeTelemetry(telemetry),
        node_gpus=exporters,
    )
    stack.push_async_callback(scraper.close)
    telemetry.observe_scrapes(lambda: scraper.ages_seconds(time.monotonic()))
    return ScrapedLoads(scraper)
