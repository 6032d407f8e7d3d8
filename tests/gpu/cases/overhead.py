"""What our plugin, exporter and middleware cost: a bare engine and ours, each full in turns on the same GPU.

256 clients in a closed loop keep the batch full; the engine's own counter says how many tokens it made meanwhile.
Prompts have a usual length, so that it is the GPU that is full: each step reads some of them for requests that begin.
Where the API server is what is full, see `api_server`. Both engines are on the GPU all the time and only one of them
works. Clients are processes of their own. The answers come eight tokens a piece: with one, the API server is full here
too (some 7,000 pieces a second on an H200's host).
"""

import asyncio
import multiprocessing
import random
import time
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import NamedTuple

import aiohttp

from gpu import host_engine, traffic
from gpu.cases import fleet, priority
from gpu.host_engine import HostEngine
from gpu.results import Check
from gpu.scene import Json, Scene, fetched, sample

LEAST_SECONDS = 300
BATCH = 256
EIGHT = 8
_CACHE = "25G"
"""256 x 704 tokens need 23.6 GB."""
_PAIRS_SECONDS = 330.0
_LEFT_SECONDS = 40.0
"""No pair is begun after the first, nor when less than the second is left."""


class Load(NamedTuple):
    """What clients ask for, how long the batch takes to be full of it, and how long tokens are counted then."""

    prompt_tokens: int
    output_tokens: int
    fill_seconds: float
    count_seconds: float

    def told(self) -> Json:
        """Return it for the result."""
        return {"sizes": [self.prompt_tokens, self.output_tokens], "countSeconds": self.count_seconds}


LOAD = Load(prompt_tokens=512, output_tokens=192, fill_seconds=5.0, count_seconds=8.0)


class Answers(NamedTuple):
    """A way to answer: whether as a stream, the tokens in a piece of one (vLLM's --stream-interval), and its name."""

    stream: bool
    interval: int
    words: str


BY_EIGHT = "streamedByEight"
ANSWERS = {
    "streamed": Answers(stream=True, interval=1, words="streamed"),
    BY_EIGHT: Answers(stream=True, interval=EIGHT, words="streamed, eight tokens a piece"),
    "whole": Answers(stream=False, interval=1, words="whole"),
}
_MOST_PERCENT = 1.0
_PROCESSES = 8
_RESAMPLES = 2000


def run(scene: Scene, measured: Json) -> None:
    """Warm both up, then pairs whose order alternates."""
    batch, processes = sizes(scene)
    measured |= {"batch": batch, "flags": host_engine.flags(_CACHE), **LOAD.told()}
    begin = time.monotonic()
    start_next(scene)
    interval = EIGHT if scene.gpu else 1  # the stand-in of a rehearsal knows no pieces
    with host_engine.pairs(scene, _CACHE, interval) as [engines], clients(processes) as pool:
        measured["allReadySeconds"] = time.monotonic() - begin
        for one in engines:
            counted(pool, one, batch, LOAD._replace(count_seconds=2.0), stream=True)
        begin, number = time.monotonic(), 0
        while time.monotonic() - begin < (_PAIRS_SECONDS if scene.gpu else 30) and (
            scene.budget.left_seconds > _LEFT_SECONDS
        ):
            pair(pool, engines, batch, measured, BY_EIGHT, load=LOAD, swapped=number % 2 == 1)
            number += 1


def sizes(scene: Scene) -> tuple[int, int]:
    """Return the batch, and the number of the clients' processes."""
    return (BATCH, _PROCESSES) if scene.gpu else (32, 2)


def start_next(scene: Scene) -> None:
    """Apply the next cases' resource: with an empty cache its engine's start takes as long as the one of these."""
    if scene.gpu:
        scene.apply(priority.document(scene) if "priority" in scene.wanted else fleet.document(scene))


def clients(processes: int) -> ProcessPoolExecutor:
    """Return processes for `counted`."""
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))


def pair(
    pool: ProcessPoolExecutor,
    engines: tuple[HostEngine, HostEngine],
    batch: int,
    measured: Json,
    answers: str,
    *,
    load: Load,
    swapped: bool,
) -> None:
    """Add the tokens a second, and the API server's microseconds a token, of (bare, ours)."""
    order = reversed(engines) if swapped else engines
    found = {one.name: counted(pool, one, batch, load, stream=ANSWERS[answers].stream) for one in order}
    for index, name in enumerate((answers, frontend_key(answers), event_loop_key(answers))):
        measured.setdefault(name, []).append([found[one.name][index] for one in engines])


def frontend_key(answers: str) -> str:
    """Return the name of what the API server's processor time a token is measured as."""
    return "frontendMicrosecondsPerToken" + _suffix(answers)


def event_loop_key(answers: str) -> str:
    """Return the name of the part of it that its event loop's thread takes."""
    return "eventLoopMicrosecondsPerToken" + _suffix(answers)


def _suffix(answers: str) -> str:
    return "" if answers == "streamed" else answers[0].upper() + answers[1:]


