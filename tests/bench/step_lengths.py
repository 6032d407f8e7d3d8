"""How busy a simulated replica is, beside what its steps let conclude of it: for the two answers of `busyness`.

    PYTHONPATH=$(.venv/bin/python tests/bench/compiled.py):tests .venv/bin/python -m bench.step_lengths

One replica, five minutes of each kind of traffic at parts of what it holds within the SLO. The fastest step is that of
the least load, so that nothing here is due to a fleet that never had little to do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random
from typing import Final, NamedTuple

from batchedllm.core.readings import PodReading
from batchedllm.core.scaling.busyness import busyness
from batchedllm.sim.fleet.autoscaler import Seen
from batchedllm.sim.fleet.capacity import capacity_of
from batchedllm.sim.fleet.simulation import simulate
from batchedllm.sim.traces.trace import Trace
from bench.other_traffic import CHAT, LONG_PROMPTS, REASONING, Size, arrivals
from bench.scaling.cases import SETTINGS

KINDS: Final = {
    "chat": CHAT,
    "answers of 1,200 tokens": REASONING,
    "prompts of 6,000 tokens": LONG_PROMPTS,
    "128 and 128 tokens": Size((128, 0.1, 300), (128, 0.1, 300)),
    "code completion": Size((1_500, 1.0, 7_000), (15, 0.6, 100)),
}
LOADS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SECONDS: Final = 400.0
SETTLED_SECONDS: Final = 100.0
SEED: Final = 3
ONE: Final = replace(SETTINGS, max_replicas=1, hold_seconds=0.0)


class Work(NamedTuple):
    """What the replica did at one load."""

    step_seconds: float
    tokens_per_second: float
    gpu_utilization_percent: float


class Watching:
    """A policy that keeps the one replica and its readings."""

    interval_seconds = 2.0

    def __init__(self) -> None:
        self.readings = list[PodReading]()

    def want(self, seen: Seen) -> int:
        """Return one."""
        self.readings += seen.readings
        return 1


def trace_of(size: Size, per_second: float) -> Trace:
    """Return steady traffic."""
    requests = arrivals(lambda _: per_second, size, Random(SEED))
    return Trace("steady", tuple(one for one in requests if one.offset_seconds < SECONDS))


def work_of(size: Size, per_second: float) -> Work:
    """Run it, and return what was done once it had settled."""
    watching = Watching()
    simulate(trace_of(size, per_second), watching, ONE, SEED)
    kept = [one for one in watching.readings if SETTLED_SECONDS <= one.at_seconds < SECONDS]
    utilization = [one.gpu_utilization_percent or 0.0 for one in kept]
    steps, seconds, tokens = (sum(values) for values in zip(*_differences(kept), strict=True))
    return Work(seconds / max(1.0, steps), tokens / (SECONDS - SETTLED_SECONDS), sum(utilization) / len(utilization))


def _differences(readings: Sequence[PodReading]) -> Iterator[tuple[float, float, float]]:
    """Yield what was done between readings: tokens of steps, their seconds, and all tokens."""
    for old, new in pairwise(readings):
        differ = partial(_grown, old, new)
        yield (
            differ("step_tokens_total"),
            differ("step_seconds_total"),
            differ("prompt_tokens_total") + differ("generation_tokens_total"),
        )


def _grown(old: PodReading, new: PodReading, counter: str) -> float:
    return float(getattr(new, counter)) - float(getattr(old, counter))


def main() -> None:
    """Print a table for each kind of traffic."""
    for name, size in KINDS.items():
        holds = capacity_of(trace_of(size, 20.0), replace(SETTINGS, max_replicas=64), 1)
        done = [work_of(size, part * holds.requests_per_second) for part in LOADS]
        fastest = done[0]
        print(f"\n{name}: a replica holds {holds.tokens_per_second:,.0f} tokens/s\n")
        print("| load | step ms | by a queue's law | likely | GPU % |\n| ---: | ---: | ---: | ---: | ---: |")
        for one in done:
            share = fastest.tokens_per_second / one.tokens_per_second
            found = busyness(one.step_seconds, fastest.step_seconds, share)
            load = one.tokens_per_second / holds.tokens_per_second
            row = (f"{load:.2f}", f"{1000 * one.step_seconds:.1f}", f"{found.slowed:.2f}", f"{found.likely:.2f}")
            print(f"| {' | '.join(row)} | {one.gpu_utilization_percent:.0f} |")


if __name__ == "__main__":
    main()
