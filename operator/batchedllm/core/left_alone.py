"""Outcomes that make no children: a resource seen for the first time, one that cannot be served, one that waits."""

from batchedllm.api.conditions import ConditionType, Reason
from batchedllm.core.conditions import Verdict, dated, inspecting, pending, refused
from batchedllm.core.planning.gate import Gate
from batchedllm.core.reconcile_types import Gathered, Manifest, Notice, Now, Outcome
from batchedllm.core.replicas import Replicas
from batchedllm.core.wishes import compared


def first_look(gathered: Gathered, now: Now) -> Outcome:
    """Say Ready=Unknown before anything else: a missing condition reads as ready to kstatus."""
    generation = gathered.resource["metadata"]["generation"]
    status = {"observedGeneration": generation, "conditions": dated(pending(), {}, generation, now.wall)}
    return Outcome(status=status, look_again_seconds=0, memory=gathered.memory)


def left_as_it_is(gathered: Gathered, reason: Reason, message: str, now: Now) -> Outcome:
    """Leave the children alone and keep what the status says of them; only the conditions change."""
    status = _status(gathered, refused(reason, message), now, **_but_conditions(gathered))
    if status is None:
        return Outcome(memory=gathered.memory)
    return Outcome(status=status, notices=(Notice("Warning", str(reason), message),), memory=gathered.memory)


def nothing_made(gathered: Gathered, planned: Gate, now: Now) -> Outcome:
    """Tell why there are no children yet, and do what the plan needs."""
    condition = planned.condition
    message = f"{condition.message.rstrip('.')}. Nothing is created"
    found = refused(condition.reason, message) if planned.is_final else inspecting(condition.message)
    plan = {} if planned.status is None else {"plan": planned.status}
    is_news = planned.is_final and _told(gathered) != condition.message
    return Outcome(
        apply=(*record(gathered, planned), *planned.apply),
        delete=planned.delete,
        status=_status(gathered, [*found, condition], now, **plan),
        notices=(Notice("Warning", str(condition.reason), message),) if is_news else (),
        look_again_seconds=planned.look_again_seconds,
        memory=gathered.memory,
    )


def record(gathered: Gathered, planned: Gate) -> tuple[Manifest, ...]:
    """Return the ConfigMap of what inspections found, if it has to be written."""
    wanted = () if planned.record is None else (planned.record,)
    wishes = compared(wanted, gathered, Replicas(None))
    return tuple(wish.manifest for wish in wishes if wish.drift is not None)


def _told(gathered: Gathered) -> str:
    """Return what the status says of the plan already."""
    conditions = gathered.resource["status"].get("conditions") or ()
    return next((str(one["message"]) for one in conditions if one["type"] == ConditionType.MEMORY_PLANNED), "")


def _but_conditions(gathered: Gathered) -> dict[str, object]:
    return {
        key: value
        for key, value in gathered.resource["status"].items()
        if key not in ("conditions", "observedGeneration")
    }


def _status(gathered: Gathered, found: list[Verdict], now: Now, **rest: object) -> Manifest | None:
    """Return the status; None if the resource says it already."""
    previous, generation = gathered.resource["status"], gathered.resource["metadata"]["generation"]
    conditions = dated(found, previous, generation, now.wall)
    status = {"observedGeneration": generation, "conditions": conditions, **rest}
    return None if status == previous else status
