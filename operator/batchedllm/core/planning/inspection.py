"""The life of an inspection: wanted, running, told, or failed and tried again. A pure step from what is there."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from batchedllm.api.conditions import Reason
from batchedllm.core.container_state import time_of
from batchedllm.core.planning.inspection_pod import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_KEY,
    CONTAINER,
    Subject,
    inspection_pod,
    pod_key,
)
from batchedllm.core.reconcile_types import Deletion, Manifest

VERSION: Final = 1
"""Of the document that an inspection ends with."""

FIRST_RETRY_SECONDS: Final = 60
LONGEST_RETRY_SECONDS: Final = 3600

PATIENCE_SECONDS: Final = 60
"""How long a pod may wait for a node before the engine is started without a plan."""

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_WAITS_IN_VAIN: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})

NEIGHBOUR_SECONDS: Final = 5.0
"""When to look whether another BatchedLLM's inspection of the same has ended: nobody else tells."""

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What an inspection found, and what it holds for."""

    document: Document
    images: frozenset[str] = frozenset()
    """Digests under the image's name: that of the inspection's own container, and that of replicas it was made for."""

    def holds_for(self, running: Collection[str]) -> bool:
        """Tell whether a replica runs an image that this was found for; True too while none tells what it runs."""
        return not running or not self.images.isdisjoint(running)


@dataclass(frozen=True, slots=True)
class Inspection:
    """Where an inspection is, and what to do to bring it on."""

    result: Result | None = None
    reason: Reason = Reason.INSPECTING
    """Why there is no result (yet)."""
    message: str = ""
    is_over: bool = False
    """Whether waiting for it is over: there is a result, or it failed."""
    apply: tuple[Manifest, ...] = ()
    delete: tuple[Deletion, ...] = ()
    look_again_seconds: float | None = None


def inspect(
    subject: Subject,
    pods: Sequence[Manifest],
    known: Result | None,
    now: datetime,
    neighbours: Sequence[Manifest] = (),
) -> Inspection:
    """Return the next step.

    `known` is the result for this subject from an earlier inspection, if it is kept; `neighbours` are pods that read
    for other BatchedLLMs of the namespace. One that reads the same now is waited for.
    """
    key = pod_key(subject)
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    current = sorted((pod for pod in alive if _annotation(pod, ANNOTATION_KEY) == key), key=_attempt)
    if known is not None:
        return Inspection(known, is_over=True, delete=deletions(alive))
    outdated = deletions([pod for pod in alive if pod not in current[-1:]])
    if not current:
        return _begun(subject, neighbours, outdated, now)
    last = current[-1]
    if _phase(last) not in _ENDED:
        return _waiting(last, outdated, now)
    document = _document(last)
    if document is not None and "error" not in document:
        images = frozenset(filter(None, (str(_status(last).get("imageID", "")), subject.running)))
        return Inspection(Result(document, images), is_over=True, delete=outdated)
    return _failed(subject, last, outdated, now)


def _begun(
    subject: Subject, neighbours: Sequence[Manifest], outdated: tuple[Deletion, ...], now: datetime
) -> Inspection:
    """Make a pod, or wait for another BatchedLLM's."""
    key = pod_key(subject)
    same = [
        pod
        for pod in neighbours
        if _annotation(pod, ANNOTATION_KEY) == key
        and _phase(pod) not in _ENDED
        and not pod["metadata"].get("deletionTimestamp")
    ]
    if same:
        return replace(_waiting(same[0], outdated, now), look_again_seconds=NEIGHBOUR_SECONDS)
    pod = inspection_pod(subject, 1)
    return Inspection(message="a short pod reads the model's config", apply=(pod,), delete=outdated)


