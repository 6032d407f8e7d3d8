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

from batchedllm_engine.garbage import look_for_garbage_rarely
from batchedllm_engine.middleware.configuration import Configuration, ServiceClass
from batchedllm_engine.middleware.endpoints import Inference
from batchedllm_engine.middleware.exchange import (
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
from batchedllm_engine.middleware.log import configure_logging, log_access
from batchedllm_engine.middleware.metrics import NO_CLASS, AdmissionMetrics, Outcome
from batchedllm_engine.middleware.process import WATCH_SECONDS, Process
from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused
from batchedllm_engine.middleware.settings import CONFIGURATION_VARIABLE, Settings, SettingsSource

HEALTH_PATH: Final = "/health"
METRICS_PATH: Final = "/metrics"
NOT_CONFIGURED: Final = Refusal(
    Reason.NOT_CONFIGURED,
    "The server's configuration cannot be used; its log says why. It is read again when it changes.",
    retry_after_seconds=WATCH_SECONDS,
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
        look_for_garbage_rarely()
        path = os.environ.get(CONFIGURATION_VARIABLE)
        self._app = app
        self._process = Process(
            source or SettingsSource(Path(path) if path else None), AdmissionMetrics(registry), watch_seconds
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        self._process.watch()
        if scope["type"] == "http":
            await self._answer(Exchange(scope, receive, send, request_id(scope["headers"])))
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, self._noting_the_start(scope, send))
        else:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})

    def _noting_the_start(self, scope: Scope, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._process.started(getattr(getattr(scope.get("app"), "state", None), "server", None))
            await send(message)

        return sending

    async def _answer(self, exchange: Exchange) -> None:
        record = _Record(self._process.admission.clock())
        self._process.exchanges.add(exchange)
        try:
            await self._judge_and_run(exchange, record)
        except Refused as refused:
            record.refusal = refused.refusal
            exchange.closing = exchange.closing or self._process.draining
            await exchange.refuse(refused.refusal)
        except ClientGoneError:
            exchange.client_gone = True
        finally:
            self._process.exchanges.discard(exchange)
            self._process.held_bytes -= record.held_bytes
            self._tell(exchange, record)

    async def _judge_and_run(self, exchange: Exchange, record: _Record) -> None:
        scope, draining = exchange.scope, self._process.draining
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == METRICS_PATH:
            self._process.show()
        elif self._process.settings is None:
            raise Refused(NOT_CONFIGURED)
        settings = self._process.settings or Settings(Configuration())
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
        with contextlib.nullcontext() if math.isinf(patience.seconds) else _limited(exchange, patience):
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
            self._process.hold(size)
            record.held_bytes += size

        raw = await exchange.read_body(configuration.bodies, hold)
        prepared = prepare(raw, endpoint, service_class, configuration)
        del raw
        arrived = self._process.admission.clock()
        ticket = await self._process.admission.enter(service_class.name, prepared.cost, exchange)
        try:
            record.running = True
            record.queue_seconds = self._process.admission.clock() - arrived
            self._process.metrics.left_queue(service_class.name, record.queue_seconds)
            scope = exchange.scope
            headers = for_engine(scope["headers"], exchange.identity, service_class.rank, len(prepared.body))
            await exchange.run(self._app, {**scope, "headers": headers}, prepared.body)
        finally:
            self._process.admission.leave(ticket)

    def _tell(self, exchange: Exchange, record: _Record) -> None:
        outcome = _outcome(exchange, record)
        refusal = exchange.cut_by if outcome is Outcome.CUT else record.refusal
        if refusal is not None:
            self._process.metrics.rejected(record.service_class, refusal.reason)
        is_told = record.is_inference or refusal is not None
        if is_told:
            self._process.metrics.requested(record.service_class, outcome)
        if is_told and self._process.settings is not None and self._process.settings.configuration.access_log:
            log_access(
                requestId=exchange.identity.decode("latin-1"),
                method=exchange.scope["method"],
                path=exchange.scope["path"][:200],
                priorityClass=record.service_class,
                status=exchange.status,
                outcome=outcome,
                reason=None if refusal is None else refusal.reason,
                queueSeconds=round(record.queue_seconds, 6),
                seconds=round(self._process.admission.clock() - record.began, 6),
            )


@contextlib.contextmanager
def _limited(exchange: Exchange, patience: Patience) -> Iterator[None]:
    """Cut the exchange if it takes longer."""
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
