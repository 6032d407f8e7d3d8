"""All children of a BatchedLLM, each marked with the fingerprint of what was wanted of it."""

import json
from collections.abc import Mapping
from typing import Any, Final

from batchedllm.api.names import GROUP
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.fingerprint import fingerprint
from batchedllm.core.manifests.admission_config import admission_config
from batchedllm.core.manifests.deployment import deployment
from batchedllm.core.manifests.disruption_budget import disruption_budget
from batchedllm.core.manifests.identity import Owner
from batchedllm.core.manifests.service import service
from batchedllm.core.manifests.service_account import service_account

ANNOTATION_SPEC: Final = f"{GROUP}/spec"
"""Annotation of the Deployment: the spec that it was made from, without its scaling. While a newer spec does not fit,
the children are kept as this one has them."""

ANNOTATION_APPLIED: Final = f"{GROUP}/applied"
"""Annotation of a child: the fingerprint of the manifest that was applied last, its replicas left out."""


def marked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return `manifest` with its fingerprint as an annotation.

    The number of replicas is no part of it: scaling is not a new version, and in some modes it is not ours.
    """
    timeless = {
        **manifest,
        "spec": {key: value for key, value in manifest.get("spec", {}).items() if key != "replicas"},
    }
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION_APPLIED: fingerprint(timeless)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def children(
    owner: Owner, spec: BatchedLLMSpec, default_image: str, replicas: int | None
) -> tuple[dict[str, Any], ...]:
    """Everything that must be there for a BatchedLLM, in the order in which it is made: the pods' needs first."""
    manifests = (
        service_account(owner),
        service(owner),
        disruption_budget(owner),
        *((admission_config(owner, spec),) if spec.uses_middleware else ()),
        _with_spec(deployment(owner, spec, default_image, replicas), spec),
    )
    return tuple(marked(manifest) for manifest in manifests)


def _with_spec(manifest: dict[str, Any], spec: BatchedLLMSpec) -> dict[str, Any]:
    """Return the Deployment with the spec that it comes from, by which it can be made again."""
    without = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"scaling", "replicas"})
    text = json.dumps(without, sort_keys=True, separators=(",", ":"))
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": {ANNOTATION_SPEC: text}}}


def spec_of(deployment_there: Mapping[str, Any] | None, newer: BatchedLLMSpec) -> BatchedLLMSpec | None:
    """Return the spec that a Deployment was made from, scaled as `newer` says; None if it does not tell."""
    annotations = {} if deployment_there is None else deployment_there["metadata"].get("annotations") or {}
    try:
        admitted = BatchedLLMSpec.model_validate_json(annotations.get(ANNOTATION_SPEC, ""))
    except ValueError:
        return None
    return admitted.model_copy(update={"scaling": newer.scaling, "replicas": newer.replicas})
