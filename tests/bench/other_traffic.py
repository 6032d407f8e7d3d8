"""Traffic that nothing was tuned on: ours beside peers with their defaults.

    PYTHONPATH=$(.venv/bin/python tests/bench/compiled.py):tests .venv/bin/python -m bench.other_traffic

An hour each of what the judge's traces do not have: requests that come and go, saw teeth, a load that ends, a working
day within the hour, answers of thousands of tokens, long prompts, gaps that are far from Poisson's, one flash, one in
an hour of silence, jobs that send all at once. Simulator, start and clairvoyant are the judge's.
"""

import argparse
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import log, pi, sin
from random import Random
from typing import Final

from batchedllm.sim.judge.comparison import Contestant, compared
from batchedllm.sim.judge.figures import Figures
from batchedllm.sim.policies.registry import policy
from batchedllm.sim.traces.trace import Trace
from batchedllm.sim.workload import TraceRequest
from bench.scaling.cases import World
from bench.scaling.tasks import OWN, own

SECONDS: Final = 3600
SEED: Final = 7
STARTUPS: Final = (60, 240)
PEERS: Final = ("kubeai", "aibrix-apa", "dynamo-throughput", "token-rate-70", "static-peak")


@dataclass(frozen=True, slots=True)
class Played:
    """One kind of traffic at one start-up."""

    name: str
    startup_seconds: int
    figures: Mapping[str, Figures]
    """By policy."""


Length = tuple[float, float, int]
"""Median, standard deviation of the logarithm, most."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long prompts and answers are, in tokens."""

    prompt: Length
    answer: Length

    def request(self, at: float, chance: Random) -> TraceRequest:
        """Return one that comes at a second."""
        return TraceRequest(at, _length(self.prompt, chance), _length(self.answer, chance))


CHAT: Final = Size((600, 1.0, 6_000), (200, 0.7, 1_000))
REASONING: Final = Size((150, 0.8, 2_000), (1_200, 0.6, 4_000))
LONG_PROMPTS: Final = Size((6_000, 0.9, 30_000), (250, 0.6, 1_000))


def _length(length: Length, chance: Random) -> int:
    median, deviation, most = length
    return min(most, max(1, round(chance.lognormvariate(log(median), deviation))))


def arrivals(rate: Callable[[float], float], size: Size, chance: Random) -> Iterator[TraceRequest]:
    """Yield requests at a rate per second that changes (Lewis and Shedler's thinning)."""
    highest, at = max(map(rate, range(SECONDS))), 0.0
    while (at := at + chance.expovariate(highest)) < SECONDS:
        if chance.random() * highest < rate(at):
            yield size.request(at, chance)


def clumped(per_second: float, shape: float, chance: Random) -> Iterator[TraceRequest]:
    """Yield requests whose gaps are gamma distributed: their squared variation is one over the shape."""
    at = 0.0
    while (at := at + chance.gammavariate(shape, 1 / (shape * per_second))) < SECONDS:
        yield CHAT.request(at, chance)


def day(at: float) -> float:
    """Return the requests per second of a day within the hour: a night, and work from seven to seven with a break."""
    hour = 24 * at / SECONDS
    work = max(0.0, sin(pi * (hour - 7) / 12)) * (0.55 if 12 <= hour < 13 else 1.0)
    return 6 + 90 * work


def jobs(chance: Random) -> Iterator[TraceRequest]:
    """Yield chats, and every seven minutes or so 900 requests within five seconds."""
    yield from arrivals(lambda _: 6.0, CHAT, chance)
    for begins in range(200, SECONDS, 420):
        at = begins + chance.uniform(-60, 60)
        yield from (CHAT.request(at + chance.uniform(0, 5), chance) for _ in range(900))


def flash_in_silence(chance: Random) -> Iterator[TraceRequest]:
    """Yield two minutes of chats after twenty in which nobody comes, and one chat at the end of the hour."""
    yield from arrivals(lambda at: 60.0 if 1200 <= at < 1320 else 0.0, CHAT, chance)
    yield CHAT.request(SECONDS - 1.0, chance)


TRAFFIC: Final[Mapping[str, Callable[[Random], Iterator[TraceRequest]]]] = {
    "five minutes of 30/s in each fifteen": partial(arrivals, lambda at: 30.0 if at % 900 < 300 else 1.5, CHAT),
    "saw teeth, 3 to 75/s in 15 minutes": partial(arrivals, lambda at: 3 + 72 * (at % 900) / 900, CHAT),
    "75/s, then 12/s": partial(arrivals, lambda at: 75.0 if at < SECONDS / 2 else 12.0, CHAT),
    "a working day within the hour": partial(arrivals, day, CHAT),
    "answers of 1,200 tokens, 3 to 15/s": partial(arrivals, lambda at: 3 + 12 * at / SECONDS, REASONING),
    "prompts of 6,000 tokens, 2 to 10/s": partial(
        arrivals, lambda at: 6 + 4.5 * sin(2 * pi * at / SECONDS), LONG_PROMPTS
    ),
    "gaps of gamma 0.08, 18/s": partial(clumped, 18.0, 0.08),
    "9/s, once 90/s for three minutes": partial(arrivals, lambda at: 90.0 if 1800 <= at < 1980 else 9.0, CHAT),
    "nothing, once 60/s for two minutes": flash_in_silence,
    "6/s, and jobs of 900 requests": jobs,
}


def trace_of(name: str, _seed: int = SEED) -> Trace:
    """Return the requests of a kind of traffic."""
    return Trace(name, tuple(sorted(TRAFFIC[name](Random(SEED)), key=lambda one: one.offset_seconds)))


def run(case: tuple[str, int]) -> Played:
    """Play one kind of traffic at one start-up, by every policy."""
    name, startup_seconds = case
    world = World(name, "whole", startup_seconds)
    runs = compared(partial(trace_of, name), contestants(world), world.settings, seeds=1)
    return Played(name, startup_seconds, {one.name: one.figures for one in runs})


def contestants(world: World) -> dict[str, Contestant]:
    """Return ours, with the defaults of the resource, and the peers with theirs."""
    settings = world.settings
    ours = Contestant(lambda case: own(world, "", case.profile.tokens_per_second), settings)
    return {OWN: ours, **{name: Contestant(partial(policy, name), settings) for name in PEERS}}


def table(found: Sequence[Played]) -> str:
    """Return A / K of each."""
    names = [OWN, *PEERS]
    rows = [f"| A / K | start-up s | **{OWN}** | {' | '.join(PEERS)} |", "| --- |" + " ---: |" * (len(names) + 1)]
    for one in found:
        cells = [f"{one.figures[name]['A']:.3f} / {one.figures[name]['K']:.2f}" for name in names]
        rows.append(f"| {one.name} | {one.startup_seconds} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Run all, two at a time, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=TRAFFIC)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    cases = [(name, startup_seconds) for name in options.only or TRAFFIC for startup_seconds in STARTUPS]
    print(table([]), flush=True)
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for done in pool.imap(run, cases):
            print(table([done]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
