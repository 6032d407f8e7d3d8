"""Kubernetes Events about a BatchedLLM: for what changes. What stays as it is has been told before."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchedllm.api.conditions import Reason
from batchedllm.core.conditions import Situation
from batchedllm.core.decision_log import ADVISED_MODES, is_news
from batchedllm.core.drift import Cause, Drift
from batchedllm.core.reconcile_types import Notice
from batchedllm.core.scaling.signals.opinion import replicas_in_words

_WORD: Final = {Cause.MISSING: "Restored", Cause.EDITED: "Repaired", Cause.WANTED: "Updated"}
"""Reason of the Event by the cause of the write. Scaling has one of its own."""


_NOT_WRITTEN: Final = frozenset({Reason.APPLY_REFUSED, Reason.CHILD_NOT_OURS})


@dataclass(frozen=True, slots=True)
class Change:
    """What is about to change, beside what is told about it already."""

    situation: Situation
    status: Mapping[str, Any]
    """The status as it was."""
    drifts: Mapping[str, Drift]
    """Why children are applied, by kind."""

    @property
    def told_failures(self) -> set[tuple[str, str]]:
        """Failures that the status holds already, by pod and reason."""
        return {(one["pod"], one["reason"]) for one in self.status.get("failures") or ()}


def notices(change: Change) -> tuple[Notice, ...]:
    """Return the Events to post."""
    return tuple(notice for source in SOURCES for notice in source(change))


def _writes(change: Change) -> Iterator[Notice]:
    """Tell what is made, and what is put right; not again and again what the API server refuses."""
    if change.situation.stalled is not None and change.situation.stalled[0] in _NOT_WRITTEN:
        return
    deployment = change.drifts.get("Deployment")
    is_new = "wantedReplicas" not in change.status
    if is_new and deployment is not None and deployment.cause is Cause.MISSING:
        yield Notice("Normal", "Created", f"started with {replicas_in_words(change.situation.wanted)}")
        return
    for kind, drift in change.drifts.items():
        if drift.cause in _WORD:
            yield Notice("Normal", _WORD[drift.cause], f"{kind}: {drift.words}")


def _scaling(change: Change) -> Iterator[Notice]:
    decision, mode = change.situation.decision, change.situation.spec.scaling.mode
    if change.situation.observed.deployment is None or not decision.changes:
        return
    if is_news(decision, mode, change.status):
        yield Notice("Normal", "Recommended" if mode in ADVISED_MODES else "Scaled", decision.reason)


def _recommendations(change: Change) -> Iterator[Notice]:
    told = {one["kind"] for one in change.status.get("recommendations") or ()}
    for kind, message in change.situation.advice.recommendations.items():
        if kind not in told:
            yield Notice("Normal", kind, message)


def _stalled_engines(change: Change) -> Iterator[Notice]:
    stalled, before = change.situation.advice.engine_stalled, _conditions(change)
    if stalled and before.get("EngineHealthy", {}).get("reason") != str(Reason.ENGINE_STALLED):
        yield Notice("Warning", str(Reason.ENGINE_STALLED), stalled)


def _failures(change: Change) -> Iterator[Notice]:
    """Tell each new failure, and once when all are over."""
    failures = change.situation.observed.failures
    for one in failures:
        if (one.pod, str(one.reason)) not in change.told_failures:
            yield Notice("Warning", str(one.reason), f"{one.pod}: {one.message}")
    if change.told_failures and not failures and change.situation.serves:
        yield Notice("Normal", "Recovered", "no replica fails any more")


def _stall(change: Change) -> Iterator[Notice]:
    stalled = change.situation.stalled
    if stalled is not None and _conditions(change).get("Stalled", {}).get("reason") != str(stalled[0]):
        yield Notice("Warning", "Stalled", f"{stalled[0]}: {stalled[1]}")


def _serving(change: Change) -> Iterator[Notice]:
    if change.situation.serves and _conditions(change).get("Ready", {}).get("status", "True") != "True":
        yield Notice("Normal", "Serving", "the model answers requests")


def _benchmarks(change: Change) -> Iterator[Notice]:
    """Tell once how a benchmark ended."""
    told, before = change.situation.benchmarked, _conditions(change).get("Benchmarked", {})
    if told is None or told.status == "Unknown" or told.message == before.get("message"):
        return
    yield Notice("Normal" if told.status == "True" else "Warning", str(told.reason), told.message)


def _conditions(change: Change) -> dict[str, Mapping[str, Any]]:
    """Return the conditions as they were, by type."""
    return {one["type"]: one for one in change.status.get("conditions") or ()}


SOURCES: Final[tuple[Callable[[Change], Iterator[Notice]], ...]] = (
    _writes,
    _scaling,
    _failures,
    _stalled_engines,
    _recommendations,
    _stall,
    _serving,
    _benchmarks,
)
"""In the order in which the Events are posted."""
