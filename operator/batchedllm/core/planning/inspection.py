"""The life of an inspection: wanted, running, told, or failed and tried again. A pure step from what is there."""

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
from batchedllm.core.planning.short_pods import ShortPod, alive, deletions
from batchedllm.core.reconcile_types import Deletion, Manifest

VERSION: Final = 1
"""Of the document that an inspection ends with."""

FIRST_RETRY_SECONDS: Final = 60
LONGEST_RETRY_SECONDS: Final = 3600

PATIENCE_SECONDS: Final = 60
"""How long a pod may wait for a node before the engine is started without a plan."""

NEIGHBOUR_SECONDS: Final = 5.0
"""When to look whether another BatchedLLM's inspection of the same has ended: nobody else tells."""

_NO_PROGRAM: Final = (
    "the engine's image cannot inspect models (it lacks batchedllm_engine or vLLM): use an image of ours, or describe "
    "the model in model.configMap, or set memory.inspection: never"
)

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
    there = alive(pods, CONTAINER)
    current = sorted((pod for pod in there if pod.annotation(ANNOTATION_KEY) == key), key=_attempt)
    if known is not None:
        return Inspection(known, is_over=True, delete=_gone(there))
    outdated = _gone([pod for pod in there if pod not in current[-1:]])
    if not current:
        return _begun(subject, neighbours, outdated, now)
    last = current[-1]
    if not last.has_ended:
        return _waiting(last, outdated, now)
    document = last.document(VERSION)
    if document is not None and "error" not in document:
        images = frozenset(filter(None, (last.image_id, subject.running)))
        return Inspection(Result(document, images), is_over=True, delete=outdated)
    return _failed(subject, last, outdated, now)


def _begun(
    subject: Subject, neighbours: Sequence[Manifest], outdated: tuple[Deletion, ...], now: datetime
) -> Inspection:
    """Make a pod, or wait for another BatchedLLM's."""
    key = pod_key(subject)
    others = alive(neighbours, CONTAINER)
    same = [pod for pod in others if pod.annotation(ANNOTATION_KEY) == key and not pod.has_ended]
    if same:
        return replace(_waiting(same[0], outdated, now), look_again_seconds=NEIGHBOUR_SECONDS)
    pod = inspection_pod(subject, 1)
    return Inspection(message="a short pod reads the model's config", apply=(pod,), delete=outdated)


def _waiting(pod: ShortPod, outdated: tuple[Deletion, ...], now: datetime) -> Inspection:
    """Wait for a pod that runs, or will; one that cannot start is no reason to hold the engine back."""
    if pod.waits_in_vain:
        words = f"{pod.name}: {pod.waits_in_vain}"
        return Inspection(reason=Reason.INSPECTION_FAILED, message=words, is_over=True, delete=outdated)
    age = (now - time_of(pod.manifest["metadata"]["creationTimestamp"])).total_seconds()
    if pod.unscheduled and age >= PATIENCE_SECONDS:
        words = f"{pod.name} finds no node: {pod.unscheduled}"
        return Inspection(reason=Reason.INSPECTION_FAILED, message=words, is_over=True, delete=outdated)
    again = max(1.0, PATIENCE_SECONDS - age) if pod.unscheduled else float(PATIENCE_SECONDS)
    return Inspection(message=f"{pod.name} reads the model's config", delete=outdated, look_again_seconds=again)


def _failed(subject: Subject, pod: ShortPod, outdated: tuple[Deletion, ...], now: datetime) -> Inspection:
    """Tell why, keep the pod as evidence, and try again when its time has come."""
    attempt, message = _attempt(pod), pod.failure(_NO_PROGRAM)
    seconds = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(attempt - 1, 10))
    left = seconds - (now - pod.ended_at).total_seconds()
    if left > 0:
        words = f"{message} (attempt {attempt}; the next one follows)"
        return Inspection(None, Reason.INSPECTION_FAILED, words, is_over=True, delete=outdated, look_again_seconds=left)
    following = inspection_pod(subject, attempt + 1)
    words = f"{message} (attempt {attempt}; attempt {attempt + 1} begins)"
    gone = (*outdated, *_gone([pod]))
    return Inspection(None, Reason.INSPECTION_FAILED, words, is_over=True, apply=(following,), delete=gone)


def _gone(pods: Sequence[ShortPod]) -> tuple[Deletion, ...]:
    return deletions([pod.manifest for pod in pods])


def _attempt(pod: ShortPod) -> int:
    text = pod.annotation(ANNOTATION_ATTEMPT)
    return int(text) if text.isdecimal() else 1