def _waiting(pod: Manifest, outdated: tuple[Deletion, ...], now: datetime) -> Inspection:
    """Wait for a pod that runs, or will; one that cannot start is no reason to hold the engine back."""
    name, state = pod["metadata"]["name"], _waiting_state(pod)
    if state.get("reason") in _WAITS_IN_VAIN:
        words = f"{name}: {state['reason']} {state.get('message', '')}".strip()
        return Inspection(reason=Reason.INSPECTION_FAILED, message=words, is_over=True, delete=outdated)
    unscheduled = _unscheduled(pod)
    age = (now - time_of(pod["metadata"]["creationTimestamp"])).total_seconds()
    if unscheduled and age >= PATIENCE_SECONDS:
        words = f"{name} finds no node: {unscheduled}"
        return Inspection(reason=Reason.INSPECTION_FAILED, message=words, is_over=True, delete=outdated)
    again = max(1.0, PATIENCE_SECONDS - age) if unscheduled else float(PATIENCE_SECONDS)
    return Inspection(message=f"{name} reads the model's config", delete=outdated, look_again_seconds=again)


def _failed(subject: Subject, pod: Manifest, outdated: tuple[Deletion, ...], now: datetime) -> Inspection:
    """Tell why, keep the pod as evidence, and try again when its time has come."""
    attempt, message = _attempt(pod), failure_of(pod)
    seconds = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(attempt - 1, 10))
    left = seconds - (now - _ended_at(pod)).total_seconds()
    if left > 0:
        words = f"{message} (attempt {attempt}; the next one follows)"
        return Inspection(None, Reason.INSPECTION_FAILED, words, is_over=True, delete=outdated, look_again_seconds=left)
    following = inspection_pod(subject, attempt + 1)
    words = f"{message} (attempt {attempt}; attempt {attempt + 1} begins)"
    gone = (*outdated, *deletions([pod]))
    return Inspection(None, Reason.INSPECTION_FAILED, words, is_over=True, apply=(following,), delete=gone)


def failure_of(pod: Manifest) -> str:
    """Return why an inspection ended without a result, in words that a person can act on."""
    text = _termination(pod).get("message", "") or pod.get("status", {}).get("message", "")
    if "No module named" in text:
        return (
            "the engine's image cannot inspect models (it lacks batchedllm_engine or vLLM): use an image of ours, or "
            "describe the model in model.configMap, or set memory.inspection: never"
        )
    document = _document(pod)
    if document is not None and "error" in document:
        error = document["error"]
        return f"{error.get('reason', 'Internal')}: {error.get('message', 'no message')}"
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    reason = _termination(pod).get("reason") or pod.get("status", {}).get("reason") or "no termination message"
    return f"{reason}: {last[:300]}" if last else str(reason)


def _document(pod: Manifest) -> Document | None:
    try:
        found = json.loads(_termination(pod).get("message", ""))
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("version") == VERSION else None


def _termination(pod: Manifest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _state(pod).get("terminated") or {}
    return found


def _waiting_state(pod: Manifest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _state(pod).get("waiting") or {}
    return found


def _state(pod: Manifest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _status(pod).get("state") or {}
    return found


def _status(pod: Manifest) -> Mapping[str, Any]:
    statuses: list[Mapping[str, Any]] = pod.get("status", {}).get("containerStatuses") or []
    return next((one for one in statuses if one.get("name") == CONTAINER), {})


def _unscheduled(pod: Manifest) -> str:
    conditions = pod.get("status", {}).get("conditions") or []
    refused = (one for one in conditions if one["type"] == "PodScheduled" and one["status"] == "False")
    return next((str(one.get("message", "")) for one in refused), "")


def _ended_at(pod: Manifest) -> datetime:
    """When the pod ended; one that the kubelet ended has no finished container."""
    return time_of(_termination(pod).get("finishedAt") or pod["metadata"]["creationTimestamp"])


def _phase(pod: Manifest) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def _annotation(pod: Manifest, name: str) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(name, ""))


def _attempt(pod: Manifest) -> int:
    text = _annotation(pod, ANNOTATION_ATTEMPT)
    return int(text) if text.isdecimal() else 1


def deletions(pods: Sequence[Manifest]) -> tuple[Deletion, ...]:
    """Return what removes these pods."""
    return tuple(
        Deletion("v1", "Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], pod["metadata"]["uid"])
        for pod in pods
    )
