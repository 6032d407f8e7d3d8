"""Who wants a model awake that may scale to zero: an annotation with a new value, or replicas in its spec."""

from typing import Final

from batchedllm.api import names
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.reconcile_types import Manifest
from batchedllm.core.scaling.types import Wake

MAX_LENGTH: Final = 253
"""Of the annotation's value, as much as is compared and told."""


def woken_by(resource: Manifest) -> str:
    """Return the value of the annotation; empty if there is none."""
    annotations = resource["metadata"].get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_WAKE) or "")[:MAX_LENGTH]


def wake(resource: Manifest, spec: BatchedLLMSpec) -> Wake:
    """Return who wants it awake. A model that was just made is: whoever makes one wants to see that it starts."""
    status = resource.get("status") or {}
    value = woken_by(resource)
    is_new = "wantedReplicas" not in status or (value != "" and value != status.get("wokenBy"))
    return Wake(floor=spec.replicas or 0, is_new=is_new)
