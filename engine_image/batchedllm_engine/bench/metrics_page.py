"""What the engine itself tells on `/metrics`: its card, its KV cache, and how long its decoding steps took. Pure.

The plugin's decode steps are exact where a client's clock also sees HTTP, tokenizing and its own work.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from batchedllm_engine.metric_definitions import PREFIX

_CARD = frozenset({"DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_GPU_UTIL"})
"""Metrics that have a series for each GPU, with its name as a label."""
GENERATED = "vllm:generation_tokens_total"
_READING = {f"vllm:request_prefill_time_seconds_{name}": name for name in ("sum", "count")}
_STEPS = {f"{PREFIX}decode_step{name}_total": name for name in ("s", "_seconds", "_requests")}
Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class StepSums:
    """Counters of the decoding steps of one range of batch sizes."""

    steps: float = 0.0
    seconds: float = 0.0
    requests: float = 0.0

    def since(self, before: "StepSums") -> "StepSums":
        """Return what was added."""
        return StepSums(self.steps - before.steps, self.seconds - before.seconds, self.requests - before.requests)

    @property
    def step_seconds(self) -> float | None:
        """Mean duration of a step; None without steps."""
        return self.seconds / self.steps if self.steps > 0 else None

    @property
    def batch(self) -> float | None:
        """Mean number of requests in a step; None without steps."""
        return self.requests / self.steps if self.steps > 0 else None


@dataclass(frozen=True, slots=True)
class ReadingSums:
    """Counters of the prompts that were read, by the engine's own clock: from being scheduled to the first token."""

    prompts: float = 0.0
    seconds: float = 0.0

    def since(self, before: "ReadingSums") -> "ReadingSums":
        """Return what was added."""
        return ReadingSums(self.prompts - before.prompts, self.seconds - before.seconds)

    @property
    def mean_seconds(self) -> float | None:
        """Mean time of a prompt; None without prompts."""
        return self.seconds / self.prompts if self.prompts > 0 and self.seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Page:
    """One look at the metrics; what the engine does not tell is None or empty."""

    gpu: str | None = None
    gpus: int = 0
    kv_cache_tokens: int | None = None
    generated_tokens: float = 0.0
    decode_steps: dict[str, StepSums] = field(default_factory=dict)
    """By `batch_le`, the smallest of the plugin's batch sizes that the batch is not larger than."""
    reading: ReadingSums = ReadingSums()


def read_page(text: str) -> Page:
    """Return what the text of a metrics page tells. Raises ValueError where it is none."""
    cards: dict[str, str] = {}
    cache: int | None = None
    generated = 0.0
    sums: dict[str, dict[str, float]] = {}
    reading = dict.fromkeys(_READING.values(), 0.0)
    for name, labels, value in _samples(text):
        if name in _CARD:
            cards[labels.get("UUID", "")] = labels.get("modelName", "")
        elif name == "vllm:cache_config_info":
            cache = (cache or 0) + _cache_tokens(labels) or None
        elif name == GENERATED:
            generated += value
        elif name in _READING:
            reading[_READING[name]] += value
        elif name in _STEPS:
            row = sums.setdefault(labels["batch_le"], {})
            row[_STEPS[name]] = row.get(_STEPS[name], 0.0) + value
    steps = {
        size: StepSums(row.get("s", 0), row.get("_seconds", 0), row.get("_requests", 0)) for size, row in sums.items()
    }
    return Page(
        next(iter(cards.values()), None),
        len(cards),
        cache,
        generated,
        steps,
        ReadingSums(reading["count"], reading["sum"]),
    )


def _samples(text: str) -> Iterator[tuple[str, Labels, float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _cache_tokens(labels: Labels) -> int:
    """Return the KV cache's tokens: as told, else blocks by their size (before 0.28); 0 for neither."""
    told = labels.get("kv_cache_size_tokens", "")
    if told.isdecimal():
        return int(told)
    blocks, size = labels.get("num_gpu_blocks", ""), labels.get("block_size", "")
    return int(blocks) * int(size) if blocks.isdecimal() and size.isdecimal() else 0
