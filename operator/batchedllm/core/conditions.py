"""The conditions of a BatchedLLM, from what was observed and decided. Each is one small function.

Nothing here may change with the load from one scrape to the next: a condition that does is a write every two seconds.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from batchedllm.api import names
from batchedllm.api.conditions import ConditionType, Reason
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.advice import NO_ADVICE, Advice
from batchedllm.core.failure import Failure
from batchedllm.core.observed import Observed
from batchedllm.core.readings import FleetLoad
from batchedllm.core.reconcile_types import Manifest
from batchedllm.core.scaling.budget import BUDGET
from batchedllm.core.scaling.schedule import PREFIX, Bounds, policy_bounds
from batchedllm.core.scaling.types import Decision
from batchedllm.core.scaling.zero import WAKE

MAX_MESSAGE_LENGTH: Final = 1000

CONFLICT: Final = 409
"""Code of a refusal of ours: the object is there already, and somebody else's."""

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition before it gets its times."""

    type: ConditionType
    status: Truth
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What the conditions are derived from."""

    spec: BatchedLLMSpec
    observed: Observed
    template: str
    """Fingerprint of the pod template that is wanted."""
    load: FleetLoad | None
    decision: Decision
    wanted: int
    """Replicas that the Deployment is to have."""
    changing: str
    """Why the children are being written now; empty if they are not, or only the number of replicas is."""
    stalled: tuple[Reason, str] | None
    planned: Verdict
    """What the memory plan says."""
    advice: Advice = NO_ADVICE
    benchmarked: Verdict | None = None
    """Where the benchmark is; None where none is asked for."""

    @property
    def serves(self) -> bool:
        """Whether any replica answers requests, of whatever version."""
        return any(one.is_ready for one in self.observed.replicas)

    @property
    def first_failure(self) -> Failure | None:
        """The failure to tell first."""
        return next(iter(self.observed.failures), None)


def verdicts(situation: Situation) -> list[Verdict]:
    """Return all conditions; those that are only there while they hold are left out otherwise."""
    found = (
        _ready(situation),
        _reconciling(situation),
        _stalled(situation),
        situation.planned,
        _engine_healthy(situation),
        _metrics_contract(situation),
        _scaling_active(situation),
        _scaling_limited(situation),
        situation.benchmarked,
    )
    return [one for one in found if one is not None]


def refused(reason: Reason, message: str) -> list[Verdict]:
    """Return the conditions of a resource that cannot be served as it is: its children are left as they are."""
    return [
        Verdict(ConditionType.READY, "False", reason, message),
        Verdict(ConditionType.STALLED, "True", reason, message),
    ]


def inspecting(message: str) -> list[Verdict]:
    """Return the conditions of a resource of which nothing is made before its model is known."""
    return [
        Verdict(ConditionType.READY, "False", Reason.INSPECTING, message),
        Verdict(ConditionType.RECONCILING, "True", Reason.INSPECTING, message),
    ]


def pending() -> list[Verdict]:
    """Return the conditions of a resource that was just seen for the first time."""
    message = "seen; its Deployment, Service, disruption budget and service account are being made"
    return [
        Verdict(ConditionType.READY, "Unknown", Reason.PENDING, message),
        Verdict(ConditionType.RECONCILING, "True", Reason.PENDING, message),
    ]


def dated(found: list[Verdict], previous: Manifest, generation: int, now: datetime) -> list[dict[str, Any]]:
    """Return `found` as the API has conditions; a time of transition is kept where the status is the same."""
    before = {one["type"]: one for one in previous.get("conditions", ())}
    return [
        {
            "type": str(one.type),
            "status": one.status,
            "observedGeneration": generation,
            "lastTransitionTime": (
                before[one.type]["lastTransitionTime"]
                if before.get(one.type, {}).get("status") == one.status
                else timestamp(now)
            ),
            "reason": str(one.reason),
            "message": one.message[:MAX_MESSAGE_LENGTH],
        }
        for one in found
    ]


