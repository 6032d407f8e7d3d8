"""One look at one GPU, as values by metric."""

from collections.abc import Mapping
from dataclasses import dataclass

from batchedllm_engine.gpu_exporter.definitions import THROTTLE_REASONS


@dataclass(frozen=True, slots=True)
class Identity:
    """Which GPU, or which MIG instance of it."""

    index: int
    uuid: str
    product: str
    mig_profile: str = ""
    mig_id: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Values of `GPU_LABELS`."""
        return str(self.index), self.uuid, self.product, self.mig_profile, self.mig_id


@dataclass(frozen=True, slots=True)
class Reading:
    """What one GPU told; what it did not tell is not in `values`."""

    identity: Identity
    values: Mapping[str, float]
    """By the metric's name."""
    clock_events: int | None = None
    """NVML's mask of reasons why the clocks are not at their highest."""

    @property
    def throttled(self) -> Mapping[str, bool]:
        """Whether each reason holds; empty if the GPU does not tell."""
        if self.clock_events is None:
            return {}
        return {reason: bool(self.clock_events & bit) for reason, bit in THROTTLE_REASONS.items()}


def is_visible(index: int, uuids: tuple[str, ...], visible: str | None) -> bool:
    """Tell whether CUDA_VISIBLE_DEVICES (None: not set) lets CUDA use a GPU: by index, or by the start of a UUID.

    `uuids` are the GPU's own and those of its MIG instances. As for CUDA, a word that means nothing ends the list.
    """
    if visible is None:
        return True
    for word in (part.strip() for part in visible.split(",")):
        if word.isascii() and word.isdigit():
            if (word.lstrip("0") or "0") == str(index):
                return True
        elif not word.startswith(("GPU-", "MIG-")):
            return False
        elif any(uuid.startswith(word) for uuid in uuids):
            return True
    return False
