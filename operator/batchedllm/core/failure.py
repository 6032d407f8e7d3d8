"""A pod, or the making of one, that does not work."""

from dataclasses import dataclass
from typing import Final

from batchedllm.api.conditions import Reason
from batchedllm.core.reconcile_types import Manifest

MAX_MESSAGE_LENGTH: Final = 600


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed, why, and what to do."""

    pod: str
    """Name of the pod, or of the Deployment that cannot make one."""
    reason: Reason
    message: str
    log: str = ""
    """The last words of the pod's engine; empty where none of its runs ended."""


def short(message: str) -> str:
    """Return one line of bounded length."""
    text = " ".join(message.split())
    return text if len(text) <= MAX_MESSAGE_LENGTH else f"{text[: MAX_MESSAGE_LENGTH - 1]}…"


def creation_failure(deployment: Manifest | None) -> Failure | None:
    """Why the Deployment cannot make pods: quota, Pod Security, admission; None if it can."""
    for condition in ((deployment or {}).get("status") or {}).get("conditions") or ():
        if deployment and condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = condition.get("message", "")
            reason, advice = _creation_reason(message)
            return Failure(deployment["metadata"]["name"], reason, short(f"{message}. {advice}"))
    return None


def _creation_reason(message: str) -> tuple[Reason, str]:
    if "exceeded quota" in message:
        return Reason.QUOTA_EXCEEDED, "Raise the ResourceQuota of the namespace, or lower scaling.maxReplicas"
    if "violates PodSecurity" in message:
        return Reason.POD_SECURITY, "The pods keep to the restricted profile; change what the message names"
    return Reason.CONFIGURATION, "Kubernetes does not take the pods; change what the message names"