def counted(
    pool: ProcessPoolExecutor, engine: HostEngine, batch: int, load: Load, *, stream: bool
) -> tuple[float, float, float]:
    """Keep an engine full; return tokens a second and microseconds a token of its frontend and of its event loop."""
    workers, lengths = pool._max_workers, first_lengths(batch, load.output_tokens)
    end = time.monotonic() + load.fill_seconds + load.count_seconds + 0.3
    tasks = [
        pool.submit(_clients, engine.address, lengths[index::workers], load, end, stream=stream)
        for index in range(workers)
    ]
    time.sleep(load.fill_seconds)
    first = _look(engine)
    time.sleep(load.count_seconds)
    last = _look(engine)
    failures = [one for task in tasks for one in task.result(timeout=60)]
    if failures:
        raise RuntimeError(f"{len(failures)} requests to {engine.address} failed, the first with: {failures[0]}")
    _until_idle(engine)
    seconds, tokens, frontend, loop = (later - before for before, later in zip(first, last, strict=True))
    return tokens / seconds, 1e6 * frontend / tokens, 1e6 * loop / tokens


def first_lengths(batch: int, output_tokens: int) -> list[int]:
    """Return the answers' lengths that a batch begins with: spread evenly, mixed, and the same in every run.

    Were all as long, all would end at once, again and again; were they drawn anew, runs would differ by how many
    prompts are read while tokens are counted.
    """
    lengths = [max(1, (rank + 1) * output_tokens // batch) for rank in range(batch)]
    random.Random(batch).shuffle(lengths)
    return lengths


def _look(engine: HostEngine) -> tuple[float, float, float, float]:
    """Return (when, tokens generated until then, the processor's seconds of the frontend, of its event loop)."""
    begin = time.monotonic()
    tokens = sample(fetched(f"{engine.address}/metrics"), "vllm:generation_tokens_total") or 0.0
    return (begin + time.monotonic()) / 2, tokens, *engine.frontend_seconds()


def _until_idle(engine: HostEngine) -> None:
    for _ in range(100):
        if not sample(fetched(f"{engine.address}/metrics"), "vllm:num_requests_running"):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the engine {engine.name} still works 10 s after its clients have hung up")


def _clients(address: str, lengths: list[int], load: Load, end: float, *, stream: bool) -> list[str]:
    """Keep as many requests under way as there are first lengths, until a moment of the machine's monotonic clock.

    Returns what failed.
    """
    return asyncio.run(_kept_busy(address, lengths, load, end, stream=stream))


async def _kept_busy(address: str, lengths: list[int], load: Load, end: float, *, stream: bool) -> list[str]:
    failures: list[str] = []
    timeout = aiohttp.ClientTimeout(total=100)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def client(longest: int) -> None:
            draws = random.Random()  # new prompts in every run: the engine keeps the cache of those it has seen
            while not failures:
                body = {
                    "model": host_engine.MODEL,
                    "prompt": traffic.prompt(draws, load.prompt_tokens),
                    "max_tokens": longest,
                    "ignore_eos": True,
                    "stream": stream,
                }
                async with session.post(f"{address}/v1/completions", json=body) as response:
                    async for _ in response.content.iter_any():
                        pass
                    if response.status != 200:
                        failures.append(f"HTTP {response.status}")
                longest = load.output_tokens

        tasks = [asyncio.create_task(client(longest)) for longest in lengths]
        done, hung_up = await asyncio.wait(tasks, timeout=max(0.0, end - time.monotonic()))
        for one in hung_up:
            one.cancel()
        await asyncio.gather(*hung_up, return_exceptions=True)
        return failures + [str(one.exception()) for one in done if one.exception()]


def percents(pairs: list[list[float]]) -> list[float]:
    """Return by how many per cent fewer tokens a second ours makes, in each pair of (bare, ours)."""
    return [100 * (1 - ours / bare) for bare, ours in pairs]


def interval(values: list[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of their median."""
    draws = random.Random(seed)
    found = sorted(median(draws.choice(values) for _ in values) for _ in range(_RESAMPLES))
    return found[int(0.025 * _RESAMPLES)], found[int(0.975 * _RESAMPLES) - 1]


def judge(measured: Json) -> list[Check]:
    """Less than one per cent, and enough pairs to be sure of it."""
    return below("fewer tokens a second, %", percents(measured.get(BY_EIGHT, [])), _MOST_PERCENT)


def below(words: str, values: list[float], most: float) -> list[Check]:
    """Hold the median of what each pair showed against a bound, and the interval of that median."""
    bound = f"below {most}"
    if not values:
        return [Check(f"{words} (0 pairs)", None, bound, holds=False)]
    middle, (low, high) = median(values), interval(values)
    return [
        Check(f"{words} ({len(values)} pairs)", middle, bound, middle < most),
        Check(f"{words}, 95 % interval", [low, high], bound, high < most),
    ]
