"""A pod whose middleware cannot use its files: the operator writes one of them, and the user's Secret is the other."""

from batchedllm.api.conditions import Reason
from batchedllm.core.container_state import is_ready
from batchedllm.core.failure import Failure, short
from batchedllm.core.manifests.admission_config import config_map_name
from batchedllm.core.reconcile_types import Manifest


def admission_failure(pod: Manifest, resource: Manifest) -> Failure:
    """Return what is known of it. What is wrong with the file only the pod's log says: the operator reads no Secret."""
    name = pod["metadata"]["name"]
    effect = "what it had before still holds" if is_ready(pod) else "it answers 503 until that is mended"
    words = (
        f"cannot use its admission configuration: {effect}. {_where(resource)} kubectl logs {name} says what is wrong"
    )
    return Failure(name, Reason.ADMISSION_CONFIGURATION, short(words))


def _where(resource: Manifest) -> str:
    config_map = config_map_name(resource["metadata"]["name"])
    reference = (((resource["spec"].get("admission") or {}).get("apiKeys")) or {}).get("secretRef")
    if not reference:
        return f"The image does not understand the ConfigMap {config_map}: is it as new as the operator?"
    return (
        f"Check {reference['key']} of the Secret {reference['name']}, its form and that its classes are there; "
        f"then the ConfigMap {config_map}."
    )
