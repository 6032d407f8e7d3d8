"""Runs several policies on the same traffic, seed by seed, against the clairvoyant's cost of that seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from batchedllm.sim.fleet.autoscaler import Autoscaler
from batchedllm.sim.fleet.capacity import Capacity, capacity_of
from batchedllm.sim.fleet.clairvoyant import Clairvoyant, clairvoyant
from batchedllm.sim.fleet.fixed import Fixed
from batchedllm.sim.fleet.plans import Plan
from batchedllm.sim.fleet.score import Score
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.fleet.simulation import simulate
from batchedllm.sim.judge.figures import Figures, Judged, figures
from batchedllm.sim.policies.registry import Case, case_of
from batchedllm.sim.traces.scaling import cut_to
from batchedllm.sim.traces.trace import Trace

START_UTILIZATION: Final = 0.7
"""Share of the measured capacity that the fleet starts with: right-sized for the first two minutes, with some room."""

MakeTrace = Callable[[int], Trace]
"""Traffic by seed: copies and generated arrivals differ, requests as they were recorded do not."""
MakePolicy = Callable[[Case], Autoscaler]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A policy and the fleet that it runs."""

    make: MakePolicy
    settings: FleetSettings


@dataclass(frozen=True, slots=True)
class Ran:
    """One run."""

    name: str
    seed: int
    trace: Trace
    score: Score
    best: Clairvoyant
    figures: Figures


def compared(
    make_trace: MakeTrace, contestants: Mapping[str, Contestant], settings: FleetSettings, seeds: int
) -> Iterator[Ran]:
    """Run every contestant with the seeds 1, 2, ...; `settings` are those of the clairvoyant."""
    hint: Plan | None = None
    capacity: Capacity | None = None
    for seed in range(1, seeds + 1):
        trace = make_trace(seed)
        capacity = capacity or capacity_of(trace, settings, seed)
        best = clairvoyant(trace, settings, seed, hint)
        hint = hint or best.plan
        case = case_of(trace, settings, capacity)
        scores = {name: run_one(trace, contestant, case, seed) for name, contestant in contestants.items()}
        best = cheapest([best, *(followed(score) for score in scores.values())])
        for name, score in scores.items():
            yield Ran(name, seed, trace, score, best, figures(score, best.score.replica_hours))


def followed(score: Score) -> Clairvoyant:
    """Return what a policy did as a plan: who knows the future could have done the same at the same times."""
    return Clairvoyant(tuple(sample.ready for sample in score.samples), score)


def cheapest(plans: Sequence[Clairvoyant]) -> Clairvoyant:
    """Return the cheapest plan that serves 99 %, the first where none does: so no policy that does has a K below 1."""
    enough = [plan for plan in plans if plan.is_enough]
    return min(enough, key=lambda plan: plan.score.replica_hours) if enough else plans[0]


def judged(runs: list[Ran]) -> dict[str, Judged]:
    """Put the runs of each policy together, in the order in which they came."""
    names = dict.fromkeys(run.name for run in runs)
    return {name: Judged(tuple(run.figures for run in runs if run.name == name)) for name in names}


def start_of(trace: Trace, settings: FleetSettings, tokens_per_second: float) -> int:
    """Return the replicas for the traffic of the time in which the start is held."""
    seconds = min(settings.hold_seconds, trace.duration_seconds)
    first = cut_to(trace, seconds).requests
    if seconds <= 0:
        return settings.min_replicas
    rate = sum(one.prompt_tokens + one.output_tokens for one in first) / seconds
    return settings.bounded(ceil(rate / (START_UTILIZATION * tokens_per_second)))


def run_one(trace: Trace, contestant: Contestant, case: Case, seed: int) -> Score:
    """Run one contestant from the start that is right for it: a fixed fleet is there from the beginning."""
    autoscaler, settings = contestant.make(case), contestant.settings
    if isinstance(autoscaler, Fixed):
        start = settings.bounded(autoscaler.replicas)
    else:
        start = start_of(trace, settings, case.profile.tokens_per_second)
    return simulate(trace, autoscaler, replace(settings, start_replicas=start), seed)
