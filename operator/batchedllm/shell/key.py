"""The name under which one BatchedLLM is queued, cached, scraped and logged."""

from dataclasses import dataclass
from typing import Final, Self

from batchedllm.api import names
from batchedllm.core.reconcile_types import Manifest

_NAMING: Final = (names.LABEL_NAME, names.LABEL_INSPECTS, names.LABEL_BENCHMARKS)
"""Labels that say to which BatchedLLM an object belongs."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Namespace and name of one BatchedLLM."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the form that `str` writes."""
        namespace, _, name = text.partition("/")
        return cls(namespace, name)

    @classmethod
    def of(cls, manifest: Manifest) -> Self | None:
        """Tell which BatchedLLM an object belongs to: by its own name, or by its label; None if to none."""
        metadata = manifest.get("metadata", {})
        if manifest.get("kind") == names.KIND:
            return cls(metadata["namespace"], metadata["name"])
        labels = metadata.get("labels") or {}
        name = next((labels[one] for one in _NAMING if labels.get(one)), None)
        return cls(metadata["namespace"], name) if name and metadata.get("namespace") else None
