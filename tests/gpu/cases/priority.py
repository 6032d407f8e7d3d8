"""Priorities under twice the load that fits: the high class hardly waits, the low class is turned away in order."""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from gpu import traffic
from gpu.cases import fleet
from gpu.results import Check
from gpu.scene import Json, Scene, resource
from gpu.traffic import Outcome, Request

LEAST_SECONDS = 85
NAME = "classes"
_BATCH = 32
_LOW_RUNNING = 8
"""What the low class may have under way: its requests share the engine's steps with those of the high class."""
_HIGH_SIZES, _LOW_SIZES = (1024, 64), (256, 256)
_HIGH_RATE = 3.0
_CAPACITY_SECONDS = 10.0
_FACTOR = 1.2
_OVERLOAD = 2.0


def document(scene: Scene) -> Json:
    """Return the BatchedLLM for this scene's GPU."""
    described = None if scene.inspects else f"model-{fleet.MODEL}"
    low = {"rank": 10, "default": True, "maxRunningRequests": _LOW_RUNNING, "maxQueueSeconds": 5}
    return resource(
        NAME,
        fleet.MODEL,
        described_by=described,
        memory={"gpuUtilization": scene.utilization(32), "kvCacheMemory": "8Gi"},
        batching={"maxModelLen": fleet.LENGTH, "maxNumSeqs": _BATCH, "maxNumBatchedTokens": 2048},
        priority={"classes": [{"name": "high", "rank": -10}, {"name": "low", **low}]},
        admission={"maxQueuedRequests": 64, "maxRunningRequests": _BATCH},
        scaling={"minReplicas": 1, "maxReplicas": 1},
    )


def run(scene: Scene, measured: Json) -> None:
    """The low class alone to see what fits, the high class alone, then both: the high one's arrivals are the same.

    The low class's clients are a process of their own: what is measured of the high one is not their work as well.
    """
    seconds = 35.0 if scene.gpu else 10.0
    high = traffic.steady(_HIGH_RATE if scene.gpu else 0.5, seconds, _HIGH_SIZES, "high", 1)
    context = multiprocessing.get_context("spawn")
    with scene.serving(document(scene)), ProcessPoolExecutor(1, mp_context=context) as elsewhere:
        address = scene.address(NAME)
        scene.wait(lambda: scene.status(NAME).get("readyReplicas"), "the first replica told", 20)
        warm, capacity = elsewhere.submit(_capacity, address).result(timeout=120)
        alone = _played(address, high, 1)
        low = traffic.steady(_OVERLOAD * capacity, seconds, _LOW_SIZES, "low", 3)
        beside = elsewhere.submit(_played, address, low, 2)
        both = _played(address, high, 3) + beside.result(timeout=seconds + 120)
    shed = [one for one in both if one.shed]
    measured |= {
        "lowRunning": _LOW_RUNNING,
        "warm": fleet.summed(warm),
        "capacityRequestsPerSecond": capacity,
        "highRequestsPerSecond": len(high) / seconds,
        "lowRequestsPerSecond": len(low) / seconds,
        "overload": _OVERLOAD,
        "alone": fleet.summed(alone),
        "high": fleet.summed([one for one in both if one.kind == "high"]),
        "low": fleet.summed([one for one in both if one.kind == "low"]),
        "shedStatuses": sorted({one.status for one in shed}),
        "shedWithoutRetryAfter": sum(not one.retry_after for one in shed),
        "shedOfHigh": sum(one.kind == "high" for one in shed),
    }


def _capacity(address: str) -> tuple[list[Outcome], float]:
    """Return how many requests of the low class a second are answered with as many under way as it may have."""
    found = asyncio.run(traffic.hold(address, fleet.MODEL, _LOW_RUNNING, _CAPACITY_SECONDS, _LOW_SIZES))
    last = max((one.at_seconds + one.total_seconds for one in found), default=1.0)
    return found, sum(one.served for one in found) / max(_CAPACITY_SECONDS, last)


def _played(address: str, planned: list[Request], seed: int) -> list[Outcome]:
    found: list[Outcome] = []
    asyncio.run(traffic.play(address, fleet.MODEL, planned, found.append, seed))
    return found


def judge(measured: Json) -> list[Check]:
    """The high class's p99 stays, and whoever of the low class is turned away is told when to come back."""
    before, after = (measured[name]["ttftSeconds"]["p99"] for name in ("alone", "high"))
    ratio = after / before if before and after else None
    low = measured["low"]
    return [
        Check(
            "p99 time to first token of the high class, loaded over alone",
            ratio,
            f"at most {_FACTOR}",
            ratio is not None and ratio <= _FACTOR,
        ),
        Check(
            "high requests turned away or failed",
            [measured["shedOfHigh"], measured["high"]["failures"]],
            "none",
            measured["shedOfHigh"] == 0 and not measured["high"]["failures"],
        ),
        Check("low requests turned away", low["shed"], "more than 0", low["shed"] > 0),
        Check(
            "of them without Retry-After",
            measured["shedWithoutRetryAfter"],
            "0",
            measured["shedWithoutRetryAfter"] == 0,
        ),
        Check("low requests that failed otherwise", low["failures"], "none", not low["failures"]),
        Check("low requests served", low["served"], "more than 0", low["served"] > 0),
    ]
