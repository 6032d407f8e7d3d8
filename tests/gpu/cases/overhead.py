"""What our plugin, exporter and middleware cost: a bare engine and ours, each full in turns on the same GPU.

256 clients in a closed loop keep the batch full; the engine's own counter says how many tokens it made meanwhile. With
streams of one token a piece it is the API server that is full; with eight a piece, or with whole answers, it has some
time to spare. All engines are on the GPU all the time and only one of them works. Clients are processes of their own.
"""

import asyncio
import contextlib
import multiprocessing
import random
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, product
from math import exp, log, sqrt
from statistics import mean, median, stdev
from typing import Any, NamedTuple

import aiohttp

from gpu import host_engine, traffic
from gpu.cases import engine_bench, fleet, priority
from gpu.host_engine import HostEngine
from gpu.results import Check
from gpu.scene import Json, Scene, SceneError, fetched, sample

LEAST_SECONDS = 300
BATCH = 256
_PAIRS = 12
_PAIRS_SECONDS = 360.0
"""No pair is begun after that."""
_EIGHT = 8


class Load(NamedTuple):
    """What clients ask for, how long the batch takes to be full of it, and how long tokens are counted then."""

    prompt_tokens: int
    output_tokens: int
    fill_seconds: float
    count_seconds: float

    def told(self) -> Json:
        """Return it for the result."""
        return {"sizes": [self.prompt_tokens, self.output_tokens], "countSeconds": self.count_seconds}


LOAD = Load(prompt_tokens=64, output_tokens=192, fill_seconds=1.5, count_seconds=3.0)


class Answers(NamedTuple):
    """A way to answer: whether as a stream, the tokens in a piece of one (vLLM's --stream-interval), and its name."""

    stream: bool
    interval: int
    words: str


ANSWERS = {
    "streamed": Answers(stream=True, interval=1, words="streamed"),
    "streamedByEight": Answers(stream=True, interval=_EIGHT, words="streamed, eight tokens a piece"),
    "whole": Answers(stream=False, interval=1, words="whole"),
}
_MOST_PERCENT = 1.0
PROCESSES = 8
_RESAMPLES = 2000


def run(scene: Scene, measured: Json) -> None:
    """Warm all up, then pairs whose order alternates, with each kind of answers in turns."""
    batch, processes = (BATCH, PROCESSES) if scene.gpu else (32, 2)
    measured |= {"batch": batch, "flags": host_engine.flags(host_engine.SMALL_CACHE), **LOAD.told()}
    begin = time.monotonic()
    start_next(scene)
    intervals = (1, _EIGHT) if scene.gpu else (1,)  # the stand-in of a rehearsal knows no pieces
    with host_engine.pairs(scene, host_engine.SMALL_CACHE, *intervals) as pairs:
        measured["allReadySeconds"] = time.monotonic() - begin
        by_interval = dict(zip(intervals, pairs, strict=True))
        with clients(processes) as pool:
            for one in chain(*pairs):
                counted(pool, one, batch, LOAD._replace(count_seconds=0.5), stream=True)
            begin = time.monotonic()
            for number, answers in product(range(_PAIRS if scene.gpu else 2), ANSWERS):
                engines = by_interval.get(ANSWERS[answers].interval)
                if engines and time.monotonic() - begin < _PAIRS_SECONDS:
                    pair(pool, engines, batch, measured, answers, load=LOAD, swapped=number % 2 == 1)
        if engine_bench.is_there(scene) and "engine-bench" in scene.wanted:
            with contextlib.suppress(SceneError):
                engine_bench.measure(scene, by_interval[1][1].address)


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
    """Add the tokens a second, and the frontend's microseconds a token, of (bare, ours)."""
    order = reversed(engines) if swapped else engines
    found = {one.name: counted(pool, one, batch, load, stream=ANSWERS[answers].stream) for one in order}
    for index, name in enumerate((answers, frontend_key(answers))):
        measured.setdefault(name, []).append([found[one.name][index] for one in engines])


def frontend_key(answers: str) -> str:
    """Return the name of what the API server's processor time a token is measured as."""
    return "frontendMicrosecondsPerToken" + ("" if answers == "streamed" else answers[0].upper() + answers[1:])


def counted(
    pool: ProcessPoolExecutor, engine: HostEngine, batch: int, load: Load, *, stream: bool
) -> tuple[float, float]:
    """Keep an engine full and return its (tokens a second, microseconds of its frontend's processor time a token)."""
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
    tokens = last[1] - first[1]
    return tokens / (last[0] - first[0]), 1e6 * (last[2] - first[2]) / tokens


def first_lengths(batch: int, output_tokens: int) -> list[int]:
    """Return the answers' lengths that a batch begins with: spread evenly, mixed, and the same in every run.

    Were all as long, all would end at once, again and again; were they drawn anew, runs would differ by how many
    prompts are read while tokens are counted.
    """
    lengths = [max(1, (rank + 1) * output_tokens // batch) for rank in range(batch)]
    random.Random(batch).shuffle(lengths)
    return lengths


def _look(engine: HostEngine) -> tuple[float, float, float]:
    """Return (when, tokens generated until then, seconds of the processor's time that the frontend took)."""
    begin = time.monotonic()
    tokens = sample(fetched(f"{engine.address}/metrics"), "vllm:generation_tokens_total") or 0.0
    return (begin + time.monotonic()) / 2, tokens, engine.frontend_cpu_seconds()


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


def overhead_percent(pairs: list[list[float]]) -> float:
    """Return by how much fewer tokens a second ours makes: the median over the pairs of (bare, ours)."""
    return 100 * (1 - median(ours / bare for bare, ours in pairs))


def together(pairs: list[list[float]]) -> tuple[float, float]:
    """Return by how many per cent more tokens a second ours makes, as the geometric mean, and its standard error."""
    ratios = [log(ours / bare) for bare, ours in pairs]
    return 100 * (exp(mean(ratios)) - 1), 100 * stdev(ratios) / sqrt(len(ratios))


def interval(pairs: list[list[float]], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of that median."""
    draws = random.Random(seed)
    found = sorted(overhead_percent([draws.choice(pairs) for _ in pairs]) for _ in range(_RESAMPLES))
    return found[int(0.025 * _RESAMPLES)], found[int(0.975 * _RESAMPLES) - 1]


def judge(measured: Json) -> list[Check]:
    """Less than one per cent, and enough pairs to be sure of it."""
    checks, bound = [], f"below {_MOST_PERCENT}"
    for answers in (one for one in ANSWERS if one in measured):
        pairs: Any = measured[answers]
        found = overhead_percent(pairs)
        low, high = interval(pairs)
        words = f"fewer tokens a second, answers {ANSWERS[answers].words}, % ({len(pairs)} pairs)"
        checks.append(Check(words, found, bound, found < _MOST_PERCENT))
        checks.append(
            Check(f"95 % interval of it, answers {ANSWERS[answers].words}", [low, high], bound, high < _MOST_PERCENT)
        )
    return checks
