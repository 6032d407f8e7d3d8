"""The container that serves: image, arguments, environment, resources, and the least privilege."""

from typing import Any

from batchedllm.api.names import (
    ADMISSION_FILE,
    ADMISSION_FOLDER,
    CACHE_PATH,
    ENGINE_CONTAINER,
    ENGINE_PORT,
    ENGINE_PORT_NAME,
    HF_TOKEN_FILE,
    HOME_PATH,
)
from batchedllm.api.pod import EnvironmentVariable
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.engine_arguments import engine_arguments
from batchedllm.core.manifests.identity import Owner, only_set
from batchedllm.core.manifests.probes import liveness_probe, pre_stop_hook, readiness_probe, startup_probe
from batchedllm.core.manifests.volumes import hugging_face_token, serving_volumes


def container_security() -> dict[str, Any]:
    """What the Pod Security Standard `restricted` asks of a container, and a read-only root beside."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    }


def _own_environment(spec: BatchedLLMSpec) -> dict[str, str]:
    """Return the variables that the pod's shape asks for.

    `USER`: without it, looking up a user id that the image does not know ends PyTorch.
    `VLLM_ENGINE_READY_TIMEOUT_S`: vLLM gives up after 600 s on its own, which is too early for a large model.
    What is compiled at a start (by vLLM, PyTorch, Triton and the CUDA driver, each with a place of its own) lies on the
    cache volume, so that the next start finds it; FlashInfer's place, `~/.cache/flashinfer`, is there by itself.
    """
    environment = {
        "HOME": HOME_PATH,
        "USER": "engine",
        "HF_HOME": f"{CACHE_PATH}/huggingface",
        "VLLM_CACHE_ROOT": f"{CACHE_PATH}/vllm",
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE_PATH}/torchinductor",
        "TRITON_CACHE_DIR": f"{CACHE_PATH}/triton",
        "CUDA_CACHE_PATH": f"{CACHE_PATH}/nv",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_ENGINE_READY_TIMEOUT_S": str(spec.rollout.startup_seconds),
    }
    if spec.engine.cache.startup_plan is not None:
        environment["VLLM_ENABLE_STARTUP_PLAN"] = str(int(spec.engine.cache.startup_plan))
    if hugging_face_token(spec) is not None:
        environment["HF_TOKEN_PATH"] = HF_TOKEN_FILE
    return environment


def _users_variable(variable: EnvironmentVariable) -> dict[str, Any]:
    if variable.value_from is None:
        return {"name": variable.name, "value": variable.value or ""}
    reference = variable.value_from.secret_key_ref
    return {"name": variable.name, "valueFrom": {"secretKeyRef": {"name": reference.name, "key": reference.key}}}


def environment(spec: BatchedLLMSpec) -> list[dict[str, Any]]:
    """Our variables, then the user's; where both set one, the user's value holds."""
    users = {variable.name for variable in spec.pod.env}
    ours = [{"name": name, "value": value} for name, value in _own_environment(spec).items() if name not in users]
    return [*ours, *(_users_variable(variable) for variable in spec.pod.env)]


def admission_environment(spec: BatchedLLMSpec) -> list[dict[str, Any]]:
    """Return where the middleware finds its configuration, in pods that serve with it."""
    path = f"{ADMISSION_FOLDER}/{ADMISSION_FILE}"
    return [{"name": "BATCHEDLLM_ADMISSION_CONFIG", "value": path}] if spec.uses_middleware else []


def resources(spec: BatchedLLMSpec) -> dict[str, Any]:
    """CPU and memory as asked for; GPUs as a limit, from which Kubernetes derives the request."""
    gpus = {spec.gpu.resource: str(spec.gpu.per_replica)} if spec.gpu.per_replica > 0 else {}
    limits = {name: str(quantity) for name, quantity in spec.engine.resources.limits.items()}
    requests = {name: str(quantity) for name, quantity in spec.engine.resources.requests.items()}
    return only_set(requests=requests, limits={**limits, **gpus})


def engine_container(owner: Owner, spec: BatchedLLMSpec, default_image: str) -> dict[str, Any]:
    """Return the container. The last lines of its log become its termination message when it fails."""
    return only_set(
        name=ENGINE_CONTAINER,
        image=spec.engine.image or default_image,
        imagePullPolicy=spec.engine.image_pull_policy,
        args=engine_arguments(spec),
        env=[*environment(spec), *admission_environment(spec)],
        ports=[{"name": ENGINE_PORT_NAME, "containerPort": ENGINE_PORT, "protocol": "TCP"}],
        resources=resources(spec),
        volumeMounts=[volume.mount() for volume in serving_volumes(owner.name, spec)],
        startupProbe=startup_probe(spec.rollout),
        readinessProbe=readiness_probe(),
        livenessProbe=liveness_probe(),
        lifecycle=pre_stop_hook(),
        securityContext=container_security(),
        terminationMessagePolicy="FallbackToLogsOnError",
    )
