"""The children that are wanted, compared with those that are there."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from batchedllm.core.drift import Cause, Drift, drift
from batchedllm.core.manifests.pod_template import ANNOTATION_TEMPLATE
from batchedllm.core.observed import find
from batchedllm.core.reconcile_types import Deletion, Gathered, Manifest
from batchedllm.core.replicas import Replicas, preconditioned


@dataclass(frozen=True, slots=True)
class Wish:
    """A child that is wanted, and why it has to be applied; None if it need not be."""

    manifest: Manifest
    drift: Drift | None


Wishes = tuple[Wish, ...]


def compared(wanted: Iterable[dict[str, Any]], gathered: Gathered, replicas: Replicas) -> Wishes:
    """Compare each wanted child with the one of its name."""
    return tuple(_compared(manifest, gathered, replicas) for manifest in wanted)


def _compared(manifest: dict[str, Any], gathered: Gathered, replicas: Replicas) -> Wish:
    live = find(gathered.children, manifest["kind"], manifest["metadata"]["name"])
    if manifest["kind"] == "Deployment":
        return Wish(preconditioned(manifest, live, replicas), drift(manifest, live))
    return Wish(manifest, drift(manifest, live))


def drifts_of(wishes: Wishes) -> Mapping[str, Drift]:
    """Return why children are applied, by kind."""
    return {wish.manifest["kind"]: wish.drift for wish in wishes if wish.drift is not None}


def changing(wishes: Wishes) -> str:
    """Tell why children are written, in words; scaling alone is no change of what was asked for."""
    changes = {kind: drift for kind, drift in drifts_of(wishes).items() if drift.cause is not Cause.SCALED}
    return "; ".join(f"{kind}: {drift.words}" for kind, drift in changes.items())


def template_of(wishes: Wishes) -> str:
    """Return the fingerprint of the pod template that is wanted."""
    deployment = next(wish.manifest for wish in wishes if wish.manifest["kind"] == "Deployment")
    return str(deployment["spec"]["template"]["metadata"]["annotations"][ANNOTATION_TEMPLATE])


def superfluous(wishes: Wishes, gathered: Gathered) -> tuple[Deletion, ...]:
    """Return the children of ours that are not wanted (any more), but for what a pod that is still there mounts."""
    wanted = {(wish.manifest["kind"], wish.manifest["metadata"]["name"]) for wish in wishes}
    wanted |= {("ConfigMap", name) for pod in gathered.pods for name in _config_maps_of(pod)}
    uid = gathered.resource["metadata"]["uid"]
    return tuple(
        _deletion(child)
        for child in sorted(gathered.children, key=lambda child: (child["kind"], child["metadata"]["name"]))
        if (child["kind"], child["metadata"]["name"]) not in wanted and _is_ours(child, uid)
    )


def _config_maps_of(pod: Manifest) -> Iterator[str]:
    """Yield the names of the ConfigMaps that a pod mounts: without them it could not start again."""
    for volume in pod["spec"].get("volumes") or ():
        if "configMap" in volume:
            yield str(volume["configMap"].get("name", ""))


def _is_ours(child: Manifest, uid: str) -> bool:
    """Whether the child belongs to the resource and is not on its way out already."""
    metadata = child["metadata"]
    owners = metadata.get("ownerReferences") or ()
    return not metadata.get("deletionTimestamp") and any(owner.get("uid") == uid for owner in owners)


def _deletion(child: Manifest) -> Deletion:
    metadata = child["metadata"]
    return Deletion(child["apiVersion"], child["kind"], metadata["namespace"], metadata["name"], metadata["uid"])
