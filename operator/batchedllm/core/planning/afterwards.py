"""Plan against actual: what the engines report once they run, how far the plan was off, and what that teaches."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from batchedllm.api.conditions import ConditionType, Reason
from batchedllm.core.conditions import Verdict
from batchedllm.core.failure import Failure
from batchedllm.core.memory.actual import Actual, actual_of_labels, actual_of_log, actual_of_terms, merged
from batchedllm.core.memory.drift import NOTEWORTHY_PERCENT, drifts
from batchedllm.core.memory.fixes import fixes
from batchedllm.core.memory.plan import plan
from batchedllm.core.memory.plan_types import Plan
from batchedllm.core.memory.plan_types import Verdict as Answer
from batchedllm.core.memory.shortage import shortage
from batchedllm.core.memory.units import Bytes
from batchedllm.core.planning.gate import Gate
from batchedllm.core.planning.lesson import Lesson
from batchedllm.core.planning.report import changes, gibibytes
from batchedllm.core.readings import FleetLoad

_TERMS: Final = frozenset({"weights", "activation", "cudaGraphs", "nonTorch", "kvCache"})
_OF_MEMORY: Final = frozenset({Reason.KV_CACHE_TOO_SMALL, Reason.OUT_OF_GPU_MEMORY})


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replicas that run with the planned settings, or tried to."""

    ready: Collection[str] = ()
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What came of a plan."""

    condition: Verdict
    actual: Mapping[str, Any] | None = None
    """`status.actual`."""
    lesson: Lesson | None = None
    wants_start_log_of: str = ""
    """A pod whose first lines would tell more."""


def afterwards(planned: Gate, load: FleetLoad | None, replicas: Replicas, start_logs: Mapping[str, str]) -> Afterwards:
    """Compare the plan with what a replica reports, or said when it failed. All have the planned settings.

    `start_logs` are lines about memory from the start of pods that serve, by pod.
    """
    failed = _failed(planned, replicas.failures)
    if failed is not None:
        return failed
    told = () if load is None else load.cache_labels
    pod, labels = next(((pod, dict(labels)) for pod, labels in told if pod in replicas.ready), ("", {}))
    reported = actual_of_labels(labels)
    if reported.kv_tokens is None and reported.blocks is None:
        return Afterwards(planned.condition)
    account = _account(pod, load, start_logs)
    if account is None:
        return Afterwards(_judged(planned, reported), _status(planned, reported), wants_start_log_of=pod)
    actual = merged(reported, account)
    return Afterwards(_judged(planned, actual), _status(planned, actual), _lesson(planned, actual, pod))


def _account(pod: str, load: FleetLoad | None, start_logs: Mapping[str, str]) -> Actual | None:
    """Return what the pod's engine says its memory went to: by its metric, else in its log if that was read."""
    terms = next((one.memory_bytes for one in (load.readings if load else ()) if one.pod == pod), ())
    if terms:
        return actual_of_terms(dict(terms))
    return actual_of_log(start_logs[pod]) if pod in start_logs else None


def _status(planned: Gate, actual: Actual) -> dict[str, Any]:
    """Return `status.actual`; what the engine did not say is left out."""
    percent = None if planned.planned is None else drift_percent(planned.planned.plan, actual)
    terms = {
        "weights": actual.weights,
        "activation": actual.activation,
        "cudaGraphs": actual.cuda_graphs,
        "nonTorch": actual.non_torch,
        "kvCache": actual.kv_cache,
    }
    found: dict[str, Any] = {
        "kvCacheTokens": actual.kv_tokens,
        "blockSize": actual.block_size,
        "blocks": actual.blocks,
        "bytes": {term: size for term, size in terms.items() if size is not None},
        "driftPercent": None if percent is None else f"{percent:.2f}",
        "drifts": [] if planned.planned is None else _term_drifts(planned.planned.plan, actual),
    }
    return {name: value for name, value in found.items() if value not in (None, {}, [])}


def _term_drifts(planned: Plan, actual: Actual) -> list[str]:
    """Return how far each term of the bill was off, in words."""
    return [
        f"{one.term}: {gibibytes(one.planned)} planned, {gibibytes(one.actual)} actual"
        for one in drifts(planned, actual)
        if one.term in _TERMS
    ]


def _failed(planned: Gate, failures: Iterable[Failure]) -> Afterwards | None:
    """Read what the engine found when it ran out of memory, and plan again with that."""
    made = planned.planned
    if made is None or made.plan.bill is None:
        return None
    for failure in failures:
        found = shortage(made.question, made.plan.bill, failure.log) if failure.reason in _OF_MEMORY else None
        if found is None:
            continue
        proposed = fixes(found.question, plan(found.question))
        words = f"{failure.pod} ended: {found.words}. {changes(proposed)}"
        verdict = Verdict(ConditionType.MEMORY_PLANNED, "False", failure.reason, words)
        lesson = None if found.actual is None else Lesson(made.key, made.plan.bill, found.actual, failure.pod)
        return Afterwards(verdict, lesson=lesson)
    return None


def drift_percent(planned: Plan, actual: Actual) -> float | None:
    """Return by how many percent of the plan the engine has more tokens of KV cache; None where it is not known.

    An Unknown plan's tokens are counted by a layout that may not be the engine's.
    """
    cache = planned.kv_cache
    if planned.verdict is Answer.UNKNOWN or cache is None or not cache.tokens or actual.kv_tokens is None:
        return None
    return 100 * (actual.kv_tokens - cache.tokens) / cache.tokens


def _judged(planned: Gate, actual: Actual) -> Verdict:
    """Tell of a plan that was far off, with both numbers."""
    percent = None if planned.planned is None else drift_percent(planned.planned.plan, actual)
    if percent is None or planned.planned is None or abs(percent) <= NOTEWORTHY_PERCENT:
        return planned.condition
    cache = planned.planned.plan.kv_cache
    words = (
        f"the engine has {actual.kv_tokens} tokens of KV cache, {0 if cache is None else cache.tokens} were planned "
        f"({percent:+.1f} %); later plans for the image, the GPU and the family are corrected by it"
    )
    return Verdict(ConditionType.MEMORY_PLANNED, planned.condition.status, Reason.PLAN_DRIFTED, words)


def _lesson(planned: Gate, actual: Actual, pod: str) -> Lesson | None:
    """Return what a start teaches: what was left for the KV cache, to a block. Nothing, of a plan that is Unknown."""
    made = planned.planned
    if made is None or made.plan.verdict is Answer.UNKNOWN:
        return None
    if made.plan.bill is None or made.plan.kv_cache is None or actual.blocks is None:
        return None
    left = Bytes(actual.blocks * made.plan.kv_cache.bytes_per_block)
    return Lesson(made.key, made.plan.bill, replace(actual, kv_cache=left), pod)
