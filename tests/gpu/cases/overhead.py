"""What our plugin, exporter and middleware cost: waves of 256 requests to a bare engine and to ours, in turns.

Both engines are on the GPU all the time and only one of them works. Clients are processes of their own.
"""

import asyncio
import contextlib
import multiprocessing
import random
import time
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any

import aiohttp

from gpu import host_engine, traffic
from gpu.cases import engine_bench, fleet
from gpu.results import Check
from gpu.scene import Json, Scene, SceneError

LEAST_SECONDS = 240
BATCH = 256
SIZES = (64, 192)
_MOST_PERCENT = 1.0
_PROCESSES = 8
_RESAMPLES = 2000


def run(scene: Scene, measured: Json) -> None:
    """Warm both up, then pairs of waves whose order alternates, with streamed answers and with whole ones."""
    pairs = 8 if scene.gpu else 2
    batch = BATCH if scene.gpu else 32
    measured |= {"batch": batch, "sizes": list(SIZES), "flags": host_engine.FLAGS}
    context = multiprocessing.get_context("spawn")
    begin = time.monotonic()
    if scene.gpu:
        scene.apply(fleet.document(scene))  # the next cases': with an empty cache its start takes as long as these
    with host_engine.pair(scene) as (bare, ours):
        measured["bothReadySeconds"] = time.monotonic() - begin
        with ProcessPoolExecutor(_PROCESSES if scene.gpu else 2, mp_context=context) as pool:
            for one in (bare, ours):
                for stream in (False, True):
                    wave(pool, one.address, batch, stream=stream)
            for stream in (True, False):
                measured["streamed" if stream else "whole"] = _pairs(
                    pool, bare.address, ours.address, pairs, batch, stream=stream
                )
        if engine_bench.is_there(scene):
            with contextlib.suppress(SceneError):
                engine_bench.measure(scene, ours.address)


def _pairs(
    pool: ProcessPoolExecutor, bare: str, ours: str, count: int, batch: int, *, stream: bool
) -> list[list[float]]:
    """Return (seconds bare, seconds ours) of each pair."""
    found = []
    for number in range(count):
        order = (bare, ours) if number % 2 == 0 else (ours, bare)
        seconds = {address: wave(pool, address, batch, stream=stream) for address in order}
        found.append([seconds[bare], seconds[ours]])
    return found


def wave(pool: ProcessPoolExecutor, address: str, batch: int, *, stream: bool) -> float:
    """Send so many requests at once and return the seconds until the last is answered. Raises on any failure."""
    workers = pool._max_workers
    each = -(-batch // workers)
    counts = [min(each, batch - each * index) for index in range(workers) if batch > each * index]
    begin = time.monotonic()
    tasks = [pool.submit(_clients, address, count, index, stream) for index, count in enumerate(counts)]
    answered = sum(one.result(timeout=120) for one in tasks)
    seconds = time.monotonic() - begin
    if answered != batch:
        raise RuntimeError(f"{batch - answered} of {batch} requests to {address} failed")
    return seconds


def _clients(address: str, count: int, seed: int, stream: bool) -> int:
    return asyncio.run(_answered(address, count, seed, stream=stream))


async def _answered(address: str, count: int, seed: int, *, stream: bool) -> int:
    draws = random.Random(seed + time.monotonic_ns())
    timeout = aiohttp.ClientTimeout(total=100)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def one() -> bool:
            body = {
                "model": host_engine.MODEL,
                "prompt": traffic.prompt(draws, SIZES[0]),
                "max_tokens": SIZES[1],
                "ignore_eos": True,
                "stream": stream,
            }
            async with session.post(f"{address}/v1/completions", json=body) as response:
                async for _ in response.content.iter_any():
                    pass
                return response.status == 200

        return sum(await asyncio.gather(*(one() for _ in range(count))))


def overhead_percent(pairs: list[list[float]]) -> float:
    """Return by how much longer ours takes: the median over the pairs."""
    return 100 * (median(ours / bare for bare, ours in pairs) - 1)


def interval(pairs: list[list[float]], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of that median."""
    draws = random.Random(seed)
    found = sorted(overhead_percent([draws.choice(pairs) for _ in pairs]) for _ in range(_RESAMPLES))
    return found[int(0.025 * _RESAMPLES)], found[int(0.975 * _RESAMPLES) - 1]


def judge(measured: Json) -> list[Check]:
    """Less than one per cent, answered whole and streamed, and enough pairs to be sure of it."""
    checks = []
    for name in ("whole", "streamed"):
        pairs: Any = measured[name]
        found = overhead_percent(pairs)
        low, high = interval(pairs)
        words = f"overhead with answers {name}, % ({len(pairs)} pairs)"
        checks.append(Check(words, found, f"below {_MOST_PERCENT}", found < _MOST_PERCENT))
        settled = high < _MOST_PERCENT
        checks.append(Check(f"95 % interval of it, answers {name}", [low, high], f"below {_MOST_PERCENT}", settled))
    return checks