def timestamp(now: datetime) -> str:
    """Return `now` as the API writes times: UTC, whole seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ready(situation: Situation) -> Verdict:
    if situation.wanted == 0:
        return Verdict(
            ConditionType.READY, "True", Reason.SCALED_TO_ZERO, f"0 replicas are wanted{_how_to_wake(situation)}"
        )
    if situation.serves:
        return Verdict(ConditionType.READY, "True", Reason.SERVING, "the model answers requests")
    if situation.stalled is not None:
        return Verdict(ConditionType.READY, "False", *situation.stalled)
    failure = situation.first_failure
    why = f". {failure.pod}: {failure.message}" if failure else "; the first one is starting"
    return Verdict(ConditionType.READY, "False", Reason.NO_READY_REPLICAS, f"no replica answers requests{why}")


def _how_to_wake(situation: Situation) -> str:
    if situation.spec.scaling.mode != "auto":
        return ", nothing is served"
    return (
        f" after {situation.spec.scaling.idle_seconds} s without a request; to wake it: kubectl annotate --overwrite "
        f'batchedllm NAME {names.ANNOTATION_WAKE}="$(date)", or kubectl scale batchedllm NAME --replicas=1'
    )


def _reconciling(situation: Situation) -> Verdict | None:
    """Tell that waiting helps. More replicas of a version that serves already are scaling, not reconciling."""
    if situation.stalled is not None:
        return None
    if situation.changing:
        message = f"children are being written: {situation.changing}"
    elif situation.observed.has_others(situation.template):
        message = "replicas are being replaced by ones of the new version"
    elif situation.wanted > 0 and not situation.serves:
        message = "waiting for the first replica to answer"
    else:
        return None
    return Verdict(ConditionType.RECONCILING, "True", Reason.PROGRESSING, message)


def _stalled(situation: Situation) -> Verdict | None:
    if situation.stalled is None:
        return None
    return Verdict(ConditionType.STALLED, "True", *situation.stalled)


def _engine_healthy(situation: Situation) -> Verdict:
    failure, others = situation.first_failure, len(situation.observed.failures) - 1
    if failure is not None:
        more = f" ({others} more)" if others > 0 else ""
        message = f"{failure.pod}: {failure.message}{more}"
        return Verdict(ConditionType.ENGINE_HEALTHY, "False", failure.reason, message)
    if situation.advice.engine_stalled:
        stalled = situation.advice.engine_stalled
        return Verdict(ConditionType.ENGINE_HEALTHY, "False", Reason.ENGINE_STALLED, stalled)
    if situation.wanted == 0:
        return Verdict(ConditionType.ENGINE_HEALTHY, "Unknown", Reason.SCALED_TO_ZERO, "there are no replicas")
    if not situation.serves:
        return Verdict(ConditionType.ENGINE_HEALTHY, "Unknown", Reason.STARTING, "no replica has answered yet")
    return Verdict(ConditionType.ENGINE_HEALTHY, "True", Reason.HEALTHY, "no replica fails")


def _metrics_contract(situation: Situation) -> Verdict:
    load = situation.load
    if load is None or load.reporting_replicas == 0:
        words = "no replica reports metrics now"
        return Verdict(ConditionType.METRICS_CONTRACT, "Unknown", Reason.NO_FRESH_METRICS, words)
    if load.missing:
        words = f"the engine does not report {', '.join(load.missing)}; what depends on them is unknown, not 0"
        return Verdict(ConditionType.METRICS_CONTRACT, "False", Reason.METRICS_MISSING, words)
    gpu = _NO_GPU_METRICS if load.no_gpu_metrics else _ABOUT_GPU_METRICS.get(load.gpu_metrics_source, "")
    return Verdict(ConditionType.METRICS_CONTRACT, "True", Reason.AS_EXPECTED, f"all signals are reported{gpu}")


_NO_GPU_METRICS: Final = "; no GPU utilization is reported, so it is left out"
_ABOUT_GPU_METRICS: Final = {
    "dcgm-exporter": "; GPU utilization is that of the nodes' dcgm-exporter",
    "mixed": "; GPU utilization is that of the engines, and of the nodes' dcgm-exporter where an engine has none",
}


_WHO_SCALES: Final = {
    "recommend": (Reason.RECOMMENDING, "mode recommend: decisions are in the status and are not applied"),
    "external": (
        Reason.EXTERNAL,
        "mode external: the scale subresource, or the Deployment's, sets the replicas; see status.recommendedReplicas",
    ),
    "off": (Reason.SWITCHED_OFF, "mode off: spec.replicas, or minReplicas, is kept"),
}


def _scaling_active(situation: Situation) -> Verdict:
    scaling, load = situation.spec.scaling, situation.load
    if scaling.mode in _WHO_SCALES:
        return Verdict(ConditionType.SCALING_ACTIVE, "False", *_WHO_SCALES[scaling.mode])
    if situation.wanted == 0:
        words = f"0 replicas are wanted{_how_to_wake(situation)}"
        return Verdict(ConditionType.SCALING_ACTIVE, "True", Reason.SCALED_TO_ZERO, words)
    unread = situation.spec.replicas if scaling.min_replicas > 0 else None
    note = "" if unread is None else f"; spec.replicas={unread} is not read in mode auto with minReplicas over 0"
    if load is None or load.reporting_replicas == 0:
        message = f"no replica reports fresh metrics: nothing is removed, and added only up to minReplicas{note}"
        return Verdict(ConditionType.SCALING_ACTIVE, "False", Reason.NO_FRESH_METRICS, message)
    target = scaling.signals.gpu_utilization.role == "target"
    warning = "; GPU utilization as a target reads 100 % from a batch of 2 on" if target else ""
    bounds = situation.decision.bounds or policy_bounds(scaling)
    low = 0 if bounds.low_by == WAKE else bounds.low
    message = f"between {low} and {bounds.high} replicas{_scheduled(bounds)}{warning}{note}"
    return Verdict(ConditionType.SCALING_ACTIVE, "True", Reason.SCALING, message)


def _scheduled(bounds: Bounds) -> str:
    schedules = dict.fromkeys(by for by, _ in bounds.named if by.startswith(PREFIX))
    return f" ({', '.join(schedules)})" if schedules else ""


def _scaling_limited(situation: Situation) -> Verdict:
    bounds = situation.decision.bounds
    if situation.decision.given_up:
        return Verdict(ConditionType.SCALING_LIMITED, "True", Reason.UNSCHEDULABLE, situation.decision.given_up)
    if situation.observed.fleet.unschedulable:
        failures = situation.observed.failures
        first = next((one for one in failures if one.reason is Reason.UNSCHEDULABLE), situation.first_failure)
        words = first.message if first is not None else "the scheduler finds no node"
        return Verdict(ConditionType.SCALING_LIMITED, "True", Reason.UNSCHEDULABLE, words)
    if bounds is not None and situation.decision.is_capped:
        words = f"more than {bounds.high_by} ({bounds.high}) would be needed"
        reason = Reason.AT_BUDGET if bounds.high_by == BUDGET else Reason.AT_MAX_REPLICAS
        return Verdict(ConditionType.SCALING_LIMITED, "True", reason, words)
    return Verdict(ConditionType.SCALING_LIMITED, "False", Reason.WITHIN_LIMITS, "no limit holds the replicas")
