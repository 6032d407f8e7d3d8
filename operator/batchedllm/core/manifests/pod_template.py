"""The engine's pods: one container, where it may run, as whom, and when it must be gone."""

from typing import Any, Final

from batchedllm.api.names import GROUP, labels
from batchedllm.api.pod import Toleration
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.fingerprint import fingerprint
from batchedllm.core.manifests.engine_container import engine_container
from batchedllm.core.manifests.identity import Owner, only_set
from batchedllm.core.manifests.probes import termination_grace_seconds
from batchedllm.core.manifests.volumes import serving_volumes

ANNOTATION_TEMPLATE: Final = f"{GROUP}/template"
"""Annotation of a pod: the fingerprint of the template it was made from, which tells new pods from old ones."""

LABEL_GPU_PRODUCT: Final = "nvidia.com/gpu.product"
"""Label that GPU feature discovery gives to nodes."""


def pod_security(spec: BatchedLLMSpec) -> dict[str, Any]:
    """What the Pod Security Standard `restricted` asks of a pod. GPUs need no privilege with a device plugin."""
    user = spec.pod.security_context
    return {
        "runAsNonRoot": True,
        "runAsUser": user.run_as_user,
        "runAsGroup": user.run_as_group,
        "fsGroup": user.fs_group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _toleration(toleration: Toleration) -> dict[str, Any]:
    return toleration.model_dump(by_alias=True, exclude_none=True)


def tolerations(spec: BatchedLLMSpec) -> list[dict[str, Any]]:
    """Return the taint that GPU nodes commonly bear, named like the resource, and what the user adds."""
    own = []
    if spec.gpu.per_replica > 0:
        own = [{"key": spec.gpu.resource, "operator": "Exists", "effect": "NoSchedule"}]
    return [*own, *(_toleration(toleration) for toleration in spec.pod.tolerations)]


def node_selector(spec: BatchedLLMSpec) -> dict[str, str]:
    """Return the labels that a node must have."""
    product = {} if spec.gpu.product is None else {LABEL_GPU_PRODUCT: spec.gpu.product}
    return {**spec.pod.node_selector, **product}


def pod_spec(owner: Owner, spec: BatchedLLMSpec, default_image: str) -> dict[str, Any]:
    """Return the pod's spec.

    Service links are off: for a Service called `vllm` they set VLLM_PORT to a URL, and vLLM refuses to start.
    """
    return only_set(
        serviceAccountName=owner.name,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        securityContext=pod_security(spec),
        terminationGracePeriodSeconds=termination_grace_seconds(spec.rollout),
        priorityClassName=spec.priority.pod_priority_class_name,
        runtimeClassName=spec.pod.runtime_class_name,
        imagePullSecrets=[{"name": name} for name in spec.engine.image_pull_secrets],
        nodeSelector=node_selector(spec),
        tolerations=tolerations(spec),
        affinity=spec.pod.affinity,
        topologySpreadConstraints=spec.pod.topology_spread_constraints,
        containers=[engine_container(owner, spec, default_image)],
        volumes=[volume.manifest() for volume in serving_volumes(owner.name, spec)],
    )


def pod_template(owner: Owner, spec: BatchedLLMSpec, default_image: str) -> dict[str, Any]:
    """Return the template, with its own fingerprint on it. Our labels hold over the user's of the same name."""
    metadata = only_set(labels={**spec.pod.labels, **labels(owner.name)}, annotations=dict(spec.pod.annotations))
    template = {"metadata": metadata, "spec": pod_spec(owner, spec, default_image)}
    annotations = {**spec.pod.annotations, ANNOTATION_TEMPLATE: fingerprint(template)}
    return {**template, "metadata": {**metadata, "annotations": annotations}}


def template_fingerprint(owner: Owner, spec: BatchedLLMSpec, default_image: str) -> str:
    """Return the fingerprint that pods of this spec bear."""
    return str(pod_template(owner, spec, default_image)["metadata"]["annotations"][ANNOTATION_TEMPLATE])
