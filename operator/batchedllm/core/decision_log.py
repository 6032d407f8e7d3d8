"""The last scaling decisions in the status: what changed the number, kept it from changing, or keeps it now."""

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

SETTLED_SECONDS: Final = 60.0
"""After so long it is told if something else keeps the number: the burst that brought it is not why it stays."""

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
    made = _record(decision, now)
    if not is_news(decision, mode, status) and not _is_kept_by_another(made, decision, mode, previous):
        return list(previous)
    return [made, *_without_repetitions(made, previous)][:MAX_DECISIONS]


def _is_kept_by_another(made: Record, decision: Decision, mode: str, previous: Sequence[Record]) -> bool:
    """Whether a number above the lower bound is kept by another signal than the newest record, no longer new, names."""
    bounds = decision.bounds
    if mode in ADVISED_MODES or decision.changes or not previous or bounds is None:
        return False
    newest = previous[0]
    if newest["to"] != decision.to_replicas or decision.to_replicas <= bounds.low:
        return False
    age = datetime.fromisoformat(made["at"]) - datetime.fromisoformat(newest["at"])
    return age.total_seconds() >= SETTLED_SECONDS and _keeper(made) != _keeper(newest)


def _keeper(record: Record) -> str:
    """Return the signal that asks for the most, if it asks for the number at least; empty if none does."""
    asking = [one for one in record.get("candidates") or () if one.get("replicas", 0) >= record["to"]]
    return str(max(asking, key=lambda one: one["replicas"])["signal"]) if asking else ""


def _without_repetitions(made: Record, previous: Sequence[Record]) -> list[Record]:
    """Leave out what a record of a number that stays takes the place of: others since the last change, as it was held.

    So they push no change out of the list.
    """
    if made["from"] != made["to"]:
        return list(previous)
    held = _held(made.get("limitedBy") or ())
    since = 0
    while since < len(previous) and previous[since]["from"] == previous[since]["to"] == made["to"]:
        since += 1
    others = (one for one in previous[:since] if _held(one.get("limitedBy") or ()) not in (held, frozenset()))
    return [*others, *previous[since:]]


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
