"""Fleets that say anything: strategies for what scaling is told, wrong, missing or contradicting itself."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random
from typing import Final

from hypothesis import strategies as st

from batchedllm.api.scaling import (
    GpuPowerSignal,
    GpuUtilizationSignal,
    KvCacheUsageSignal,
    PastDemandSignal,
    QueueDepthSignal,
    ScaleDown,
    ScaleUp,
    Scaling,
    Signals,
    TokenRateSignal,
)
from batchedllm.core.readings import FleetLoad, LatencyHistogram, PodReading
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.schedule import Bounds
from imagined_pods import ImaginedPod

ANY_NUMBER = st.one_of(
    st.none(),
    st.floats(0, 1e6),
    st.sampled_from([0.0, 1.0, 1e-300, 1e300, math.inf, -1.0, math.nan]),
)
PODS = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, max_size=3).map(tuple)

COUNTERS: Final = (
    "prompt_tokens_total",
    "generation_tokens_total",
    "rejections_total",
    "finished_total",
    "step_seconds_total",
    "step_tokens_total",
)
POISON: Final = (None, 0.0, -1.0, 1e12, 1e300, math.inf, math.nan)


@st.composite
def policies(draw, lowest: int = 1) -> Scaling:
    low = draw(st.integers(lowest, 20))
    roles = st.sampled_from(["scale", "off"])
    return Scaling(
        mode=draw(st.sampled_from(["auto", "recommend"])),
        min_replicas=low,
        max_replicas=draw(st.integers(max(1, low), 40)),
        idle_seconds=draw(st.integers(10, 300)),
        signals=Signals(
            queue_depth=QueueDepthSignal(per_replica=draw(st.integers(1, 100)), drain_seconds=draw(st.integers(1, 60))),
            token_rate=TokenRateSignal(target=draw(st.integers(10, 100)), role=draw(roles)),
            past_demand=PastDemandSignal(role=draw(roles)),
            kv_cache_usage=KvCacheUsageSignal(target=draw(st.integers(10, 100)), role=draw(roles)),
            gpu_utilization=GpuUtilizationSignal(
                target=draw(st.integers(1, 100)), role=draw(st.sampled_from(["guard", "target", "off"]))
            ),
            gpu_power=draw(st.none() | st.integers(1, 10_000).map(lambda watts: GpuPowerSignal(target_watts=watts))),
        ),
        scale_up=ScaleUp(
            max_step=draw(st.integers(1, 10)),
            period_seconds=draw(st.integers(1, 60)),
            stabilization_seconds=draw(st.integers(0, 60)),
        ),
        scale_down=ScaleDown(
            max_step=draw(st.one_of(st.none(), st.integers(1, 10))),
            period_seconds=draw(st.integers(1, 60)),
            stabilization_seconds=draw(st.one_of(st.none(), st.integers(0, 120))),
        ),
    )


@st.composite
def objectives(draw) -> Objective:
    return Objective(
        ttft_seconds=draw(st.sampled_from([0.001, 0.5, 2.0, 60.0])),
        ttft_seconds_per_token=draw(st.sampled_from([0.0, 0.0005, 1.0])),
        itl_seconds=draw(st.sampled_from([0.001, 0.2, 10.0])),
        attainment=draw(st.integers(50, 99)) / 100,
    )


@st.composite
def bounds(draw, policy: Scaling) -> Bounds | None:
    """What a schedule may make of the policy's bounds at some time."""
    if draw(st.booleans()):
        return None
    low = draw(st.integers(0, 20))
    high = draw(st.integers(max(1, low), 40))
    return Bounds(low, high, "schedule:some", "schedule:some", draw(st.one_of(st.none(), st.floats(0.1, 1e5))))


