"""What the middleware costs a request: `PYTHONPATH=engine_image python tests/bench/middleware_overhead.py`.

The same requests go to an application that answers at once, with the middleware before it and without, in turns and in
one process, without a network: the difference is the middleware's own work. CPU time, so that a busy machine tells the
same; medians of rounds, in microseconds.
"""

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from batchedllm_engine.middleware import AdmissionMiddleware
from batchedllm_engine.middleware.settings import SettingsSource

ROUNDS, REQUESTS = 15, 200
CONFIGURATION = b"""
classes:
  - {name: high, rank: -10}
  - {name: normal, rank: 0, default: true}
  - {name: low, rank: 10}
limits: {runningRequests: 256, queuedRequests: 256, requestsPerMinute: 1000000000, tokensPerMinute: 1000000000000}
apiKeys: {file: keys}
"""
KEYS = b"keys: [{name: a, key: the-key-of-the-bench, class: normal}]"
EVENTS = 128


async def application(_scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer with a stream of events."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for _ in range(EVENTS):
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def request(prompt_bytes: int) -> tuple[dict[str, Any], bytes]:
    """Return the scope and the body of a completion."""
    body = json.dumps({"model": "m", "prompt": "word " * (prompt_bytes // 5), "max_tokens": 128, "stream": True})
    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"authorization", b"Bearer the-key-of-the-bench"),
        (b"x-batchedllm-priority", b"low"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "root_path": "", "headers": headers}
    return scope, body.encode()


async def seconds_for(target: Any, scope: dict[str, Any], body: bytes, requests: int) -> float:
    """Send the request so often, one after the other, and return the CPU time that it took."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_message: dict[str, Any]) -> None:
        pass

    begin = time.process_time()
    for _ in range(requests):
        await target(scope, receive, send)
    return time.process_time() - begin


async def overhead_microseconds(prompt_bytes: int, rounds: int = ROUNDS, requests: int = REQUESTS) -> float:
    """Return the median over rounds of what a request takes longer with the middleware."""
    contents = {"config": CONFIGURATION, "keys": KEYS}
    source = SettingsSource(Path("config"), lambda path: contents[str(path)])
    middleware = AdmissionMiddleware(application, source=source, registry=CollectorRegistry())
    scope, body = request(prompt_bytes)
    extra = []
    for _ in range(rounds):
        bare = await seconds_for(application, scope, body, requests)
        extra.append((await seconds_for(middleware, scope, body, requests) - bare) / requests * 1e6)
    return statistics.median(extra)


def main() -> None:
    """Print a table."""
    print("prompt bytes  extra microseconds a request")
    for prompt_bytes in (100, 4_000, 100_000, 1_000_000):
        requests = REQUESTS if prompt_bytes < 100_000 else 20
        extra = asyncio.run(overhead_microseconds(prompt_bytes, requests=requests))
        print(f"{prompt_bytes:>12,}  {extra:>10,.0f}")


if __name__ == "__main__":
    main()
