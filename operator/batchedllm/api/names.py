"""Names shared by the resource, its children, and everyone who looks for them."""

from typing import Final

GROUP: Final = "batchedllm.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "BatchedLLM"
PLURAL: Final = "batchedllms"
SINGULAR: Final = "batchedllm"
SHORT_NAMES: Final = ("bllm",)
CATEGORIES: Final = ("all", "batchedllm")

LABEL_NAME: Final = f"{GROUP}/name"
"""Label of every child and pod: the name of its BatchedLLM. The only label that selectors use."""

LABEL_INSPECTS: Final = f"{GROUP}/inspects"
"""Label of an inspection's pod: the name of its BatchedLLM. No selector uses it."""

LABEL_BENCHMARKS: Final = f"{GROUP}/benchmarks"
"""Label of a benchmark's pod: the name of its BatchedLLM. No selector uses it."""

ANNOTATION_BENCHMARK: Final = f"{GROUP}/benchmark"
"""Annotation of a BatchedLLM: any new value has its engine measured, once."""

ANNOTATION_WAKE: Final = f"{GROUP}/wake"
"""Annotation of a BatchedLLM: any new value wakes it where it has scaled to zero."""

FIELD_MANAGER: Final = "batchedllm"
"""Server-side apply field manager of the children."""

STATUS_FIELD_MANAGER: Final = "batchedllm-status"
"""Server-side apply field manager of the resource's status."""

LEASE_NAME: Final = "batchedllm-operator"

ENGINE_CONTAINER: Final = "engine"
ENGINE_PORT: Final = 8000
ENGINE_PORT_NAME: Final = "http"
METRICS_PATH: Final = "/metrics"
HEALTH_PATH: Final = "/health"

ENGINE_USER_ID: Final = 10001
"""User and group that engine and operator run as, unless the resource says otherwise."""

HF_TOKEN_FILE: Final = "/var/run/secrets/batchedllm/hf/token"  # noqa: S105 - a path, not a token
ADMISSION_FOLDER: Final = "/etc/batchedllm/admission"
ADMISSION_FILE: Final = "config.yaml"
API_KEYS_FOLDER: Final = "/etc/batchedllm/keys"
API_KEYS_FILE: Final = "keys.yaml"
MODEL_VOLUME_PATH: Final = "/models/volume"
HOME_PATH: Final = "/home/engine"
CACHE_PATH: Final = f"{HOME_PATH}/.cache"

MAX_NAME_LENGTH: Final = 52
"""Longest name of a BatchedLLM: a Deployment's pods add up to 11 characters and a label holds 63."""


def labels(resource_name: str) -> dict[str, str]:
    """Labels of every child and pod of the BatchedLLM called `resource_name`."""
    return {
        "app.kubernetes.io/managed-by": "batchedllm",
        "app.kubernetes.io/name": "batchedllm-engine",
        "app.kubernetes.io/instance": resource_name,
        LABEL_NAME: resource_name,
    }


def selector(resource_name: str) -> dict[str, str]:
    """Labels by which Deployment, Service and disruption budget find the pods of `resource_name`."""
    return {LABEL_NAME: resource_name}
