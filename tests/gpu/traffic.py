"""Clients: an open loop that plays a trace, and a closed one that keeps a batch full. Prompts are random tokens.

Random, because the engine keeps the cache of prompts it has seen: repeated ones would cost nothing.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from demo.trace import Arrival

REQUEST_SECONDS = 180.0
TOKENS = (1_000, 50_000)
"""Words of every shape's tokenizer. Single bytes are no text, which costs vLLM as much as unknown tokens do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request."""

    at_seconds: float
    kind: str
    """Name of the class it was sent as."""
    first_token_seconds: float | None
    total_seconds: float
    tokens: int
    status: int
    """HTTP; 0: the connection failed."""
    retry_after: str = ""
    error: str = ""

    @property
    def served(self) -> bool:
        """Whether the whole answer came."""
        return self.status == 200 and not self.error

    @property
    def shed(self) -> bool:
        """Whether it was turned away in order, before it was accepted."""
        return self.status in (429, 503)


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a plan."""

    at_seconds: float
    prompt_tokens: int
    output_tokens: int
    kind: str = ""


def of_trace(arrivals: list[Arrival], longest_tokens: int) -> list[Request]:
    """Return a trace's requests, cut to what the engine takes."""
    return [
        Request(
            one.at_seconds, min(one.prompt_tokens, longest_tokens // 2), min(one.output_tokens, longest_tokens // 2)
        )
        for one in arrivals
    ]


def steady(rate: float, seconds: float, sizes: tuple[int, int], kind: str, seed: int) -> list[Request]:
    """Return requests of one size at random times of a constant rate."""
    draws = random.Random(seed)
    planned, at = [], draws.expovariate(rate)
    while at < seconds:
        planned.append(Request(at, *sizes, kind))
        at += draws.expovariate(rate)
    return planned


def prompt(draws: random.Random, tokens: int) -> list[int]:
    """Return random token ids, each a word."""
    return [draws.randrange(*TOKENS) for _ in range(max(1, tokens))]


async def play(
    address: str, model: str, requests: list[Request], done: Callable[[Outcome], None], seed: int = 0
) -> None:
    """Send every request at its time, each on a connection of its own, and report what became of it."""
    draws = random.Random(seed)
    begin = time.monotonic()
    async with _session() as session, asyncio.TaskGroup() as group:
        for one in sorted(requests, key=lambda each: each.at_seconds):
            body = _body(model, prompt(draws, one.prompt_tokens), one.output_tokens, stream=True)
            await asyncio.sleep(max(0.0, begin + one.at_seconds - time.monotonic()))
            group.create_task(_send(session, address, body, one, done))


async def hold(address: str, model: str, clients: int, seconds: float, sizes: tuple[int, int]) -> list[Outcome]:
    """Keep so many requests under way for a time, and return what became of all that were sent."""
    found: list[Outcome] = []
    begin = time.monotonic()

    async def client(session: aiohttp.ClientSession, draws: random.Random) -> None:
        while time.monotonic() - begin < seconds:
            one = Request(time.monotonic() - begin, *sizes)
            await _send(
                session, address, _body(model, prompt(draws, sizes[0]), sizes[1], stream=True), one, found.append
            )
            if found and not found[-1].served:
                await asyncio.sleep(0.2)

    async with _session() as session, asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(session, random.Random(number)))
    return found


def _session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout)


def _body(model: str, tokens: list[int], output_tokens: int, *, stream: bool) -> dict[str, object]:
    output = max(1, output_tokens)
    return {"model": model, "prompt": tokens, "max_tokens": output, "ignore_eos": True, "stream": stream}


async def _send(
    session: aiohttp.ClientSession,
    address: str,
    body: dict[str, object],
    request: Request,
    done: Callable[[Outcome], None],
) -> None:
    begin = time.monotonic()
    first: float | None = None
    tokens, status, retry_after, error, finished = 0, 0, "", "", False
    headers = {"x-batchedllm-priority": request.kind} if request.kind else {}
    try:
        async with session.post(f"{address}/v1/completions", json=body, headers=headers) as response:
            status, retry_after = response.status, response.headers.get("Retry-After", "")
            async for line in response.content:
                if line.startswith(b"data: {"):
                    first = first or time.monotonic() - begin
                    tokens += 1
                finished = finished or line.startswith(b"data: [DONE]")
        if status == 200 and not finished:
            error = "the stream ended before its answer did"
    except (aiohttp.ClientError, TimeoutError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    total = time.monotonic() - begin
    done(Outcome(request.at_seconds, request.kind, first, total, tokens, status, retry_after, error))


def percentile(values: list[float], percent: float) -> float | None:
    """Return the value that `percent` of the values do not exceed (nearest rank); None of nothing."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)] if ranked else None


def first_tokens(outcomes: list[Outcome]) -> list[float]:
    """Return the times to first token of those that were served."""
    return [one.first_token_seconds for one in outcomes if one.served and one.first_token_seconds is not None]
