"""A plan as the status tells it, and in a sentence."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from batchedllm.core.memory.plan_types import Bill, Fix, KVCache, Plan, Verdict
from batchedllm.core.memory.units import GIB, Bytes, Certainty, Term

_LEAST_SURE: Final = (Certainty.UNKNOWN, Certainty.ESTIMATED, Certainty.CALIBRATED, Certainty.EXACT)
_LONGEST_MESSAGE: Final = 1000


def plan_status(plan: Plan, fixes: tuple[Fix, ...], **rest: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return `status.plan`; `rest` are further fields of it. What is not known is left out."""
    known = {} if plan.bill is None else _terms(plan.bill, is_cache_given=plan.settings.kv_cache_memory is not None)
    found: dict[str, Any] = {
        "verdict": str(plan.verdict),
        "message": sentence(plan, fixes),
        "confidence": str(confidence(plan.bill, is_counted=plan.kv_cache is not None)),
        "engineVersion": plan.settings.engine_version,
        "bytes": _bytes(plan.bill),
        "certainty": {name: str(term.certainty) for name, term in known.items()},
        "errorBytes": {name: term.error_bytes for name, term in known.items() if _is_bounded(term)},
        "kvCache": _kv_cache(plan.kv_cache),
        "concurrency": None if plan.kv_cache is None else f"{plan.kv_cache.concurrency:.2f}",
        "maxModelLen": _lengths(plan),
        "fixes": [_fix(one) for one in fixes],
        "warnings": [f"{one.reason}: {one.message}" for one in plan.cautions],
        "notes": list(plan.notes),
        **rest,
    }
    return {field: value for field, value in found.items() if value not in (None, [], {})}


def no_plan_status(message: str, known: Mapping[str, int], chosen: list[dict[str, str]]) -> dict[str, Any]:
    """Return `status.plan` where nothing can be planned: `known` terms of the bill in bytes, and what was chosen."""
    found: dict[str, Any] = {
        "verdict": str(Verdict.UNKNOWN),
        "message": message[:_LONGEST_MESSAGE],
        "confidence": str(Certainty.UNKNOWN),
        "bytes": dict(known),
        "chosen": chosen,
    }
    return {field: value for field, value in found.items() if value not in ([], {})}


def sentence(plan: Plan, fixes: tuple[Fix, ...]) -> str:
    """Return the answer with its numbers, and the changes that would make it fit."""
    return (f"{plan.why.rstrip('.')}. {changes(fixes)}" if fixes else plan.why)[:_LONGEST_MESSAGE]


def changes(fixes: tuple[Fix, ...]) -> str:
    """Return the changes after which it would fit."""
    if not fixes:
        return "No single change makes it fit"
    return "Smallest changes that fit: " + "; or ".join(f"{one.setting} {one.was} -> {one.becomes}" for one in fixes)


def confidence(bill: Bill | None, *, is_counted: bool = False) -> Certainty:
    """Return how sure the least sure term is; without a bill there are only blocks to count."""
    if bill is None:
        return Certainty.EXACT if is_counted else Certainty.UNKNOWN
    return _least_sure((bill.weights, bill.persistent, bill.activation, bill.cuda_graphs, bill.non_torch))


def _least_sure(terms: Iterable[Term]) -> Certainty:
    told = (term.certainty for term in terms if term.bytes or term.certainty is Certainty.UNKNOWN)
    return min(told, key=_LEAST_SURE.index, default=Certainty.EXACT)


def _terms(bill: Bill, *, is_cache_given: bool) -> dict[str, Term]:
    """Return the terms of the bill by their names in the status, with what they leave over as terms as well."""
    counted = {
        "weights": bill.weights,
        "persistent": bill.persistent,
        "activation": bill.activation,
        "cudaGraphs": bill.cuda_graphs,
        "nonTorch": bill.non_torch,
    }
    budgeted = [bill.weights, bill.activation, bill.non_torch]
    budgeted += [bill.persistent] if bill.persistent_in_budget else []
    budgeted += [bill.cuda_graphs] if bill.cuda_graphs_in_budget else []
    error, sure = Bytes(sum(term.error_bytes for term in budgeted)), _least_sure(budgeted)
    cache = Term(bill.kv_cache, sure, error, "what is left of the budget")
    headroom = Term(bill.headroom, Certainty.ESTIMATED, bill.headroom_error, "what is left of the GPU")
    if is_cache_given:
        # The budget then grows with what the terms take, so that their errors are the headroom's.
        cache = replace(cache, certainty=Certainty.EXACT, error_bytes=Bytes(0))
        headroom = replace(headroom, error_bytes=Bytes(bill.headroom_error + error))
    return {**counted, "kvCache": cache, "headroom": headroom}


def _is_bounded(term: Term) -> bool:
    return term.certainty is not Certainty.UNKNOWN


def gibibytes(amount: int) -> str:
    """Return an amount of memory for people."""
    return f"{amount / GIB:.2f} GiB"


def _bytes(bill: Bill | None) -> dict[str, int] | None:
    if bill is None:
        return None
    return {
        "total": bill.total,
        "requested": bill.requested,
        "weights": bill.weights.bytes,
        "persistent": bill.persistent.bytes,
        "activation": bill.activation.bytes,
        "cudaGraphs": bill.cuda_graphs.bytes,
        "nonTorch": bill.non_torch.bytes,
        "kvCache": bill.kv_cache,
        "headroom": bill.headroom,
    }


def _kv_cache(cache: KVCache | None) -> dict[str, int] | None:
    if cache is None:
        return None
    return {"blockSize": cache.block_size, "blocks": cache.blocks, "tokens": cache.tokens}


def _lengths(plan: Plan) -> dict[str, int]:
    found = {
        "requested": plan.settings.max_model_len,
        "largest": plan.largest_max_model_len,
        "largestForConcurrency": plan.largest_for_concurrency,
    }
    return {field: value for field, value in found.items() if value is not None}


def _fix(fix: Fix) -> dict[str, str]:
    found = {"setting": fix.setting, "was": fix.was, "becomes": fix.becomes}
    return {**found, "note": fix.note} if fix.note else found
