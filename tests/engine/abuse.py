"""What clients of bad will or bad luck send to a running engine: thousands of connections, what is no request.

Every check ends by itself, and talks to one engine of the testbed alone.
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode

from engine.admission_contract import Client

CONNECTIONS = 10_000
AT_ONCE = 500
FUZZED = ("/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/models", "/health")
"""Endpoints that a text model has, of those that are let through."""
EXAMPLES = 15
"""Of each endpoint and kind."""
PROPER = frozenset({*range(200, 300), *range(400, 500), 503, 504})
"""Answers and refusals: 503 and 504 are the middleware's own, for what is too much or takes too long."""
BRIEF = {"x-batchedllm-priority": "brief"}
"""A class whose requests end after half a second: what asks for a long answer does not hold the others up."""


# -- connections


async def crowd(address: str, count: int, stack: AsyncExitStack) -> Counter[str]:
    """Open so many connections, half of them silent, half of them beginning a head that never ends; count what came."""
    place, seen = urlsplit(address), Counter[str]()

    async def open_one(number: int) -> None:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(place.hostname, place.port), 60)
        except (OSError, TimeoutError) as error:
            seen[type(error).__name__] += 1
            return
        stack.push_async_callback(gone, writer)
        if number % 2:
            writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        seen["open"] += 1

    for first in range(0, count, AT_ONCE):
        await asyncio.gather(*(open_one(number) for number in range(first, min(count, first + AT_ONCE))))
    return seen


async def gone(writer: asyncio.StreamWriter) -> None:
    """End a connection, whatever its other end has made of it."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


def allow_open_files(count: int) -> None:
    """Raise this process's limit, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


async def memory_bytes(client: Client) -> float:
    """Return what the process that answers `/metrics` has of the machine's memory."""
    async with client.session.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("process_resident_memory_bytes"))


# -- requests made of the engine's own description


def operations(document: dict[str, Any]) -> Iterator[tuple[Any, GenerationMode]]:
    """Yield the endpoints to try, with fitting requests and with others."""
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        if operation.path in FUZZED:
            yield operation, GenerationMode.POSITIVE
            if operation.method == "post":
                yield operation, GenerationMode.NEGATIVE


def improper(address: str, operation: Any, mode: GenerationMode) -> list[str]:
    """Send requests of one kind, the same each time; return those that were answered as none should be."""
    found: list[str] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        answer = case.call(base_url=address, headers=BRIEF, timeout=30)
        if answer.status_code not in PROPER:
            found.append(f"{case.method} {case.path} {case.body!r:.300}: {answer.status_code} {answer.text:.300}")

    send()
    return found
