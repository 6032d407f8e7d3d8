"""Policies that know what an inference engine is: llm-d's, NVIDIA Dynamo's, and token rate against capacity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Final

from batchedllm.core.readings import PodReading
from batchedllm.sim.fleet.autoscaler import Arrived, Seen
from batchedllm.sim.policies.peer import Peer, Profile, Samples, remembered

_ROUNDING: Final = 1e-9
SCRAPE_SECONDS: Final = 2.0

# -- llm-d Workload-Variant-Autoscaler, V1 (saturation) and V2 (tokens)

WVA_TICK_SECONDS: Final = 60.0
WVA_KV_LIMIT: Final = 0.80
WVA_QUEUE_LIMIT: Final = 5.0
WVA_KV_SPARE: Final = 0.10
WVA_QUEUE_SPARE: Final = 3.0
WVA_UP: Final = 0.85
WVA_DOWN: Final = 0.70
WVA_SIGHTINGS: Final = 10


def wva_saturation(held: Sequence[tuple[float, float]], kv_spare: float = WVA_KV_SPARE) -> int:
    """Return by how many replicas to change, from the KV usage and the queue of each ready one.

    One more where spare KV or queue is short, one less where both would stay enough.
    """
    free = [(kv, queue) for kv, queue in held if kv < WVA_KV_LIMIT and queue < WVA_QUEUE_LIMIT]
    if not free:
        return 1
    count = len(free)
    kv, queue = sum(one for one, _ in free) / count, sum(one for _, one in free) / count
    if WVA_KV_LIMIT - kv < kv_spare or WVA_QUEUE_LIMIT - queue < WVA_QUEUE_SPARE:
        return 1
    grown = count / (count - 1) if count > 1 else 0.0
    enough = WVA_KV_LIMIT - kv * grown >= kv_spare and WVA_QUEUE_LIMIT - queue * grown >= WVA_QUEUE_SPARE
    return -1 if count > 1 and enough else 0


@dataclass(frozen=True, slots=True)
class WvaPeaks:
    """Highest KV usage and queue of each pod since the last decision."""

    since: float = 0.0
    by_pod: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def with_readings(self, readings: tuple[PodReading, ...]) -> Mapping[str, tuple[float, float]]:
        """Return them with new readings."""
        peaks = dict(self.by_pod)
        for one in readings:
            kv, queue = peaks.get(one.pod, (0.0, 0.0))
            peaks[one.pod] = (max(kv, one.kv_cache_usage_fraction or 0.0), max(queue, one.queue_depth or 0.0))
        return peaks


def wva_v1(kv_spare: float = WVA_KV_SPARE) -> Peer[WvaPeaks]:
    """Return V1: one replica at a time, none while one is starting; by the peaks of the last minute."""

    def step(memory: WvaPeaks, seen: Seen) -> tuple[int, WvaPeaks]:
        peaks = memory.with_readings(seen.readings)
        if seen.now_seconds < memory.since + WVA_TICK_SECONDS:
            return seen.wanted, WvaPeaks(memory.since, peaks)
        held = [peaks[one.pod] for one in seen.readings]
        change = wva_saturation(held, kv_spare) if len(seen.ready_pods) == seen.wanted else 0
        return seen.wanted + change, WvaPeaks(seen.now_seconds)

    return Peer(SCRAPE_SECONDS, WvaPeaks(), step)


def wva_v2(profile: Profile, prompt_tokens: float, output_tokens: float, up: float = WVA_UP) -> Peer[tuple[float, ...]]:
    """Return V2: tokens in the KV cache and in the queues against what the replicas hold.

    A replica holds 0.8 of its cache, or what was seen in use while a queue of five or more lasted (mean of the last ten
    times), or, before that was seen, what its batch holds. That the sightings are kept by length of answer is left
    out: a trace's mean length is one.
    """
    batch = min(
        profile.max_num_batched_tokens * output_tokens / (prompt_tokens + output_tokens), float(profile.max_num_seqs)
    )
    by_batch = batch * (prompt_tokens + output_tokens / 2)

    def step(sightings: tuple[float, ...], seen: Seen) -> tuple[int, tuple[float, ...]]:
        sightings = (*sightings, *wva_sightings(seen.readings, profile.kv_cache_tokens))[-WVA_SIGHTINGS:]
        by_compute = sum(sightings) / len(sightings) if sightings else by_batch
        capacity = min(WVA_KV_LIMIT * profile.kv_cache_tokens, by_compute)
        held = seen.total("kv_cache_usage_fraction") * profile.kv_cache_tokens
        demand = held + seen.total("queue_depth") * prompt_tokens
        return wva_tokens(seen.wanted, len(seen.ready_pods), demand, capacity, up), sightings

    return Peer(WVA_TICK_SECONDS, (), step)


def wva_sightings(readings: tuple[PodReading, ...], kv_cache_tokens: int) -> list[float]:
    """Return the tokens in use of the replicas that have a queue: what they can compute at a time."""
    return [
        reading.kv_cache_usage_fraction * kv_cache_tokens
        for reading in readings
        if reading.kv_cache_usage_fraction and (reading.queue_depth or 0.0) >= WVA_QUEUE_LIMIT
    ]


def wva_tokens(wanted: int, ready: int, demand: float, capacity: float, up: float = WVA_UP) -> int:
    """Return what V2 asks for: demand at 85 % of ready and pending supply, removal at 70 % of the ready one.

    Where the threshold for more is another one, that for removal stays in proportion.
    """
    required = demand / up - wanted * capacity
    if required > 0:
        return wanted + ceil(required / capacity - _ROUNDING)
    spare = ready * capacity - demand / (WVA_DOWN * up / WVA_UP)
    return wanted - max(0, floor(spare / capacity + _ROUNDING))


# -- NVIDIA Dynamo planner

DYNAMO_THROUGHPUT_SECONDS: Final = 180.0
DYNAMO_LOAD_SECONDS: Final = 5.0
DYNAMO_LOAD_UP: Final = 1.0
DYNAMO_LOAD_DOWN: Final = 0.6


def dynamo_throughput(profile: Profile, utilization: float = 1.0) -> Peer[Arrived]:
    """Return the throughput mode with a constant predictor: the last interval's tokens over a replica's best rate."""

    def step(before: Arrived, seen: Seen) -> tuple[int, Arrived]:
        now = seen.arrived
        tokens = now.prompt_tokens + now.output_tokens - before.prompt_tokens - before.output_tokens
        rate = tokens / DYNAMO_THROUGHPUT_SECONDS
        return ceil(rate / (utilization * profile.tokens_per_second) - _ROUNDING), now

    return Peer(DYNAMO_THROUGHPUT_SECONDS, Arrived(), step)


def dynamo_load(profile: Profile, prompt_tokens: float, up: float = DYNAMO_LOAD_UP) -> Peer[None]:
    """Return the load mode, easy thresholds: scheduled and queued tokens against the KV cache, one replica a time."""

    def step(_memory: None, seen: Seen) -> tuple[int, None]:
        if len(seen.ready_pods) != seen.wanted or not seen.readings:
            return seen.wanted, None
        loads = [
            (reading.kv_cache_usage_fraction or 0.0)
            + (reading.queue_depth or 0.0) * prompt_tokens / profile.kv_cache_tokens
            for reading in seen.readings
        ]
        return seen.wanted + dynamo_easy(loads, up), None

    return Peer(DYNAMO_LOAD_SECONDS, None, step)


def dynamo_easy(loads: list[float], up: float = DYNAMO_LOAD_UP) -> int:
    """Return +1 if all engines are above 1.0 of their cache, -1 if all stay below 0.6 on one replica less.

    Where the threshold for more is another one, that for removal stays in proportion.
    """
    if min(loads) > up:
        return 1
    grown = len(loads) / (len(loads) - 1) if len(loads) > 1 else 0.0
    return -1 if grown and max(loads) * grown < DYNAMO_LOAD_DOWN * up / DYNAMO_LOAD_UP else 0


# -- Token rate against a given capacity

RATE_WINDOWS_SECONDS: Final = (30.0, 120.0, 600.0)
RATE_HOLD_SECONDS: Final = 300.0
RATE_DRAIN_SECONDS: Final = 90.0
RATE_QUEUE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class RateMemory:
    """Tokens that had arrived by past moments, and past wishes."""

    arrived: Samples = ((0.0, 0.0),)
    wishes: Samples = ()


def token_rate(profile: Profile, utilization: float, hold_seconds: float = RATE_HOLD_SECONDS) -> Peer[RateMemory]:
    """Return `ceil((rate + excess queue / drain time) / (capacity * utilization))`, held for 300 s.

    The rate is the highest over 30, 120 and 600 s. Nobody's product: what is best with a capacity that is given.
    """
    capacity = profile.tokens_per_second

    def step(memory: RateMemory, seen: Seen) -> tuple[int, RateMemory]:
        now = seen.now_seconds
        tokens = float(seen.arrived.prompt_tokens + seen.arrived.output_tokens)
        arrived = remembered(memory.arrived, now, tokens, RATE_WINDOWS_SECONDS[-1] + 2)
        queued = seen.total("queue_depth") * tokens / max(1, seen.arrived.requests)
        excess = max(0.0, queued - RATE_QUEUE_SECONDS * capacity * max(1, len(seen.ready_pods)))
        rate = max(_rate(arrived, now, window) for window in RATE_WINDOWS_SECONDS)
        wish = ceil((rate + excess / RATE_DRAIN_SECONDS) / (capacity * utilization) - _ROUNDING)
        wishes = remembered(memory.wishes, now, wish, hold_seconds)
        return max(int(value) for _, value in wishes), RateMemory(arrived, wishes)

    return Peer(SCRAPE_SECONDS, RateMemory(), step)


def _rate(arrived: Samples, now: float, window: float) -> float:
    at, tokens = next(sample for sample in arrived if sample[0] >= now - window)
    return (arrived[-1][1] - tokens) / (now - at) if now > at else 0.0
