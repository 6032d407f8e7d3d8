"""One run of the judge: a policy in a world."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from batchedllm.api.scaling import Scaling
from batchedllm.core.scaling.capacity import SAMPLES_FULL
from batchedllm.core.scaling.capacity import Capacity as LearnedCapacity
from batchedllm.core.scaling.experience import Experience
from batchedllm.core.scaling.types import Fleet, Memory, ScalingState
from batchedllm.sim.fleet.autoscaler import Autoscaler
from batchedllm.sim.fleet.capacity import Capacity, capacity_of
from batchedllm.sim.fleet.clairvoyant import clairvoyant
from batchedllm.sim.fleet.own_policy import OwnPolicy
from batchedllm.sim.judge.comparison import Contestant, run_one
from batchedllm.sim.judge.figures import figures
from batchedllm.sim.policies.reachable import Reactive, reachable
from batchedllm.sim.policies.registry import Case, case_of, policy
from bench.scaling.cases import World, traffic

OWN = "batchedllm"

VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "-without-queueDepth": {"signals": {"queueDepth": {"perReplica": 100_000}}},
    "-without-tokenRate": {"signals": {"tokenRate": {"role": "off"}}},
    "-without-pastDemand": {"signals": {"pastDemand": {"role": "off"}}},
    "-without-kvCacheUsage": {"signals": {"kvCacheUsage": {"role": "off"}}},
    "-without-gpuUtilization": {"signals": {"gpuUtilization": {"role": "off"}}},
    "-remembering-half": {},
    "-remembering-double": {},
    "-attaining-95": {},
    "-attaining-97": {},
    "-attaining-99": {},
}
"""Ours with something taken away or broken, by what is put behind its name: other fields of `spec.scaling`."""


WRONG_CAPACITY: Final = {"-remembering-half": 0.5, "-remembering-double": 2.0}
"""Variants that begin with the memory of another speed, so many times a replica's: what is seen has to unlearn it."""
OTHER_ATTAINMENT: Final = {"-attaining-95": 0.95, "-attaining-97": 0.97, "-attaining-99": 0.99}
"""Variants with another `spec.slo.attainment`: what it buys and costs."""


@dataclass(frozen=True, slots=True)
class Task:
    """A policy in a world. `policy` is ours, one of the registry's, `static:N`, or of `capacity`, `clairvoyant`.

    `knob` is the policy's default where it is None. `reactive` is for the policy `reachable` alone.
    """

    world: World
    policy: str
    knob: float | None = None
    reactive: Reactive | None = None

    @property
    def name(self) -> str:
        """All of it, in one line."""
        reactive = "" if self.reactive is None else f" {asdict(self.reactive)}"
        return f"{self.world.name} policy={self.policy} knob={self.knob}{reactive}"


def own(world: World, variant: str, tokens_per_second: float) -> OwnPolicy:
    """Return the operator's policy with the resource's defaults, but for maxReplicas and what a variant changes.

    `tokens_per_second` is what a replica holds in truth: only who is to remember it wrongly is told.
    """
    bounds = {"minReplicas": 1, "maxReplicas": world.settings.max_replicas}
    scaling = Scaling.model_validate(bounds | dict(VARIANTS[variant] if variant else {}))
    memory = Memory()
    if variant in WRONG_CAPACITY:
        speed = WRONG_CAPACITY[variant] * tokens_per_second
        capacity = LearnedCapacity(full_tokens_per_second=speed, full_samples=SAMPLES_FULL)
        memory = Memory(experience=Experience(capacity))
    state = ScalingState(scaling, Fleet(0, 0, 0), None, memory)
    if variant in OTHER_ATTAINMENT:
        state = replace(state, objective=replace(state.objective, attainment=OTHER_ATTAINMENT[variant]))
    return OwnPolicy(state, world.scrape_seconds, float(world.startup_seconds))


def _autoscaler(task: Task, case: Case) -> Autoscaler:
    if task.policy.startswith(OWN):
        return own(task.world, task.policy.removeprefix(OWN), case.profile.tokens_per_second)
    if task.reactive is not None:
        return reachable(case.profile, task.reactive)
    return policy(task.policy, case, task.knob)


def perform(task: Task, folder: Path, capacity: Capacity | None) -> dict[str, Any]:
    """Make the run and return its figures; everything but the capacity itself needs the capacity."""
    world = task.world
    trace, settings = traffic(folder, world), world.settings
    if capacity is None:
        return asdict(capacity_of(trace, settings, world.seed))
    if task.policy == "clairvoyant":
        best = clairvoyant(trace, settings, world.seed)
        return figures(best.score, best.score.replica_hours) | {"requests": len(trace.requests)}
    case = case_of(trace, settings, capacity)
    contestant = Contestant(lambda given: _autoscaler(task, given), settings)
    return figures(run_one(trace, contestant, case, world.seed), 0.0)
