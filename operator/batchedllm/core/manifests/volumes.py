"""Volumes of an engine pod. The root filesystem is read-only, so every place that is written to is one of these."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from batchedllm.api.names import (
    ADMISSION_FOLDER,
    API_KEYS_FILE,
    API_KEYS_FOLDER,
    CACHE_PATH,
    HF_TOKEN_FILE,
    HOME_PATH,
    MODEL_VOLUME_PATH,
)
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.manifests.admission_config import config_map_name

TOKEN_FILE_MODE: Final = 0o440
"""A token, or a file of keys, is read by the engine's group (fsGroup) and by nobody else."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume together with where it is mounted, so that neither is ever there without the other."""

    name: str
    source: dict[str, Any]
    mount_path: str
    read_only: bool = False

    def manifest(self) -> dict[str, Any]:
        """Return the entry of the pod's `volumes`."""
        return {"name": self.name, **self.source}

    def mount(self) -> dict[str, Any]:
        """Return the entry of the container's `volumeMounts`."""
        mount: dict[str, Any] = {"name": self.name, "mountPath": self.mount_path}
        return {**mount, "readOnly": True} if self.read_only else mount


def shared_memory(spec: BatchedLLMSpec) -> Volume:
    """Shared memory between the engine's processes: Kubernetes gives 64 MiB, vLLM refuses less than 400 MiB."""
    source = {"emptyDir": {"medium": "Memory", "sizeLimit": str(spec.engine.shared_memory)}}
    return Volume("shared-memory", source, "/dev/shm")  # noqa: S108 - the kernel's name for it


def cache(spec: BatchedLLMSpec) -> Volume:
    """Downloaded weights and compiled code: a claim that all replicas share, or a volume of the pod."""
    settings = spec.engine.cache
    if settings.claim_name is not None:
        return Volume("cache", {"persistentVolumeClaim": {"claimName": settings.claim_name}}, CACHE_PATH)
    limit = {} if settings.size_limit is None else {"sizeLimit": str(settings.size_limit)}
    return Volume("cache", {"emptyDir": limit}, CACHE_PATH)


def hugging_face_token(spec: BatchedLLMSpec) -> Volume | None:
    """Return the token as a file: an environment variable would show in `kubectl describe` and in crash dumps."""
    source = spec.model.source
    if source is None or source.hugging_face is None or source.hugging_face.token_secret_ref is None:
        return None
    reference = source.hugging_face.token_secret_ref
    path = PurePosixPath(HF_TOKEN_FILE)
    secret = {
        "secretName": reference.name,
        "defaultMode": TOKEN_FILE_MODE,
        "items": [{"key": reference.key, "path": path.name}],
    }
    return Volume("hugging-face-token", {"secret": secret}, str(path.parent), read_only=True)


def model(spec: BatchedLLMSpec) -> Volume | None:
    """Return the claim that holds the model, read-only: engines never write to it."""
    if spec.model.source is None or spec.model.source.pvc is None:
        return None
    claim = {"claimName": spec.model.source.pvc.claim_name, "readOnly": True}
    return Volume("model", {"persistentVolumeClaim": claim}, MODEL_VOLUME_PATH, read_only=True)


def admission(owner_name: str, spec: BatchedLLMSpec) -> Volume | None:
    """Return the middleware's configuration: a whole folder, as the kubelet brings no changes into a single file."""
    if not spec.uses_middleware:
        return None
    return Volume("admission", {"configMap": {"name": config_map_name(owner_name)}}, ADMISSION_FOLDER, read_only=True)


def api_keys(spec: BatchedLLMSpec) -> Volume | None:
    """Return the file of API keys. A key of the Secret that is called otherwise gets the file's name."""
    if spec.admission.api_keys is None:
        return None
    reference = spec.admission.api_keys.secret_ref
    secret = {
        "secretName": reference.name,
        "defaultMode": TOKEN_FILE_MODE,
        "items": [{"key": reference.key, "path": API_KEYS_FILE}],
    }
    return Volume("api-keys", {"secret": secret}, API_KEYS_FOLDER, read_only=True)


def volumes(spec: BatchedLLMSpec) -> tuple[Volume, ...]:
    """What every pod of the engine's image needs; a parent folder stands before what is mounted inside it."""
    candidates = (
        Volume("temporary", {"emptyDir": {}}, "/tmp"),  # noqa: S108 - the pod's own
        Volume("home", {"emptyDir": {}}, HOME_PATH),
        cache(spec),
        shared_memory(spec),
        hugging_face_token(spec),
        model(spec),
    )
    return tuple(volume for volume in candidates if volume is not None)


def serving_volumes(owner_name: str, spec: BatchedLLMSpec) -> tuple[Volume, ...]:
    """All volumes of a pod that serves."""
    added = (admission(owner_name, spec), api_keys(spec))
    return (*volumes(spec), *(volume for volume in added if volume is not None))
