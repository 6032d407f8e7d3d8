"""What an image's name stands for on the nodes: the digests that replicas run."""

from collections.abc import Iterable, Iterator

from batchedllm.api.names import ENGINE_CONTAINER
from batchedllm.core.reconcile_types import Manifest


def digests(pods: Iterable[Manifest], image: str) -> frozenset[str]:
    """Return the digests that engines of this image run, as their kubelets tell them; empty before any has started."""
    return frozenset(digest for _, digest in _running(pods, image))


def newest_digest(pods: Iterable[Manifest], image: str) -> str:
    """Return what the image's name stood for when the last of these engines was made; empty before any has started."""
    told = ((str(pod["metadata"].get("creationTimestamp", "")), digest) for pod, digest in _running(pods, image))
    return max(told, default=("", ""))[1]


def of_digest(pods: Iterable[Manifest], image: str, digest: str) -> frozenset[str]:
    """Return the names of the pods whose engine is surely this very image; all while none tells its digest."""
    if not digest:
        return frozenset(pod["metadata"]["name"] for pod in pods)
    return frozenset(pod["metadata"]["name"] for pod, told in _running(pods, image) if told == digest)


def _running(pods: Iterable[Manifest], image: str) -> Iterator[tuple[Manifest, str]]:
    """Yield the pods of this image that tell a digest, with it."""
    for pod in pods:
        if _engine_image(pod) != image or pod["metadata"].get("deletionTimestamp"):
            continue
        for status in (pod.get("status") or {}).get("containerStatuses") or ():
            if status.get("name") == ENGINE_CONTAINER and status.get("imageID"):
                yield pod, str(status["imageID"])


def _engine_image(pod: Manifest) -> str:
    containers = (pod.get("spec") or {}).get("containers") or ()
    return next((str(one.get("image", "")) for one in containers if one.get("name") == ENGINE_CONTAINER), "")
