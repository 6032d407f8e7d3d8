"""An inference server of a few lines that can be held: what the middleware stands before where no engine is needed."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

SECRET_ANSWER = "the answer that no log may hold"


@dataclass
class SmallEngine:
    """Remembers every request; answers each once `steps` lets it."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    steps: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(10**6))
    working: int = 0

    def hold(self) -> None:
        """Answer nothing, and end no event, until `release`."""
        self.steps = asyncio.Semaphore(0)

    def release(self, steps: int = 1) -> None:
        """Let so many answers, or events of streams, go."""
        for _ in range(steps):
            self.steps.release()

    def application(self) -> Starlette:
        """Return the endpoints, some of which no client shall reach."""
        paths = ["/health", "/metrics", "/v1/models", "/version", "/invocations", "/tokenize"]
        routes = [Route(path, self.plain, methods=["GET", "POST"]) for path in paths]
        routes.append(Route("/v1/completions", self.completions, methods=["POST"]))
        routes.append(Route("/v1/messages", self.completions, methods=["POST"]))
        return Starlette(routes=routes)

    async def plain(self, _: Request) -> Response:
        """Answer at once."""
        return Response("ok")

    async def completions(self, request: Request) -> Response:
        """Answer as an engine does: whole, or in three events; 418 or an exception where the prompt says so."""
        body = await request.json()
        self.seen.append(body)
        self.headers.append(dict(request.headers))
        if body.get("prompt") == "fail":
            raise RuntimeError("as asked for")
        if body.get("prompt") == "teapot":
            return JSONResponse({}, status_code=418)
        self.working += 1
        if body.get("stream"):
            return StreamingResponse(self._events(), media_type="text/event-stream")
        try:
            return await self._whole(request, fails_without_client=body.get("prompt") == "fail without client")
        finally:
            self.working -= 1

    async def _whole(self, request: Request, *, fails_without_client: bool) -> Response:
        """Wait for the step and for the client's end, as vLLM does, and say something even to nobody."""

        async def gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        tasks = [asyncio.ensure_future(self.steps.acquire()), asyncio.ensure_future(gone())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        if fails_without_client and not tasks[0].done():
            raise RuntimeError("nobody listens")
        return JSONResponse({"text": SECRET_ANSWER} if tasks[0].done() else None)

    async def _events(self) -> AsyncIterator[bytes]:
        try:
            for number in range(3):
                await self.steps.acquire()
                yield b"data: " + json.dumps({"event": number}).encode() + b"\n\n"
            yield b"data: [DONE]\n\n"
        finally:
            self.working -= 1
