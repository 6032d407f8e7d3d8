"""The scaling decision of one reconciliation: what was gathered goes to the door of core/scaling, with what is kept."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core import learned
from batchedllm.core.benchmark.profile import Profile
from batchedllm.core.benchmark.start import begun
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.observed import Observed
from batchedllm.core.reconcile_types import Gathered, Now
from batchedllm.core.scaling.objective import objective_of
from batchedllm.core.scaling.schedule import bounds_at
from batchedllm.core.scaling.types import Decision, Memory, ScalingState
from batchedllm.core.starts import remembered, usual_seconds
from batchedllm.core.wake import wake

Decide = Callable[[ScalingState, float], tuple[Decision, ScalingState]]


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome."""

    decision: Decision
    memory: Memory
    record: dict[str, Any] | None
    """The ConfigMap that keeps what was learned, as it is to be; None while there is nothing to keep."""


def decided(
    gathered: Gathered,
    observed: Observed,
    spec: BatchedLLMSpec,
    *,
    image: str,
    now: Now,
    decide: Decide,
    profile: Profile | None = None,
) -> Decided:
    """Decide on the replicas of `spec`, served by the engine `image`, of which a benchmark may have found a profile."""
    owner, of = owner_of(gathered.resource), learned.learned_of(spec, image)
    found = learned.kept(owner, gathered.children)
    memory = begun(learned.recalled(gathered.memory, found, of), profile, spec.batching.max_num_seqs)
    starts = remembered(memory.starts, observed.starts)
    state = ScalingState(
        policy=spec.scaling,
        fleet=replace(observed.fleet, startup_seconds=usual_seconds(starts)),
        load=gathered.load,
        memory=replace(memory, starts=starts),
        batch_limit=spec.batching.max_num_seqs,
        objective=objective_of(spec.slo),
        scheduled=bounds_at(spec.scaling, now.wall),
        wake=wake(gathered.resource, spec),
        wall_seconds=now.wall.timestamp(),
    )
    decision, after = decide(state, now.monotonic_seconds)
    memory = learned.used(after.memory, gathered.load)
    record = learned.record(owner, found, of, memory, now.wall)
    if record is not None and (found is None or record["data"] != found.data):
        memory = replace(memory, is_used=False)
    return Decided(decision, memory, record)
