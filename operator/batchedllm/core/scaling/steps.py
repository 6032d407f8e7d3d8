"""The changes that were made, and how much of the allowed change is left."""

from batchedllm.core.record import changed
from batchedllm.core.scaling.types import Memory, Proposal, Step


def observe(memory: Memory, now_seconds: float, wanted: int, horizon_seconds: float) -> Memory:
    """Note a change of what the Deployment asks for since the previous decision, whoever made it.

    Counted is what happened, not what was decided: a proposal that the API server refused uses up nothing, and a
    decision taken on a stale copy of the Deployment proposes the same again. A change to what was proposed is dated
    to the proposal, any other to now.
    """
    steps = tuple(step for step in memory.steps if step.at_seconds > now_seconds - horizon_seconds)
    if memory.last_wanted is not None and wanted != memory.last_wanted:
        proposal = memory.proposal
        ours = proposal is not None and proposal.replicas == wanted
        at_seconds = proposal.at_seconds if ours and proposal is not None else now_seconds
        steps = merged(steps, Step(at_seconds, wanted - memory.last_wanted))
        return changed(memory, proposal=None, steps=steps, last_wanted=wanted)
    if steps == memory.steps and wanted == memory.last_wanted:
        return memory
    return changed(memory, steps=steps, last_wanted=wanted)


def merged(steps: tuple[Step, ...], step: Step) -> tuple[Step, ...]:
    """Steps with one more, at most two a second: those of one second and direction become one, dated to the later."""
    if steps and step.at_seconds - steps[-1].at_seconds < 1 and steps[-1].replicas * step.replicas > 0:
        return (*steps[:-1], Step(step.at_seconds, steps[-1].replicas + step.replicas))
    return (*steps, step)


def propose(memory: Memory, now_seconds: float, from_replicas: int, to_replicas: int) -> Memory:
    """Remember what was decided, to know the change again when the Deployment shows it."""
    if to_replicas == from_replicas:
        return memory
    return changed(memory, proposal=Proposal(now_seconds, to_replicas))


def added(memory: Memory, now_seconds: float, period_seconds: float) -> int:
    """Replicas added within the period."""
    return sum(max(0, step.replicas) for step in _recent(memory, now_seconds, period_seconds))


def removed(memory: Memory, now_seconds: float, period_seconds: float) -> int:
    """Replicas removed within the period."""
    return sum(max(0, -step.replicas) for step in _recent(memory, now_seconds, period_seconds))


def free_in_seconds(memory: Memory, now_seconds: float, period_seconds: float) -> float:
    """Seconds until the oldest change of the period no longer counts; a whole period if there was none."""
    oldest = min((step.at_seconds for step in _recent(memory, now_seconds, period_seconds)), default=now_seconds)
    return oldest + period_seconds - now_seconds


def _recent(memory: Memory, now_seconds: float, period_seconds: float) -> list[Step]:
    return [step for step in memory.steps if step.at_seconds > now_seconds - period_seconds]
