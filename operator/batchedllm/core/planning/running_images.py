"""What an image's name stands for on the nodes: the digests that replicas run."""

from collections.abc import Iterable

from batchedllm.api.names import ENGINE_CONTAINER
from batchedllm.core.reconcile_types import Manifest


def digests(pods: Iterable[Manifest], image: str) -> frozenset[str]:
    """Return the digests that engines of this image run, as their kubelets tell them; empty before any has started."""
    return frozenset(
        str(status["imageID"])
        for pod in pods
        if _engine_image(pod) == image and not pod["metadata"].get("deletionTimestamp")
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
        if status.get("name") == ENGINE_CONTAINER and status.get("imageID")
    )


def _engine_image(pod: Manifest) -> str:
    containers = (pod.get("spec") or {}).get("containers") or ()
    return next((str(one.get("image", "")) for one in containers if one.get("name") == ENGINE_CONTAINER), "")
