"""What would have to change for another number of replicas, from a BatchedLLM's spec and its newest decision."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

Json = dict[str, Any]

WAY_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unknownMetrics": "every ready replica has to report its metrics: see the condition MetricsContract",
        "unschedulableReplicas": "replicas that wait for a node have to get one: see the condition ScalingLimited",
        "budget": "scaling.budget.replicaHoursPerDay has to be larger, or hours of a day ago to pass",
        "capacityGivenUp": "nodes have to be there when replicas are tried again: see the condition ScalingLimited",
        "failingReplicas": "the replicas that cannot start have to be repaired: see the failures",
        "scaleUp.stabilizationSeconds": "the need has to last for scaling.scaleUp.stabilizationSeconds",
        "scaleDown.stabilizationSeconds": "the lower need has to last for scaling.scaleDown.stabilizationSeconds",
        "scaleUp.maxStep": "time: scaling.scaleUp allows so many replicas per period, more follow",
        "scaleDown.maxStep": "time: scaling.scaleDown allows so many replicas per period, more follow",
    }
)
"""What ends each limit. Bounds are told from the spec."""

NOT_OURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "off": "mode off keeps spec.replicas, or scaling.minReplicas where it is unset: set it to {expected}",
        "external": "in mode external somebody else scales: kubectl scale --replicas={expected}, or the HPA's target",
        "recommend": "mode recommend applies nothing: scale the Deployment, or set scaling.mode: auto",
    }
)
"""What to do in the modes in which the operator does not scale."""


def what_would_change(resource: Json, expected: int) -> Iterator[str]:
    """Yield the lines that say why there are not `expected` replicas."""
    status = resource.get("status") or {}
    wanted = status.get("wantedReplicas")
    if wanted is None:
        yield f"{expected} expected: no number has been decided yet"
        return
    if wanted == expected:
        yield f"{expected} expected: that is what is wanted; {status.get('readyReplicas', 0)} of them are ready"
        return
    yield f"{expected} expected, {wanted} wanted. For {expected}:"
    for line in (*_mode(resource, expected), *_bounds(resource, expected), *_decision(status, wanted, expected)):
        yield f"  - {line}"


def _scaling(resource: Json) -> Json:
    return {"mode": "auto", "minReplicas": 1, "maxReplicas": 1, **(resource.get("spec", {}).get("scaling") or {})}


def _mode(resource: Json, expected: int) -> Iterator[str]:
    mode = _scaling(resource)["mode"]
    if mode in NOT_OURS:
        yield NOT_OURS[mode].format(expected=expected)


def _bounds(resource: Json, expected: int) -> Iterator[str]:
    scaling = _scaling(resource)
    low, high = scaling["minReplicas"], scaling["maxReplicas"]
    if expected > high:
        yield f"scaling.maxReplicas, now {high}, has to be at least {expected}"
    if expected < low:
        yield f"scaling.minReplicas, now {low}, has to be at most {expected}"
    for schedule in scaling.get("schedules") or ():
        if not schedule.get("minReplicas", 0) <= expected <= schedule.get("maxReplicas", expected):
            yield f"the schedule {schedule['name']} must not hold: it does not allow {expected}"


def _decision(status: Json, wanted: int, expected: int) -> Iterator[str]:
    newest = next(iter(status.get("decisions") or ()), None)
    if newest is None:
        yield "no decision is recorded that would tell what the signals ask for"
        return
    asking = [one for one in newest.get("candidates") or () if "replicas" in one]
    yield from _more(asking, expected) if expected > wanted else _fewer(asking, expected)
    for limit in newest.get("limitedBy") or ():
        if limit in WAY_OUT:
            yield f"{limit}: {WAY_OUT[limit]}"


def _more(asking: list[Json], expected: int) -> Iterator[str]:
    """Say what a signal would have to see; one that asks for enough is enough."""
    enough = [one for one in asking if one["replicas"] >= expected]
    for one in enough:
        yield f"{one['signal']} asked for {one['replicas']} already ({one['reason']})"
    if not enough:
        for one in asking:
            yield f"{one['signal']} asked for {one['replicas']} ({one['reason']}): {_factor(one['replicas'], expected)}"


def _fewer(asking: list[Json], expected: int) -> Iterator[str]:
    """Say what each signal that asks for more would have to see: the largest number wins."""
    for one in asking:
        if one["replicas"] > expected:
            yield f"{one['signal']} asked for {one['replicas']} ({one['reason']}): {_factor(one['replicas'], expected)}"


def _factor(replicas: int, expected: int) -> str:
    """Say how many times as much would ask for so many. One replica is the fewest, whatever little is asked of it."""
    if replicas <= 1 or expected == 0:
        return f"it has to ask for {expected}"
    return f"about {expected / replicas:.2g} times of that would ask for {expected}"
