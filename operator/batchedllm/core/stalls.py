"""When waiting will not help: a chain of checks, the first that finds something answers."""

from collections.abc import Callable
from typing import Final

from batchedllm.api.conditions import Reason
from batchedllm.core.benchmark.pod import is_benchmark_pod
from batchedllm.core.conditions import CONFLICT
from batchedllm.core.observed import Observed
from batchedllm.core.preflight import OF_THE_SPEC
from batchedllm.core.reconcile_types import Gathered

Stall = tuple[Reason, str]

_HOPELESS: Final = OF_THE_SPEC | {
    Reason.KV_CACHE_TOO_SMALL,
    Reason.OUT_OF_GPU_MEMORY,
    Reason.OUT_OF_HOST_MEMORY,
    Reason.POD_SECURITY,
}
"""Failures that come back at every start of the same pod."""


def stranger(gathered: Gathered) -> Stall | None:
    """Find an object of a child's name that belongs to somebody else. It is never overwritten.

    One without any owner may be ours: owner references get lost, and applying restores them. Objects that nobody of
    us ever touched are refused by the shell before it makes a child (a refusal with code 409).
    """
    metadata = gathered.resource["metadata"]
    for child in sorted(gathered.children, key=lambda one: str(one["kind"])):
        owner = next((one for one in child["metadata"].get("ownerReferences") or () if one.get("controller")), None)
        if child["metadata"]["name"] == metadata["name"] and owner is not None and owner["uid"] != metadata["uid"]:
            return Reason.CHILD_NOT_OURS, (
                f"the {child['kind']} {metadata['name']} belongs to the {owner['kind']} {owner['name']} "
                f"(uid {owner['uid']}) and is left alone; delete it or give the BatchedLLM another name"
            )
    return None


def stall(gathered: Gathered, observed: Observed, template: str) -> Stall | None:
    """Return why waiting will not help; None while it may."""
    found = (check(gathered, observed, template) for check in CHECKS)
    return next((one for one in found if one is not None), None)


def _refused(gathered: Gathered, _observed: Observed, _template: str) -> Stall | None:
    name = gathered.resource["metadata"]["name"]
    # A model without its benchmark serves as well; its own condition tells of that.
    refusals = [one for one in gathered.refusals if not is_benchmark_pod(name, one.kind, one.name)]
    if not refusals:
        return None
    first = min(refusals, key=lambda one: (one.kind, one.name))
    if first.code == CONFLICT:
        return Reason.CHILD_NOT_OURS, first.message
    return Reason.APPLY_REFUSED, f"the API server refuses the {first.kind} {first.name} ({first.code}): {first.message}"


def _hopeless(_gathered: Gathered, observed: Observed, template: str) -> Stall | None:
    """Find a version that cannot start. While one replica of it serves, it can."""
    if observed.ready_of(template) > 0:
        return None
    failure = next((one for one in observed.failures if one.reason in _HOPELESS), None)
    return None if failure is None else (failure.reason, f"{failure.pod}: {failure.message}")


def _deadline(_gathered: Gathered, observed: Observed, template: str) -> Stall | None:
    if not observed.deadline_passed or observed.ready_of(template) > 0:
        return None
    failure = next(iter(observed.failures), None)
    reason = failure.reason if failure else Reason.NO_READY_REPLICAS
    return reason, f"{failure.pod}: {failure.message}" if failure else observed.deadline_passed


CHECKS: Final[tuple[Callable[[Gathered, Observed, str], Stall | None], ...]] = (_refused, _hopeless, _deadline)
