"""A real HTTP server before an ASGI application, on a free port of this machine, for as long as a test holds it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import uvicorn


class _Server(uvicorn.Server):
    """Leaves signals to the test run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listening(application: Any) -> AsyncIterator[str]:
    """Yield the server's address. What is still open in the end is cut."""
    server = _Server(
        uvicorn.Config(application, "127.0.0.1", 0, log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    )
    if hasattr(application, "state"):
        application.state.server = server
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), "the server did not start"
        await asyncio.sleep(0)
    try:
        yield "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def client_of(application: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a client whose paths are the application's."""
    async with listening(application) as address, aiohttp.ClientSession(address) as session:
        yield session
