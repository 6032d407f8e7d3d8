"""The last scaling decisions in the status: what changed the number, and what kept it from changing when it should."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from batchedllm.core.conditions import timestamp
from batchedllm.core.scaling.schedule import PREFIX
from batchedllm.core.scaling.types import Decision

MAX_DECISIONS: Final = 20

HARD_LIMITS: Final = frozenset(
    {"maxReplicas", "budget", "unschedulableReplicas", "capacityGivenUp", "failingReplicas", "unknownMetrics"}
)
"""Limits that are worth a record although the number stays: somebody may have to act. Windows and steps pass.
A schedule's upper bound is one too."""

ADVISED_MODES: Final = frozenset({"recommend", "external"})
"""Modes in which a decision is taken for whoever scales instead of us."""

Record = Mapping[str, Any]


def is_news(decision: Decision, mode: str, status: Mapping[str, Any]) -> bool:
    """Whether the decision says something that the newest record does not.

    A decision repeated is no news: while a change cannot be applied, or is only recommended, it is made again and
    again.
    """
    newest: Record = next(iter(status.get("decisions") or ()), {})
    if mode in ADVISED_MODES:
        return bool(decision.to_replicas != status.get("recommendedReplicas", decision.from_replicas))
    if decision.changes:
        return (newest.get("from"), newest.get("to")) != (decision.from_replicas, decision.to_replicas)
    held = _held(decision.limited_by if decision.is_capped else _but_schedules(decision.limited_by))
    return bool(held) and (newest.get("to") != decision.to_replicas or _held(newest.get("limitedBy") or ()) != held)


def with_news(decision: Decision, mode: str, status: Mapping[str, Any], now: datetime) -> list[Record]:
    """Return the records for the status, newest first."""
    previous: Sequence[Record] = status.get("decisions") or ()
    if not is_news(decision, mode, status):
        return list(previous)
    return [_record(decision, now), *previous][:MAX_DECISIONS]


def _held(limited_by: Sequence[str]) -> frozenset[str]:
    return frozenset(name for name in limited_by if name in HARD_LIMITS or name.startswith(PREFIX))


def _but_schedules(limited_by: Sequence[str]) -> tuple[str, ...]:
    """Leave out schedules that only keep the number up."""
    return tuple(name for name in limited_by if not name.startswith(PREFIX))


def _record(decision: Decision, now: datetime) -> dict[str, Any]:
    candidates = [
        {"signal": one.signal, **({} if one.replicas is None else {"replicas": one.replicas}), "reason": one.reason}
        for one in decision.candidates
    ]
    record = {
        "at": timestamp(now),
        "from": decision.from_replicas,
        "to": decision.to_replicas,
        "winner": decision.winner,
        "reason": decision.reason,
        "candidates": candidates,
        "limitedBy": list(decision.limited_by),
    }
    return {field: value for field, value in record.items() if value != []}
