"""What the harness adds to the engine's pods of its own namespace: the host's Python, PyTorch and GPU.

The API server does it as pods are made (MutatingAdmissionPolicy), so the operator and what it writes are as they always
are. Nobody should serve like this: the engine's container is privileged to see the GPU without a device plugin, and its
programs are whatever the host has. All else of the pod stays the product's: user, read-only root, probes, volumes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENGINE_CONTAINER = "engine"
POLICY = "gpu-host-overlay"


@dataclass(frozen=True, slots=True)
class Overlay:
    """What every container gets, and what only engines get."""

    mounts: tuple[str, ...]
    """Paths of the host, mounted read-only where they are."""
    folders: dict[str, str]
    """Further ones, path in the pod to path of the host."""
    environment: dict[str, str]


def existing(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return those that are there; a path below another of them is in it already."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if Path(path).exists() and not any(path.startswith(f"{other}/") for other in kept):
            kept.append(path)
    return tuple(kept)


def _text(value: str) -> str:
    """A string as CEL has it, which is as JSON has it."""
    return json.dumps(value)


def _volumes(overlay: Overlay) -> list[tuple[str, str, str]]:
    """Return (volume name, path in the pod, path of the host)."""
    pairs = [*((path, path) for path in overlay.mounts), *overlay.folders.items()]
    return [(f"host-{index}", inside, host) for index, (inside, host) in enumerate(pairs)]


def expression(overlay: Overlay) -> str:
    """Return the CEL expression that the policy applies to a pod, as server-side apply would merge it."""
    volumes = _volumes(overlay)
    mounts = ", ".join(
        f"Object.spec.containers.volumeMounts{{name: {_text(name)}, mountPath: {_text(inside)}, readOnly: true}}"
        for name, inside, _ in volumes
    )
    environment = ", ".join(
        f"Object.spec.containers.env{{name: {_text(name)}, value: {_text(value)}}}"
        for name, value in overlay.environment.items()
    )
    sources = ", ".join(
        f"Object.spec.volumes{{name: {_text(name)}, hostPath: Object.spec.volumes.hostPath{{path: {_text(host)}}}}}"
        for name, _, host in volumes
    )
    security = (
        f"securityContext: Object.spec.containers.securityContext{{privileged: one.name == {_text(ENGINE_CONTAINER)}, "
        f"allowPrivilegeEscalation: one.name == {_text(ENGINE_CONTAINER)}}}"
    )
    containers = (
        "object.spec.containers.map(one, Object.spec.containers{name: one.name, "
        f"volumeMounts: [{mounts}], env: [{environment}], {security}}})"
    )
    return f"Object{{spec: Object.spec{{containers: {containers}, volumes: [{sources}]}}}}"


def manifests(overlay: Overlay, namespace: str) -> list[dict[str, Any]]:
    """Return the namespace, labelled for what it is, and the policy bound to it alone."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    group = "admissionregistration.k8s.io/v1"
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
        },
        {
            "apiVersion": group,
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": POLICY},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {"expression": expression(overlay)},
                    }
                ],
            },
        },
        {
            "apiVersion": group,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": POLICY},
            "spec": {"policyName": POLICY, "matchResources": {"namespaceSelector": selector}},
        },
    ]


def claim(name: str, namespace: str, path: str, mode: str) -> list[dict[str, Any]]:
    """Return a volume that is a folder of the host, and its claim."""
    common = {"accessModes": [mode], "storageClassName": ""}
    size = {"storage": "10Gi"}
    volume = f"{namespace}-{name}"
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {**common, "capacity": size, "hostPath": {"path": path}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**common, "resources": {"requests": size}, "volumeName": volume},
        },
    ]
