"""The short pod that reads a model's config with the engine's own code, without a GPU.

It gets what the engine gets to reach the model (volumes, token, environment), and nothing that is scarce.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchedllm.api.names import GROUP, LABEL_INSPECTS
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.engine_arguments import model_location
from batchedllm.core.fingerprint import fingerprint
from batchedllm.core.manifests.engine_container import container_security, environment
from batchedllm.core.manifests.identity import Owner, only_set, owner_reference
from batchedllm.core.manifests.pod_template import pod_security
from batchedllm.core.manifests.volumes import volumes

ANNOTATION_KEY: Final = f"{GROUP}/inspection"
"""What is inspected; see `pod_key`."""

ANNOTATION_ATTEMPT: Final = f"{GROUP}/attempt"

CONTAINER: Final = "inspect"

PROGRAM_SECONDS: Final = 300
"""After which the program gives up by itself, and says why."""

POD_SECONDS: Final = 1800
"""After which the kubelet ends the pod: the engine's image of some 10 GB has to be pulled within it."""

_KEY_LENGTH_IN_NAME: Final = 8


@dataclass(frozen=True, slots=True)
class Subject:
    """What is inspected, and for whom."""

    owner: Owner
    spec: BatchedLLMSpec
    image: str
    """The engine's image: the resource's own, else the installation's."""
    running: str = ""
    """The digest that replicas run under the image's name; empty where the result that is kept holds for it."""


def inspection_key(subject: Subject) -> str:
    """Return a fingerprint of all that an inspection's result depends on, but for what the image's name stands for."""
    spec, model = subject.spec, subject.spec.model
    return fingerprint(
        {
            "model": model.id,
            "revision": model.revision,
            "source": None if model.source is None else model.source.model_dump(mode="json", exclude_none=True),
            "trustRemoteCode": model.trust_remote_code,
            "dtype": model.dtype,
            "quantization": model.quantization,
            "kvCacheDtype": spec.memory.kv_cache_dtype,
            "tensorParallel": max(1, spec.gpu.per_replica),
            "environment": [one.model_dump(mode="json", exclude_none=True) for one in spec.pod.env],
            "image": subject.image,
        }
    )


def pod_key(subject: Subject) -> str:
    """Return what tells the pods of one inspection from those of another, made for what the image's name meant then."""
    key = inspection_key(subject)
    return fingerprint({"key": key, "running": subject.running}) if subject.running else key


def inspection_pod(subject: Subject, attempt: int) -> dict[str, Any]:
    """Return the pod of the n-th attempt (from 1)."""
    owner, key = subject.owner, pod_key(subject)
    metadata: dict[str, Any] = {
        "name": f"{owner.name}-inspect-{key[:_KEY_LENGTH_IN_NAME]}-{attempt}",
        "namespace": owner.namespace,
        "labels": _labels(owner.name),
        "annotations": {ANNOTATION_KEY: key, ANNOTATION_ATTEMPT: str(attempt)},
    }
    if owner.uid is not None:
        metadata["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod_spec(subject.spec, subject.image)}


def _labels(resource_name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/managed-by": "batchedllm",
        "app.kubernetes.io/name": "batchedllm-inspection",
        "app.kubernetes.io/instance": resource_name,
        LABEL_INSPECTS: resource_name,
    }


def _pod_spec(spec: BatchedLLMSpec, image: str) -> dict[str, Any]:
    """Like the engine's, on any node: no GPU, no product, and no service account that might not exist yet."""
    return only_set(
        restartPolicy="Never",
        activeDeadlineSeconds=POD_SECONDS,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        securityContext=pod_security(spec),
        imagePullSecrets=[{"name": name} for name in spec.engine.image_pull_secrets],
        nodeSelector=dict(spec.pod.node_selector),
        tolerations=[one.model_dump(by_alias=True, exclude_none=True) for one in spec.pod.tolerations],
        containers=[_container(spec, image)],
        volumes=[volume.manifest() for volume in volumes(spec)],
    )


def _container(spec: BatchedLLMSpec, image: str) -> dict[str, Any]:
    return only_set(
        name=CONTAINER,
        image=image,
        imagePullPolicy=spec.engine.image_pull_policy,
        command=["python3", "-m", "batchedllm_engine.inspect"],
        args=_arguments(spec),
        env=environment(spec),
        resources={"requests": {"cpu": "200m", "memory": "2Gi"}, "limits": {"memory": "6Gi"}},
        volumeMounts=[volume.mount() for volume in volumes(spec)],
        securityContext=container_security(),
        terminationMessagePolicy="FallbackToLogsOnError",
    )


def _arguments(spec: BatchedLLMSpec) -> list[str]:
    values: Mapping[str, object] = {
        "--model": model_location(spec),
        "--revision": spec.model.revision,
        "--tensor-parallel-size": spec.gpu.per_replica if spec.gpu.per_replica > 1 else None,
        "--dtype": spec.model.dtype,
        "--quantization": spec.model.quantization,
        "--kv-cache-dtype": spec.memory.kv_cache_dtype,
        "--deadline-seconds": PROGRAM_SECONDS,
    }
    given = [f"{flag}={value}" for flag, value in values.items() if value is not None]
    return [*given, "--trust-remote-code"] if spec.model.trust_remote_code else given