@st.composite
def loads(draw) -> FleetLoad | None:
    """Any numbers, contradicting each other."""
    if draw(st.integers(0, 9)) == 0:
        return None
    return FleetLoad(
        reporting_replicas=draw(st.integers(0, 40)),
        silent_pods=draw(st.one_of(st.just(()), PODS)),
        queue_depth_total=draw(ANY_NUMBER),
        running_total=draw(ANY_NUMBER),
        kv_cache_usage_fraction_mean=draw(st.one_of(st.none(), st.floats(0, 1))),
        gpu_utilization_percent_mean=draw(st.one_of(st.none(), st.floats(0, 100))),
        gpu_power_watts_mean=draw(ANY_NUMBER),
        tokens_per_second_total=draw(ANY_NUMBER),
        no_gpu_metrics=draw(st.booleans()),
        stalled_pods=draw(st.one_of(st.just(()), PODS)),
        full_batch=draw(st.one_of(st.none(), st.floats(0, 1e4))),
        running_max=draw(st.one_of(st.none(), st.floats(0, 1e4))),
    )


def _with_poison(reading: PodReading, chance: Random) -> PodReading:
    return replace(reading, **{chance.choice(COUNTERS): chance.choice(POISON)})


def _with_absurd_queue(reading: PodReading, chance: Random) -> PodReading:
    return replace(reading, **{chance.choice(("queue_depth", "running")): chance.choice(POISON)})


def _with_poisoned_histogram(reading: PodReading, chance: Random) -> PodReading:
    name = chance.choice(("time_to_first_token", "time_per_output_token"))
    bounds_seconds = tuple(sorted(chance.uniform(0, 60) for _ in range(chance.randrange(5))))
    below = tuple(chance.choice((0.0, 5.0, *POISON[1:])) for _ in range(len(bounds_seconds) + 1))
    return replace(reading, **{name: chance.choice((None, LatencyHistogram(bounds_seconds, below)))})


def _restarted(reading: PodReading, chance: Random) -> PodReading:
    return replace(ImaginedPod(reading.pod).reading, at_seconds=reading.at_seconds)


def _read_before(reading: PodReading, chance: Random) -> PodReading:
    return replace(reading, at_seconds=reading.at_seconds - chance.choice((2.0, 60.0, 1e6)))


LIES: Final[tuple[Callable[[PodReading, Random], PodReading], ...]] = (
    _with_poison,
    _with_absurd_queue,
    _with_poisoned_histogram,
    _restarted,
    _read_before,
)


@dataclass
class LyingFleet:
    """Pods that come and go, work at random, and every third time say something that is not so."""

    chance: Random
    most_pods: int = 4
    pods: dict[str, ImaginedPod] = field(default_factory=dict)
    made: int = 0

    def readings(self, at_seconds: float) -> tuple[PodReading, ...]:
        while len(self.pods) < self.most_pods:
            self.made += 1
            name = f"pod-{self.made}"
            self.pods[name] = ImaginedPod(name)
        found = tuple(self._read(pod, at_seconds) for pod in islice(self.pods.values(), self.chance.randrange(5)))
        if self.chance.random() < 0.1:
            del self.pods[self.chance.choice(tuple(self.pods))]
        return found

    def _read(self, pod: ImaginedPod, at_seconds: float) -> PodReading:
        chance = self.chance
        reading = pod.did(
            at_seconds,
            finished=chance.choice((0, 1, 20, 1000)),
            prompt_tokens=chance.choice((1, 1000, 100_000)),
            output_tokens=chance.choice((0, 200, 10_000)),
            ttft_seconds=chance.choice((0.1, 3.0, 1000.0)),
            tpot_seconds=chance.choice((0.01, 1.0)),
            queued=chance.choice((0, 3, 500)),
            running=chance.choice((0, 30, 256)),
            step_seconds=chance.choice((0.0, 0.005, 0.1, 9.0)),
            rejected=chance.choice((0, 0, 50)),
        )
        return chance.choice(LIES)(reading, chance) if chance.random() < 0.3 else reading
