"""Whatever is sent: one proper answer or a closed connection, and nothing left behind."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from asgi_server import listening
from batchedllm_engine.middleware import AdmissionMiddleware
from batchedllm_engine.middleware.settings import SettingsSource
from small_engine import SmallEngine

ROOT = Path(__file__).parents[3]
CONFIGURATION = b"""
classes:
  - {name: high, rank: -10, keyOnly: true}
  - {name: normal, rank: 0, default: true}
heads: {seconds: 2, maxBytes: 20000}
bodies: {maxBytes: 2000, seconds: 0.2, bufferedBytes: 3000}
limits: {runningRequests: 2, queuedRequests: 2, outputTokens: 100}
"""
PATHS = ["/v1/completions", "/v1/messages", "/v1/models", "/health", "/metrics", "/invocations", "", "/\ud800"]
NAMES = ["x-batchedllm-priority", "x-batchedllm-deadline-seconds", "authorization", "content-length", "x-request-id"]
TOKENS = st.from_regex(rb"[a-z0-9-]{1,10}", fullmatch=True)
"""What a server lets through as a header's name."""
VALUES = st.binary(max_size=40) | st.sampled_from(
    [b"high", b"normal", b"0.001", b"-1", b"99999999999999999999", b"\xff"]
)
BODIES = st.binary(max_size=300) | st.dictionaries(
    st.sampled_from(["prompt", "priority", "max_tokens", "n", "stream", "messages"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(st.integers(), max_size=3),
).map(lambda body: json.dumps(body).encode())


GOES_AFTER_TURNS = 200
"""Turns of the event loop: an answer takes far fewer."""


def small() -> tuple[SmallEngine, AdmissionMiddleware]:
    engine = SmallEngine()
    source = SettingsSource(Path("config"), lambda _: CONFIGURATION)
    return engine, AdmissionMiddleware(engine.application(), source=source, registry=CollectorRegistry())


async def talk(middleware, method, path, headers, pieces):
    """Send a request in pieces, then go; return what came back."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent, coming = [], iter(messages)

    async def receive():
        for message in coming:
            return message
        for _ in range(GOES_AFTER_TURNS):
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    with contextlib.suppress(RuntimeError):  # the small engine fails where its prompt asks it to
        await middleware(scope, receive, send)
    return sent


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "\x00"]),
    path=st.sampled_from(PATHS),
    headers=st.lists(st.tuples(st.sampled_from(NAMES).map(str.encode) | TOKENS, VALUES), max_size=12),
    pieces=st.lists(BODIES, max_size=3),
)
def test_any_request_gets_one_answer_and_leaves_nothing(method, path, headers, pieces):
    async def run():
        engine, middleware = small()
        sent = await talk(middleware, method, path, headers, pieces)
        starts = [message for message in sent if message["type"] == "http.response.start"]
        assert len(starts) <= 1
        assert all(200 <= start["status"] < 600 for start in starts)
        assert all(body.get("priority", 0) == 0 for body in engine.seen)
        assert middleware._process.admission.gate.is_empty
        assert (middleware._process.held_bytes, middleware._process.exchanges) == (0, set())
        middleware._process.close()

    asyncio.run(run())


@contextlib.asynccontextmanager
async def raw_connections() -> AsyncIterator:
    """Yield a function that opens a connection, and the middleware behind it, added as vLLM adds it."""
    application, made = SmallEngine().application(), []

    def middleware(inner):
        source = SettingsSource(Path("config"), lambda _: CONFIGURATION)
        made.append(AdmissionMiddleware(inner, source=source, registry=CollectorRegistry(), watch_seconds=0.05))
        return made[0]

    application.add_middleware(middleware)
    async with listening(application) as address:
        host, port = address.removeprefix("http://").split(":")
        yield lambda: asyncio.open_connection(host, int(port)), made[0]
        made[0]._process.close()


def head(path="/v1/completions", **headers) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_body_that_is_announced_too_large_is_refused_before_it_is_read():
    async with raw_connections() as (connect, _):
        reader, writer = await connect()
        writer.write(head(content_length=10**12))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 413")
        writer.close()


async def test_a_body_that_turns_out_too_large_is_refused_at_the_bound():
    async with raw_connections() as (connect, middleware):
        reader, writer = await connect()
        writer.write(head(transfer_encoding="chunked"))
        for _ in range(3):
            writer.write(b"400\r\n" + b"a" * 1024 + b"\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 413")
        assert middleware._process.held_bytes == 0
        writer.close()


async def test_a_body_that_never_ends_is_refused_in_time():
    async with raw_connections() as (connect, middleware):
        reader, writer = await connect()
        writer.write(head(content_length=100) + b'{"prompt"')
        assert (await reader.read()).startswith(b"HTTP/1.1 408")
        assert middleware._process.held_bytes == 0
        writer.close()


async def test_bodies_of_many_clients_together_are_bounded_and_others_are_served_after_them():
    async with raw_connections() as (connect, middleware):
        slow = [await connect() for _ in range(3)]
        for _, writer in slow:
            writer.write(head(content_length=1900) + b"a" * 1400)
        answers = [await reader.read() for reader, _ in slow]
        assert sorted(answer[9:12] for answer in answers) == [b"408", b"408", b"503"]
        for _, writer in slow:
            writer.close()
        assert middleware._process.held_bytes == 0
        reader, writer = await connect()
        writer.write(head(content_length=2, connection="close") + b"{}")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_flood_of_headers_is_refused():
    async with raw_connections() as (connect, _):
        reader, writer = await connect()
        writer.write(head(**{f"x-{number}": number for number in range(200)}, content_length=2) + b"{}")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"at most 100" in answer
        writer.close()


async def test_a_connection_on_which_no_request_arrives_is_closed():
    async with raw_connections() as (connect, _):
        silent, dawdling = await connect(), await connect()
        dawdling[1].write(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        begun = time.monotonic()
        for reader, writer in (silent, dawdling):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        assert time.monotonic() - begun < 9


async def test_headers_without_end_are_cut_off():
    async def flood(writer) -> None:
        while True:
            writer.write(b"X-Flood: " + b"a" * 1000 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)

    async with raw_connections() as (connect, _), asyncio.timeout(10):
        _, writer = await connect()
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\n")
        with pytest.raises(ConnectionError):
            await flood(writer)


async def test_connections_that_are_used_again_are_left_alone():
    async with raw_connections() as (connect, middleware):
        reader, writer = await connect()
        for _ in range(3):
            writer.write(head(content_length=2) + b"{}")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            await middleware._process._look()
        writer.close()


def memory_bytes(process_id: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{process_id}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_flood_of_connections_leaves_others_served_and_memory_bounded(tmp_path):
    """500 that say nothing, 500 in the midst of a body, against the simulated engine as a process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "config.yaml"
    file.write_text("bodies: {seconds: 20, bufferedBytes: 1000000}")
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'engine_image'}",
        "BATCHEDLLM_ADMISSION_CONFIG": str(file),
    }
    command = [sys.executable, "-m", "batchedllm_engine.simulated", "org/model", "--host=127.0.0.1", f"--port={port}"]
    command.append("--middleware=batchedllm_engine.middleware.AdmissionMiddleware")
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    async def flood() -> None:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            await eventually(healthy, client, seconds=90)
            before = memory_bytes(process.pid)
            crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1000)]
            for _, writer in crowd[::2]:
                writer.write(head(content_length=10_000) + b"a" * 5000)
            begun = time.monotonic()
            for _ in range(20):
                async with client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1}) as answer:
                    assert answer.status in {200, 503}
                async with client.get("/health") as answer:
                    assert answer.status == 200
            assert time.monotonic() - begun < 60
            assert memory_bytes(process.pid) - before < 200 << 20
            for _, writer in crowd:
                writer.close()
            await eventually(serves, client, seconds=30)

    try:
        asyncio.run(flood())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()


async def eventually(holds, client: aiohttp.ClientSession, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await holds(client):  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.1)


async def healthy(client: aiohttp.ClientSession) -> bool:
    try:
        async with client.get("/health") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def serves(client: aiohttp.ClientSession) -> bool:
    async with client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1}) as answer:
        return answer.status == 200
