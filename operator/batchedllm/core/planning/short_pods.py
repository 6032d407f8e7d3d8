"""Pods that run once and tell what they found as their termination message: what of them is read, and how they go."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from batchedllm.core.container_state import time_of
from batchedllm.core.reconcile_types import Deletion, Manifest

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_WAITS_IN_VAIN: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


@dataclass(frozen=True, slots=True)
class ShortPod:
    """One such pod as the API server holds it; `container` is the one that tells."""

    manifest: Manifest
    container: str

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def has_ended(self) -> bool:
        """Whether it ran to an end, good or bad."""
        return str(self.manifest.get("status", {}).get("phase", "Pending")) in _ENDED

    @property
    def text(self) -> str:
        """Its last words; empty before there are any."""
        return str(self._terminated.get("message", "") or self.manifest.get("status", {}).get("message", ""))

    @property
    def ended_at(self) -> datetime:
        """When it ended; one that the kubelet ended has no finished container."""
        return time_of(self._terminated.get("finishedAt") or self.manifest["metadata"]["creationTimestamp"])

    @property
    def waits_in_vain(self) -> str:
        """Why its container cannot start, in words; empty if it can."""
        waiting = self._state.get("waiting") or {}
        if waiting.get("reason") not in _WAITS_IN_VAIN:
            return ""
        return f"{waiting['reason']} {waiting.get('message', '')}".strip()

    @property
    def unscheduled(self) -> str:
        """The scheduler's words where it found no node; empty otherwise."""
        conditions = self.manifest.get("status", {}).get("conditions") or []
        refused = (one for one in conditions if one["type"] == "PodScheduled" and one["status"] == "False")
        return next((str(one.get("message", "")) for one in refused), "")

    @property
    def image_id(self) -> str:
        """What the image's name stood for."""
        return str(self._status.get("imageID", ""))

    def annotation(self, name: str) -> str:
        """Return an annotation; empty where there is none."""
        return str((self.manifest["metadata"].get("annotations") or {}).get(name, ""))

    def document(self, version: int) -> Mapping[str, Any] | None:
        """Return the JSON of its last words; None where they are none of this version."""
        try:
            found = json.loads(self._terminated.get("message", ""))
        except ValueError:
            return None
        return found if isinstance(found, dict) and found.get("version") == version else None

    def failure(self, lacks_module: str) -> str:
        """Return why it ended without a result; `lacks_module` is what to do where the image has no such program."""
        if "No module named" in self.text:
            return lacks_module
        document = self.document(1)
        if document is not None and "error" in document:
            error = document["error"]
            return f"{error.get('reason', 'Internal')}: {error.get('message', 'no message')}"
        last = next((line for line in reversed(self.text.splitlines()) if line.strip()), "")
        status_reason = self.manifest.get("status", {}).get("reason")
        reason = self._terminated.get("reason") or status_reason or "no termination message"
        return f"{reason}: {last[:300]}" if last else str(reason)

    @property
    def _terminated(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._state.get("terminated") or {}
        return found

    @property
    def _state(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._status.get("state") or {}
        return found

    @property
    def _status(self) -> Mapping[str, Any]:
        statuses: list[Mapping[str, Any]] = self.manifest.get("status", {}).get("containerStatuses") or []
        return next((one for one in statuses if one.get("name") == self.container), {})


def alive(pods: Sequence[Manifest], container: str) -> list[ShortPod]:
    """Return the pods that are not being deleted."""
    return [ShortPod(pod, container) for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def deletions(pods: Sequence[Manifest]) -> tuple[Deletion, ...]:
    """Return what removes these pods."""
    return tuple(
        Deletion("v1", "Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], pod["metadata"]["uid"])
        for pod in pods
    )
