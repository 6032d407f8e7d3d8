"""The ASGI middleware, which vLLM loads by --middleware."""

import asyncio
import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry

from batchedllm_engine.middleware.admission import Admission
from batchedllm_engine.middleware.configuration import Configuration, ConfigurationError, Drain, ServiceClass
from batchedllm_engine.middleware.connections import ConnectionWatch, connections_of
from batchedllm_engine.middleware.ending import Ending
from batchedllm_engine.middleware.endpoints import Inference
from batchedllm_engine.middleware.exchange import (
    UNWIND_SECONDS,
    Application,
    ClientGoneError,
    Exchange,
    Message,
    Receive,
    Scope,
    Send,
)
from batchedllm_engine.middleware.gate import DRAINING
from batchedllm_engine.middleware.headers import for_engine, request_id
from batchedllm_engine.middleware.judgement import Patience, judge_head, patience_for, prepare
from batchedllm_engine.middleware.log import LOG, configure_logging, log_access
from batchedllm_engine.middleware.metrics import NO_CLASS, AdmissionMetrics, Outcome
from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused
from batchedllm_engine.middleware.settings import CONFIGURATION_VARIABLE, Settings, SettingsSource

WATCH_SECONDS: Final = 1.0
"""How often the files and the connections are looked at."""
HEALTH_PATH: Final = "/health"
METRICS_PATH: Final = "/metrics"
NOT_CONFIGURED: Final = Refusal(
    Reason.NOT_CONFIGURED,
    "The server's configuration cannot be used; its log says why. It is read again when it changes.",
    retry_after_seconds=WATCH_SECONDS,
)
BODIES_FULL: Final = Refusal(
    Reason.BODIES_FULL, "Too many large requests are held already; try again.", retry_after_seconds=1
)
POLICY_VIOLATION: Final = 1008
"""Code of RFC 6455 for a WebSocket that is not wanted."""


@dataclass(slots=True)
class _Record:
    """What is told of a request when it is over."""

    began: float
    service_class: str = NO_CLASS
    is_inference: bool = False
    refusal: Refusal | None = None
    queue_seconds: float = 0.0
    running: bool = False
    held_bytes: int = 0


