"""The small client's connections: kept from request to request, and let go before the engine does."""

from random import Random

import pytest
from aiohttp import web

from batchedllm_engine.bench import load
from batchedllm_engine.bench.asks import Ask

EVENTS = b'data: {"choices":[{"text":"a"}]}\n\ndata: {"choices":[],"usage":{"completion_tokens":1}}\n\ndata: [DONE]\n\n'
VLLM_HANGS_UP_SECONDS = 5.0
"""VLLM_HTTP_TIMEOUT_KEEP_ALIVE's default."""


@pytest.mark.parametrize(("kept_seconds", "connections"), [(60.0, 1), (0.0, 2)])
async def test_a_connection_is_kept_for_as_long_as_is_said(monkeypatch, kept_seconds, connections):
    monkeypatch.setattr(load, "KEEP_ALIVE_SECONDS", kept_seconds)
    seen = []

    async def answer(request):
        seen.append(request.transport)
        return web.Response(body=EVENTS, content_type="text/event-stream")

    application = web.Application()
    application.router.add_post("/v1/completions", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with load.client(f"http://127.0.0.1:{runner.addresses[0][1]}", "m", Random(1), {}) as client:
            answers = [await client.ask(Ask(4, 1)) for _ in range(2)]
    finally:
        await runner.cleanup()

    assert [one.error for one in answers] == [None, None]
    assert len(set(map(id, seen))) == connections


def test_it_lets_go_before_vllm_does():
    assert load.KEEP_ALIVE_SECONDS < VLLM_HANGS_UP_SECONDS
