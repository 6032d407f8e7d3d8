"""Which pods go when replicas are removed: the emptiest, and of equally empty ones the youngest.

Kubernetes takes pods that are not ready first, then those with the lowest deletion cost, an annotation
(https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost). It asks not to change it
often, so it is written just before a removal, on the pods that are to go, and later taken back from those that did not.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from batchedllm.core.container_state import is_ready, time_of
from batchedllm.core.readings import PodReading
from batchedllm.core.reconcile_types import Manifest

ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"
FIRST_TO_GO: Final = "-1000"
"""Below the 0 of pods without the annotation."""
AS_ANY_OTHER: Final = "0"

_GONE: Final = frozenset({"Failed", "Succeeded"})
_UNKNOWN_AGE: Final = datetime.min.replace(tzinfo=UTC)


def marks(pods: Iterable[Manifest], readings: Iterable[PodReading], left: int) -> tuple[dict[str, Any], ...]:
    """Return the pods whose annotation has to change before all but `left` of them are removed, as patches.

    A pod whose load is not known is the last to go: it may be the fullest.
    """
    there = [pod for pod in pods if _is_there(pod)]
    ready = [pod for pod in there if is_ready(pod)]
    load = {one.pod: (one.running or 0.0) + (one.queue_depth or 0.0) for one in readings if one.is_measured}
    ready.sort(key=lambda pod: _emptiest_youngest(pod, load))
    not_ready = len(there) - len(ready)
    going = {pod["metadata"]["uid"] for pod in ready[: max(0, len(there) - left - not_ready)]}
    wished = ((pod, _cost(pod, going)) for pod in ready)
    return tuple(_patch(pod, cost) for pod, cost in wished if cost is not None)


def _cost(pod: Manifest, going: set[str]) -> str | None:
    """Return what the annotation is to say; None where it may stay. Values of others stay unless the pod is to go."""
    is_marked = _annotation(pod) == FIRST_TO_GO
    if pod["metadata"]["uid"] in going:
        return None if is_marked else FIRST_TO_GO
    return AS_ANY_OTHER if is_marked else None


def _emptiest_youngest(pod: Manifest, load: Mapping[str, float]) -> tuple[bool, float, float, str]:
    metadata = pod["metadata"]
    name = str(metadata["name"])
    made = time_of(metadata["creationTimestamp"]) if "creationTimestamp" in metadata else _UNKNOWN_AGE
    return name not in load, load.get(name, 0.0), -made.timestamp(), name


def _is_there(pod: Manifest) -> bool:
    return not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") not in _GONE


def _annotation(pod: Manifest) -> str | None:
    return (pod["metadata"].get("annotations") or {}).get(ANNOTATION)


def _patch(pod: Manifest, cost: str) -> dict[str, Any]:
    metadata = {key: pod["metadata"][key] for key in ("namespace", "name", "uid")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "annotations": {ANNOTATION: cost}}}