class AdmissionMiddleware:
    """Stands before the engine's application. One for each API server process.

    Without usable settings it answers only /metrics, and everything else with 503 until the files are mended.
    """

    def __init__(
        self,
        app: Application,
        *,
        source: SettingsSource | None = None,
        registry: CollectorRegistry = REGISTRY,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        configure_logging()
        path = os.environ.get(CONFIGURATION_VARIABLE)
        self._app = app
        self._source = source or SettingsSource(Path(path) if path else None)
        self._settings: Settings | None = None
        self._watch_seconds = watch_seconds
        self._metrics = AdmissionMetrics(registry)
        self._admission = Admission(Configuration())
        self._exchanges: set[Exchange] = set()
        self._held_bytes = 0
        self._watching: asyncio.Task[None] | None = None
        self._server: object = None
        self._connections = ConnectionWatch()
        self._ending = Ending(self._drain_bounds, self._drain)
        settings = self._changed_settings()
        if settings is not None:
            self._use(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        if scope["type"] == "http":
            await self._answer(Exchange(scope, receive, send, request_id(scope["headers"])))
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, self._listening_from_startup_on(scope, send))
        else:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})

    # -- one request ---------------------------------------------------------------------------------------------------

    async def _answer(self, exchange: Exchange) -> None:
        record = _Record(self._admission.clock())
        self._exchanges.add(exchange)
        try:
            await self._judge_and_run(exchange, record)
        except Refused as refused:
            record.refusal = refused.refusal
            exchange.closing = exchange.closing or self._admission.gate.draining
            await exchange.refuse(refused.refusal)
        except ClientGoneError:
            exchange.client_gone = True
        finally:
            self._exchanges.discard(exchange)
            self._held_bytes -= record.held_bytes
            self._tell(exchange, record)

    async def _judge_and_run(self, exchange: Exchange, record: _Record) -> None:
        scope, draining = exchange.scope, self._admission.gate.draining
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == METRICS_PATH:
            self._metrics.show(self._admission.gate, self._held_bytes)
        elif self._settings is None:
            raise Refused(NOT_CONFIGURED)
        settings = self._settings or Settings(Configuration())
        endpoint, service_class = judge_head(scope["method"], path, scope["headers"], settings)
        exchange.closing = draining
        if not isinstance(endpoint, Inference):
            if draining and path == HEALTH_PATH:
                raise Refused(DRAINING)
            await exchange.run(self._app, scope, None)
            return
        record.service_class, record.is_inference = service_class.name, True
        if draining:
            raise Refused(DRAINING)
        patience = patience_for(scope["headers"], service_class, settings.configuration)
        with _limited(exchange, patience):
            await self._queue_and_run(exchange, record, endpoint, service_class, settings.configuration)

    async def _queue_and_run(
        self,
        exchange: Exchange,
        record: _Record,
        endpoint: Inference,
        service_class: ServiceClass,
        configuration: Configuration,
    ) -> None:
        def hold(size: int) -> None:
            if self._held_bytes + size > configuration.bodies.buffered_bytes:
                raise Refused(BODIES_FULL)
            self._held_bytes += size
            record.held_bytes += size

        raw = await exchange.read_body(configuration.bodies, hold)
        prepared = prepare(raw, endpoint, service_class, configuration)
        del raw
        arrived = self._admission.clock()
        ticket = await self._admission.enter(service_class.name, prepared.cost, exchange)
        try:
            record.running = True
            record.queue_seconds = self._admission.clock() - arrived
            self._metrics.left_queue(service_class.name, record.queue_seconds)
            scope = exchange.scope
            headers = for_engine(scope["headers"], exchange.identity, service_class.rank, len(prepared.body))
            await exchange.run(self._app, {**scope, "headers": headers}, prepared.body)
        finally:
            self._admission.leave(ticket)

    def _tell(self, exchange: Exchange, record: _Record) -> None:
        outcome = _outcome(exchange, record)
        refusal = exchange.cut_by if outcome is Outcome.CUT else record.refusal
        if refusal is not None:
            self._metrics.rejected(record.service_class, refusal.reason)
        is_told = record.is_inference or refusal is not None
        if is_told:
            self._metrics.requested(record.service_class, outcome)
        if is_told and self._settings is not None and self._settings.configuration.access_log:
            log_access(
                requestId=exchange.identity.decode("latin-1"),
                method=exchange.scope["method"],
                path=exchange.scope["path"][:200],
                priorityClass=record.service_class,
                status=exchange.status,
                outcome=outcome,
                reason=None if refusal is None else refusal.reason,
                queueSeconds=round(record.queue_seconds, 6),
                seconds=round(self._admission.clock() - record.began, 6),
            )

    # -- the process ---------------------------------------------------------------------------------------------------

    def _listening_from_startup_on(self, scope: Scope, send: Send) -> Send:
        """Take SIGTERM over once the application has started: by then the server's own handler is there."""

        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._server = getattr(getattr(scope.get("app"), "state", None), "server", None)
                self._ending.listen(self._server)
            await send(message)

        return sending

    def _drain_bounds(self) -> Drain:
        return (self._settings.configuration if self._settings else Configuration()).drain

    async def _drain(self, seconds: float) -> None:
        """Refuse new requests, let those that were accepted finish, and cut what is left when the time is over."""
        self._admission.gate.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._admission.idle.wait()
        left = len(self._exchanges)
        for exchange in tuple(self._exchanges):
            exchange.cut(DRAINING)
        if left:
            LOG.warning("%d requests were still open and are cut", left)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * UNWIND_SECONDS):
                await self._admission.idle.wait()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_seconds)
            settings = await asyncio.to_thread(self._changed_settings)
            if settings is not None:
                self._use(settings)
            self._metrics.show(self._admission.gate, self._held_bytes)
            self._close_overdue_connections()

    def _close_overdue_connections(self) -> None:
        bounds = (self._settings.configuration if self._settings else Configuration()).heads
        for one in self._connections.overdue(connections_of(self._server), bounds, self._admission.clock()):
            one.transport.abort()
            self._metrics.rejected(NO_CLASS, Reason.HEAD)

    def _changed_settings(self) -> Settings | None:
        """Read the files; a change that cannot be used is told once, and what held before holds on."""
        try:
            return self._source.poll()
        except ConfigurationError as error:
            kept = "refuse all requests" if self._settings is None else "keep the configuration before it"
            LOG.error("%s; until it is mended the server will %s", error, kept)
            self._metrics.reloaded(valid=False)
            return None

    def _use(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics.announce(one.name for one in settings.configuration.classes)
        self._metrics.reloaded(valid=True)
        self._admission.reconfigure(settings.configuration)
        classes = ", ".join(f"{one.name} (priority {one.rank})" for one in settings.configuration.classes)
        keys = "no keys" if settings.keys is None else f"{len(settings.keys.keys)} keys"
        LOG.info("configuration used: classes %s; %s", classes, keys)


@contextlib.contextmanager
def _limited(exchange: Exchange, patience: Patience) -> Iterator[None]:
    """Cut the exchange if it takes longer."""
    if math.isinf(patience.seconds):
        yield
        return
    timer = asyncio.get_running_loop().call_later(patience.seconds, exchange.cut, patience.refusal)
    try:
        yield
    finally:
        timer.cancel()


def _outcome(exchange: Exchange, record: _Record) -> Outcome:
    if record.refusal is not None and not record.running:
        return Outcome.REJECTED
    if exchange.cut_by is not None and not exchange.client_gone:
        return Outcome.CUT
    if exchange.client_gone and not exchange.is_complete:
        return Outcome.DISCONNECTED
    if exchange.status is None or exchange.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome.ENGINE_ERROR
    return Outcome.REFUSED_BY_ENGINE if exchange.status >= HTTPStatus.BAD_REQUEST else Outcome.SERVED
