"""The short pod that starts the model's engine by itself, measures it, and ends.

It gets what a replica gets, its GPUs among it, but neither the label by which the Service finds replicas nor probes.
"""

from dataclasses import dataclass
from typing import Any, Final

from batchedllm.api.names import GROUP, LABEL_BENCHMARKS
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.engine_arguments import engine_arguments
from batchedllm.core.fingerprint import fingerprint
from batchedllm.core.learned import learned_of
from batchedllm.core.manifests.engine_container import container_security, environment, resources
from batchedllm.core.manifests.identity import Owner, only_set, owner_reference
from batchedllm.core.manifests.pod_template import pod_spec
from batchedllm.core.manifests.volumes import volumes
from batchedllm.core.scaling.objective import objective_of

ANNOTATION_KEY: Final = f"{GROUP}/benchmark-of"
"""What is measured; see `benchmark_key`."""
ANNOTATION_ASKED_BY: Final = f"{GROUP}/benchmark-asked-by"
CONTAINER: Final = "benchmark"
PULL_SECONDS: Final = 1800
"""For the engine's image of some 10 GB, before the program's own times begin."""
END_SECONDS: Final = 60
"""For what was begun in time, and for ending the engine."""
WIDEST_BATCH: Final = 512
"""Batch up to which is measured where the spec leaves `maxNumSeqs` to the goal: the knee may lie above its choice."""
_KEY_LENGTH_IN_NAME: Final = 8
_LEFT_OUT: Final = (
    *("--host", "--port", "--middleware", "--scheduling-policy", "--shutdown-timeout"),
    *("--max-num-queued-reqs", "--max-num-queued-tokens"),
)
"""Arguments that are about clients, and none of the benchmark's business."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured, and for whom."""

    owner: Owner
    spec: BatchedLLMSpec
    """As the user wrote it."""
    served: BatchedLLMSpec
    """With what the plan chose filled in."""
    image: str
    asked_by: str
    """Value of the annotation that asks for it; empty: the spec does."""


def benchmark_key(spec: BatchedLLMSpec, image: str) -> str:
    """Return a fingerprint of what a profile depends on: what the user asked for, not what a profile made of it."""
    return fingerprint(learned_of(spec, image))


def benchmark_pod(subject: Subject) -> dict[str, Any]:
    """Return the pod."""
    owner, key = subject.owner, benchmark_key(subject.spec, subject.image)
    run = fingerprint({"key": key, "askedBy": subject.asked_by})
    metadata: dict[str, Any] = {
        "name": f"{_beginning(owner.name)}{run[:_KEY_LENGTH_IN_NAME]}",
        "namespace": owner.namespace,
        "labels": {
            "app.kubernetes.io/managed-by": "batchedllm",
            "app.kubernetes.io/name": "batchedllm-benchmark",
            "app.kubernetes.io/instance": owner.name,
            LABEL_BENCHMARKS: owner.name,
        },
        "annotations": {ANNOTATION_KEY: key, ANNOTATION_ASKED_BY: subject.asked_by},
    }
    if owner.uid is not None:
        metadata["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod_spec(subject)}


def is_benchmark_pod(resource_name: str, kind: str, name: str) -> bool:
    """Tell whether an object is the pod of a benchmark, by its name."""
    return kind == "Pod" and name.startswith(_beginning(resource_name))


def _beginning(resource_name: str) -> str:
    return f"{resource_name}-benchmark-"


def _pod_spec(subject: Subject) -> dict[str, Any]:
    spec = subject.served
    program = spec.rollout.startup_seconds + spec.tuning.benchmark_seconds + END_SECONDS
    replica = pod_spec(subject.owner, spec, subject.image)
    kept = {name: value for name, value in replica.items() if name not in ("serviceAccountName", "priorityClassName")}
    return {
        **kept,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": PULL_SECONDS + program,
        "terminationGracePeriodSeconds": END_SECONDS,
        "containers": [_container(subject)],
        "volumes": [volume.manifest() for volume in volumes(spec)],
    }


def _container(subject: Subject) -> dict[str, Any]:
    spec = subject.served
    return only_set(
        name=CONTAINER,
        image=subject.image,
        imagePullPolicy=spec.engine.image_pull_policy,
        command=["python3", "-m", "batchedllm_engine", "bench"],
        args=[*_own_arguments(spec), "--", *_engine_arguments(subject)],
        env=environment(spec),
        resources=resources(spec),
        volumeMounts=[volume.mount() for volume in volumes(spec)],
        securityContext=container_security(),
        terminationMessagePolicy="FallbackToLogsOnError",
    )


def _own_arguments(spec: BatchedLLMSpec) -> list[str]:
    product = [] if spec.gpu.product is None else [f"--gpu={spec.gpu.product}"]
    return [
        "--termination-message=/dev/termination-log",
        f"--budget-seconds={spec.tuning.benchmark_seconds}",
        f"--startup-seconds={spec.rollout.startup_seconds}",
        f"--inter-token-limit-ms={objective_of(spec.slo).itl_seconds * 1000:g}",
        "--parts=curve,static",
        *product,
    ]


def _engine_arguments(subject: Subject) -> list[str]:
    """Return those of a replica, but for what concerns its clients; with a wide batch where the goal chooses it."""
    batching = subject.served.batching
    if subject.spec.batching.max_num_seqs is None and batching.max_num_seqs is not None:
        step = batching.max_num_batched_tokens or WIDEST_BATCH
        widest = max(batching.max_num_seqs, min(WIDEST_BATCH, step))
        batching = batching.model_copy(update={"max_num_seqs": widest})
    arguments = engine_arguments(subject.served.model_copy(update={"batching": batching}))
    return [one for one in arguments if one.partition("=")[0] not in _LEFT_OUT]
