"""What there is, read from the live objects: the replicas, which version they run, and what is wrong with them."""

from dataclasses import dataclass
from typing import Final

from batchedllm.api.conditions import Reason
from batchedllm.core.admission_failure import admission_failure
from batchedllm.core.container_state import is_ready
from batchedllm.core.failure import Failure, creation_failure
from batchedllm.core.manifests.pod_template import ANNOTATION_TEMPLATE
from batchedllm.core.pod_failures import is_old_news, pod_failure, wants_log
from batchedllm.core.reconcile_types import Gathered, Manifest, Now
from batchedllm.core.scaling.types import Fleet, Start
from batchedllm.core.starts import starts_of

_MAY_YET_SERVE: Final = frozenset(
    {Reason.UNSCHEDULABLE, Reason.NOT_ANSWERING, Reason.EVICTED, Reason.ADMISSION_CONFIGURATION}
)
"""Failures that say nothing against further replicas: the first has a limit of its own, an engine that does not
answer may just be too busy, a pod that its node gave up is replaced, and a file is mended in the running pod."""

_GONE: Final = frozenset({"Failed", "Succeeded"})
"""Phases of a pod that is no replica any more, though its object is still there."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One pod that is there to stay."""

    pod: str
    is_ready: bool
    template: str | None
    """Fingerprint of the template it was made from; None if it does not say."""

    def is_of(self, template: str) -> bool:
        """Whether the pod runs this version; one that does not say is not held to be another."""
        return self.template in (None, template)


@dataclass(frozen=True, slots=True)
class Observed:
    """The replicas of one BatchedLLM."""

    deployment: Manifest | None
    replicas: tuple[Replica, ...]
    fleet: Fleet
    starts: tuple[Start, ...]
    """How long the ready replicas took to start."""
    failures: tuple[Failure, ...]
    deadline_passed: str
    """What the Deployment says when its deadline for progress has passed; empty otherwise."""
    wants_logs_of: tuple[str, ...]
    """Failed pods whose log would tell more."""

    def ready_of(self, template: str) -> int:
        """Return how many ready replicas run this version."""
        return sum(one.is_ready and one.is_of(template) for one in self.replicas)

    def ready_pods_of(self, template: str) -> tuple[str, ...]:
        """Return the ready replicas that surely run this version."""
        return tuple(one.pod for one in self.replicas if one.is_ready and one.template == template)

    def has_others(self, template: str) -> bool:
        """Whether any replica runs another version: a rollout is under way."""
        return any(not one.is_of(template) for one in self.replicas)


def observe(gathered: Gathered, now: Now) -> Observed:
    """Read the live objects of `gathered`. Pods that are being deleted are no replicas any more."""
    deployment = find(gathered.children, "Deployment", gathered.resource["metadata"]["name"])
    pods = sorted(
        (pod for pod in gathered.pods if not pod["metadata"].get("deletionTimestamp")),
        key=lambda pod: str(pod["metadata"]["name"]),
    )
    failures = _failures(gathered, pods, now)
    refused = creation_failure(deployment)
    replicas = tuple(_replica(pod) for pod in pods if not _is_gone(pod))
    return Observed(
        deployment=deployment,
        replicas=replicas,
        fleet=_fleet(_wanted(deployment, gathered.resource), replicas, failures, refused),
        starts=starts_of(pods),
        failures=(*((refused,) if refused else ()), *failures),
        deadline_passed=_deadline_passed(deployment),
        wants_logs_of=tuple(pod["metadata"]["name"] for pod in pods if wants_log(pod)),
    )


def find(children: tuple[Manifest, ...], kind: str, name: str) -> Manifest | None:
    """Return the child of this kind and name."""
    return next((one for one in children if one["kind"] == kind and one["metadata"]["name"] == name), None)


def _failures(gathered: Gathered, pods: list[Manifest], now: Now) -> tuple[Failure, ...]:
    found = (_failure(gathered, pod, now) for pod in pods if not is_old_news(pod, now.wall))
    return tuple(failure for failure in found if failure is not None)


def _failure(gathered: Gathered, pod: Manifest, now: Now) -> Failure | None:
    """Return what is wrong with a pod. That it does not answer is explained by a configuration it cannot use."""
    found = pod_failure(pod, now.wall, gathered.warnings, gathered.log_tails)
    is_misconfigured = pod["metadata"]["name"] in gathered.misconfigured_pods
    if is_misconfigured and (found is None or found.reason is Reason.NOT_ANSWERING):
        return admission_failure(pod, gathered.resource)
    return found


def _fleet(wanted: int, replicas: tuple[Replica, ...], failures: tuple[Failure, ...], refused: Failure | None) -> Fleet:
    """Put the replicas into the numbers that scaling goes by. Surplus replicas of a rollout do not count."""
    ready = min(wanted, sum(one.is_ready for one in replicas))
    pending = wanted - ready
    unschedulable = sum(one.reason is Reason.UNSCHEDULABLE for one in failures)
    unschedulable += max(1, wanted - len(replicas)) if refused else 0
    failing = sum(one.reason not in _MAY_YET_SERVE for one in failures)
    without_node = (one for one in failures if one.reason is Reason.UNSCHEDULABLE)
    reason = refused.message if refused else next((one.message for one in without_node), "")
    return Fleet(
        wanted=wanted,
        ready=ready,
        pending=pending,
        unschedulable=min(pending, unschedulable),
        failing=min(pending, failing),
        unschedulable_reason=reason,
    )


def _wanted(deployment: Manifest | None, resource: Manifest) -> int:
    """Return what the Deployment asks for; where it was deleted, what it is to ask for again."""
    if deployment is not None:
        return int(deployment["spec"].get("replicas", 1))
    return int((resource.get("status") or {}).get("wantedReplicas") or 0)


def _replica(pod: Manifest) -> Replica:
    annotations = pod["metadata"].get("annotations") or {}
    return Replica(pod["metadata"]["name"], is_ready(pod), annotations.get(ANNOTATION_TEMPLATE))


def _is_gone(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") in _GONE


def _deadline_passed(deployment: Manifest | None) -> str:
    for condition in ((deployment or {}).get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return str(condition.get("message") or "the rollout made no progress within its deadline")
    return ""
