"""The HTTP server's application: routes, streaming, draining. ASGI, as vLLM's own, so that it takes its middleware."""

import asyncio
import contextlib
import importlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from batchedllm.sim.events import QueueLimitReached
from batchedllm_engine.simulated.arguments import EngineOptions
from batchedllm_engine.simulated.bodies import Ask, Endpoint, EventStream, read_ask, whole_answer
from batchedllm_engine.simulated.driver import Answer, EngineDriver
from batchedllm_engine.simulated.errors import RefusedRequest, bad_request, busy, shutting_down
from batchedllm_engine.simulated.metrics import EngineCollector
from batchedllm_engine.simulated.start import EngineStart
from batchedllm_engine.simulated.tokens import text_tokens

VERSION = "0.32.0"


@dataclass(slots=True)
class EngineServer:
    """One engine behind HTTP. `draining` refuses new requests and lets those under way finish."""

    options: EngineOptions
    start: EngineStart
    driver: EngineDriver
    draining: bool = False
    answering: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    started_at: int = field(default_factory=lambda: int(time.time()))
    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=False))

    def application(self) -> Starlette:
        """Return the routes, behind what `--middleware` names: the last is the outermost, as in vLLM."""
        self.idle.set()
        self.registry.register(EngineCollector(self.driver, self.options, self.start))
        application = Starlette(
            routes=[
                Route("/v1/completions", self.completions, methods=["POST"]),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/tokenize", self.tokenize, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/health", self.health),
                Route("/ping", self.health, methods=["GET", "POST"]),
                Route("/version", self.version),
                Route("/load", self.load),
                Route("/metrics", self.metrics),
            ]
        )
        for path in self.options.middleware:
            application.add_middleware(_class_at(path))
        return application

    async def completions(self, request: Request) -> Response:
        """Answer POST /v1/completions."""
        return await self._answer("completions", request)

    async def chat(self, request: Request) -> Response:
        """Answer POST /v1/chat/completions."""
        return await self._answer("chat", request)

    async def health(self, _: Request) -> Response:
        """Answer 200, while draining as well, as vLLM does."""
        return Response()

    async def version(self, _: Request) -> Response:
        """Tell vLLM's version that is simulated."""
        return JSONResponse({"version": VERSION})

    async def load(self, _: Request) -> Response:
        """Answer GET /load: 0, as vLLM without --enable-server-load-tracking."""
        return JSONResponse({"server_load": 0})

    async def models(self, _: Request) -> Response:
        """List the served names."""
        length = self.start.settings.max_model_len
        models = [
            {
                "id": name,
                "object": "model",
                "created": self.started_at,
                "owned_by": "vllm",
                "root": self.options.model,
                "parent": None,
                "max_model_len": length,
            }
            for name in self.options.served_model_name
        ]
        return JSONResponse({"object": "list", "data": models})

    async def tokenize(self, request: Request) -> Response:
        """Count the tokens of a prompt; their ids mean nothing here."""
        body = await request.json()
        tokens = text_tokens(str(body.get("prompt", "")))
        length = self.start.settings.max_model_len
        return JSONResponse({"count": tokens, "max_model_len": length, "tokens": list(range(tokens))})

    async def metrics(self, _: Request) -> Response:
        """Answer a scrape."""
        return Response(generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        try:
            ask = await self._read(endpoint, request)
            answer = self._submit(ask)
        except RefusedRequest as refused:
            return refused.response()
        self.answering += 1
        self.idle.clear()
        if ask.stream:
            return _EventResponse(ask, answer, lambda: self._ended(ask))
        try:
            await _answered_or_gone(answer, request)
            return JSONResponse(whole_answer(ask, answer.generated_tokens, answer.reason or "abort"))
        finally:
            self._ended(ask)

    def _ended(self, ask: Ask) -> None:
        self.answering -= 1
        if not self.answering:
            self.idle.set()
        self.driver.abort(ask.request_id)

    async def _read(self, endpoint: Endpoint, request: Request) -> Ask:
        try:
            body = json.loads(await request.body())
        except ValueError as error:
            raise bad_request(f"1 validation error: JSON decode error: {error}", "body") from error
        priority = request.headers.get("X-Vllm-Priority")
        return read_ask(endpoint, body, priority, self.options, self.start.settings.max_model_len)

    def _submit(self, ask: Ask) -> Answer:
        if self.draining:
            raise shutting_down()
        try:
            return self.driver.submit(ask.engine_request, streaming=ask.stream)
        except QueueLimitReached:
            raise busy() from None
        except ValueError as error:
            raise bad_request(str(error)) from error


def _class_at(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


async def _answered_or_gone(answer: Answer, request: Request) -> None:
    """Return when the answer is whole, or when nobody waits for it any more."""

    async def answered() -> None:
        while answer.reason is None:
            await answer.changed()

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(answered()), asyncio.create_task(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class _EventResponse(StreamingResponse):
    """An answer in events. `ended` is called however it ends, also if the client has gone before the first."""

    def __init__(self, ask: Ask, answer: Answer, ended: Callable[[], None]) -> None:
        super().__init__(_events(ask, answer), media_type="text/event-stream")
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _events(ask: Ask, answer: Answer) -> AsyncIterator[bytes]:
    events, sent, reason = EventStream(ask), 0, None
    before = events.opening()
    while reason is None:
        await answer.changed()
        reached, reason = answer.generated_tokens, answer.reason
        data = before + events.tokens(sent, reached, reason)
        before, sent = b"", reached
        yield data if reason is None else data + events.closing(reached)


async def drained(server: EngineServer, seconds: float) -> None:
    """Refuse new requests and return when those under way are answered, or after so many seconds."""
    server.draining = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await server.idle.wait()
