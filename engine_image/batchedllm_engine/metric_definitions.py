"""How a metric of this package is defined: once, as data, of which instruments, simulated engine and docs are made."""

from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "batchedllm_engine:"
"""Before every name of ours. Never `vllm:`: vLLM unregisters all collectors whose name begins so when it starts."""
ENGINE_LABELS: Final = ("engine", "model_name")
"""As vLLM's own metrics have them: the data-parallel index, and the served name."""

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric, as Prometheus knows it."""

    name: str
    """In full; a counter's without the `_total` that its series carry."""
    kind: Kind
    text: str
    """What a value means, with its unit, as one sentence."""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, without +Inf."""

    @property
    def series(self) -> str:
        """The name that a query uses."""
        return f"{self.name}_total" if self.kind == "counter" else self.name
