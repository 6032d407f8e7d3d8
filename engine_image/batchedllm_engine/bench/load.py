"""The small client: sends requests as a stream, a fixed number at a time, or batch by batch, and times the answers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from batchedllm_engine.bench.asks import Ask, prompt
from batchedllm_engine.bench.figures import Figures, times_of
from batchedllm_engine.foreign import Foreign, module

_EVENT: Final = b"data: "
_DONE: Final = b"data: [DONE]"
_NO_TOKEN: Final = b'"choices":[]'
"""Of the event with the usage."""
_USAGE: Final = b'"usage":{'
_END_BYTES: Final = 2048
"""Of an answer: what surely holds its last events."""
_ERROR_BYTES: Final = 300
KEEP_ALIVE_SECONDS: Final = 2.0
"""Of an idle connection. vLLM hangs up after 5 s (VLLM_HTTP_TIMEOUT_KEEP_ALIVE); a request sent just then fails."""


@dataclass(slots=True)
class Answer:
    """What became of a request; times are of one monotonic clock."""

    ask: Ask
    sent: float
    first: float | None = None
    last: float = 0.0
    gaps: tuple[float, ...] = ()
    """Between events that follow one another; two that come at once are 0 apart."""
    output_tokens: int = 0
    error: str | None = None

    @property
    def seconds_per_token(self) -> float:
        """Mean time between two of its tokens; it has two or more."""
        return (self.last - (self.first or self.sent)) / (self.output_tokens - 1)


class Client:
    """Asks one engine."""

    def __init__(self, session: Foreign, base_url: str, model: str, random: Random) -> None:
        self._session = session
        self._url = f"{base_url}/v1/completions"
        self._model = model
        self._random = random

    async def closed(self, asks: Sequence[Ask], at_once: int, into: list[Answer] | None = None) -> list[Answer]:
        """Keep so many running: whenever one ends, the next one is sent.

        `into` gets each answer when it is there, for whoever calls this off before all are.
        """
        left: Iterator[Ask] = iter(asks)
        answers = [] if into is None else into

        async def one_after_another() -> None:
            for ask in left:
                answers.append(await self.ask(ask))

        await asyncio.gather(*(one_after_another() for _ in range(min(at_once, len(asks)))))
        return answers

    async def batches(self, asks: Sequence[Ask], size: int) -> list[Answer]:
        """Send a batch, wait until all of it is answered, and only then send the next one."""
        answers: list[Answer] = []
        for start in range(0, len(asks), size):
            answers += await asyncio.gather(*(self.ask(one) for one in asks[start : start + size]))
        return answers

    async def stream(self, asks: Sequence[Ask]) -> list[Answer]:
        """Send each when its time has come, whether or not earlier ones are answered."""
        begin = time.perf_counter()

        async def in_time(ask: Ask) -> Answer:
            await asyncio.sleep(max(0.0, begin + ask.at_seconds - time.perf_counter()))
            return await self.ask(ask)

        return await asyncio.gather(*(in_time(one) for one in asks))

    async def ask(self, ask: Ask) -> Answer:
        """Send one request and read its answer as it comes. What goes wrong is told in the answer."""
        body = {
            "model": self._model,
            "prompt": prompt(ask.prompt_tokens, self._random),
            "max_tokens": ask.output_tokens,
            "ignore_eos": True,
            "temperature": 1.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        answer = Answer(ask, time.perf_counter())
        try:
            async with self._session.post(self._url, json=body) as response:
                if response.status != 200:  # noqa: PLR2004
                    text = (await response.content.read(_ERROR_BYTES)).decode(errors="replace")
                    answer.error = f"HTTP {response.status}: {' '.join(text.split())}"
                else:
                    await _read(response, answer)
        except (OSError, TimeoutError, module("aiohttp").ClientError) as error:
            answer.error = f"{type(error).__name__}: {error}"
        return answer


async def _read(response: Foreign, answer: Answer) -> None:
    """Take down when each token came; how many there were is what the engine counted."""
    gaps: list[float] = []
    end = b""
    async for chunk in response.content.iter_any():
        now = time.perf_counter()
        end = (end + chunk)[-_END_BYTES:]
        tokens = chunk.count(_EVENT) - chunk.count(_DONE) - chunk.count(_NO_TOKEN)
        if tokens <= 0:
            continue
        gaps += [0.0] * (tokens - 1)
        if answer.first is None:
            answer.first = now
        else:
            gaps.append(now - answer.last)
        answer.last = now
    answer.gaps = tuple(gaps)
    answer.output_tokens = _counted(end)
    if not answer.output_tokens:
        last = end[-_ERROR_BYTES:].decode(errors="replace")
        answer.error = f"the answer ended before its last event, with: {' '.join(last.split())}"


def _counted(end: bytes) -> int:
    """Return the tokens of the answer by the usage in its last events; 0 where there is none."""
    at = end.rfind(_USAGE)
    if at < 0:
        return 0
    try:
        usage: dict[str, Any] = json.JSONDecoder().raw_decode(end[at + len(_USAGE) - 1 :].decode())[0]
    except ValueError:
        return 0
    return int(usage.get("completion_tokens") or 0)


@asynccontextmanager
async def client(base_url: str, model: str, random: Random, headers: dict[str, str]) -> AsyncIterator[Client]:
    """Open a client. Connections are kept, and as many as requests run at once."""
    aiohttp = module("aiohttp")
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        yield Client(session, base_url, model, random)


def figures(answers: Sequence[Answer]) -> Figures:
    """Return what they come to; failed ones count as such, and for nothing else."""
    done = [one for one in answers if one.error is None and one.first is not None]
    begin = min((one.sent for one in done), default=0.0)
    end = max((one.last for one in done), default=0.0)
    return Figures(
        seconds=max(end - begin, 1e-9),
        completed=len(done),
        failed=len(answers) - len(done),
        prompt_tokens=sum(one.ask.prompt_tokens for one in done),
        output_tokens=sum(one.output_tokens for one in done),
        time_to_first_token=times_of([one.first - one.sent for one in done if one.first is not None]),
        inter_token=times_of([gap for one in done for gap in one.gaps]),
        per_token=times_of([one.seconds_per_token for one in done if one.output_tokens > 1]),
        end_to_end=times_of([one.last - one.sent for one in done]),
    )


def first_error(answers: Sequence[Answer]) -> str | None:
    """Return what the first failed request was told."""
    return next((one.error for one in answers if one.error is not None), None)
