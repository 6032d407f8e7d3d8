"""What requests of one API server process share: settings that are read again, the gate, bounds, and the end."""

import asyncio
import contextlib
from typing import Final

from batchedllm_engine.middleware.admission import Admission
from batchedllm_engine.middleware.configuration import Configuration, ConfigurationError
from batchedllm_engine.middleware.connections import ConnectionWatch, connections_of
from batchedllm_engine.middleware.ending import Ending
from batchedllm_engine.middleware.exchange import UNWIND_SECONDS, Exchange
from batchedllm_engine.middleware.gate import DRAINING
from batchedllm_engine.middleware.log import LOG
from batchedllm_engine.middleware.metrics import NO_CLASS, AdmissionMetrics
from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused
from batchedllm_engine.middleware.settings import Settings, SettingsSource

WATCH_SECONDS: Final = 1.0
"""How often the files and the connections are looked at."""
BODIES_FULL: Final = Refusal(
    Reason.BODIES_FULL, "Too many large requests are held already; try again.", retry_after_seconds=1
)


class Process:
    """The state of one process. Everything happens on its event loop."""

    def __init__(self, source: SettingsSource, metrics: AdmissionMetrics, watch_seconds: float = WATCH_SECONDS) -> None:
        self.metrics = metrics
        self.settings: Settings | None = None
        """None until the files could be used once."""
        self.admission = Admission(Configuration())
        self.exchanges: set[Exchange] = set()
        """Requests that are not over."""
        self.held_bytes = 0
        """Bodies in memory."""
        self._source = source
        self._watch_seconds = watch_seconds
        self._watching: asyncio.Task[None] | None = None
        self._server: object = None
        self._connections = ConnectionWatch()
        self._ending = Ending(lambda: self.configuration.drain, self.drain)
        settings = self._changed_settings()
        if settings is not None:
            self._use(settings)

    @property
    def configuration(self) -> Configuration:
        """The configuration that holds; the defaults where none could be used yet."""
        return self.settings.configuration if self.settings else Configuration()

    @property
    def draining(self) -> bool:
        """Whether the end has begun."""
        return self.admission.gate.draining

    def watch(self) -> None:
        """Look at the files and the connections from now on."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()

    def started(self, server: object) -> None:
        """Take SIGTERM over from the server, which has set its own handler by now."""
        self._server = server
        self._ending.listen(server)

    def hold(self, size: int) -> None:
        """Count a piece of a body that is in memory. Raise Refused where there are too many."""
        if self.held_bytes + size > self.configuration.bodies.buffered_bytes:
            raise Refused(BODIES_FULL)
        self.held_bytes += size

    def show(self) -> None:
        """Bring the metrics that are states up to date."""
        self.metrics.show(self.admission.gate, self.held_bytes)

    async def drain(self, seconds: float) -> None:
        """Refuse new requests, let those that were accepted finish, and cut what is left when the time is over."""
        self.admission.gate.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.admission.idle.wait()
        left = len(self.exchanges)
        for exchange in tuple(self.exchanges):
            exchange.cut(DRAINING)
        if left:
            LOG.warning("%d requests were still open and are cut", left)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * UNWIND_SECONDS):
                await self.admission.idle.wait()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_seconds)
            try:
                await self._look()
            except Exception:  # noqa: BLE001 - whatever a server of another version brings, the next look must come
                LOG.exception("a look at the files and the connections failed; the next follows")

    async def _look(self) -> None:
        settings = await asyncio.to_thread(self._changed_settings)
        if settings is not None:
            self._use(settings)
        self.show()
        for one in self._connections.overdue(
            connections_of(self._server), self.configuration.heads, self.admission.clock()
        ):
            one.transport.abort()
            self.metrics.rejected(NO_CLASS, Reason.HEAD)

    def _changed_settings(self) -> Settings | None:
        """Read the files; a change that cannot be used is told once, and what held before holds on."""
        try:
            return self._source.poll()
        except ConfigurationError as error:
            kept = "refuse all requests" if self.settings is None else "keep the configuration before it"
            LOG.error("%s; until it is mended the server will %s", error, kept)
            self.metrics.reloaded(valid=False)
            return None

    def _use(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics.announce(one.name for one in settings.configuration.classes)
        self.metrics.reloaded(valid=True)
        self.admission.reconfigure(settings.configuration)
        classes = ", ".join(f"{one.name} (priority {one.rank})" for one in settings.configuration.classes)
        keys = "no keys" if settings.keys is None else f"{len(settings.keys.keys)} keys"
        LOG.info("configuration used: classes %s; %s", classes, keys)
