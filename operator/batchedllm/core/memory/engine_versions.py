"""What changed between versions of the engine, as data: a plan says which version's rules it used.

Source of each rule: the release's own source code, and for 0.26.0 the starts in tests/data/memory_truth.json.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from batchedllm.core.memory.model import ModelDescription, StateSpace


class Runner(StrEnum):
    """The engine's two model runners: they profile memory differently."""

    FIRST = "V1"
    SECOND = "V2"


@dataclass(frozen=True, slots=True)
class EngineRules:
    """How one version of the engine budgets GPU memory."""

    version: str
    is_measured: bool
    """Whether starts of it were measured; otherwise the activation peak is taken over from the version that was."""
    default_utilization: float
    """config/cache.py, gpu_memory_utilization."""
    second_runner_for_all: bool
    """Whether every model runs on the second runner; otherwise dense attention models and a few families."""
    second_runner_families: frozenset[str]
    """Mixtures that run on the second runner all the same (config/vllm.py, DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES)."""
    second_runner_takes_graphs: bool
    """Whether the second runner takes an estimate of the CUDA graphs off the KV cache; the first one always does."""
    persistent_in_budget: bool
    """Whether buffers allocated between loading and profiling count; 0.26 overlooks them, they come on top."""
    null_block_reserved: bool
    """Whether the check for one request keeps the block pool's null block aside."""
    hybrid_prefix_caching: bool
    """Whether models with a state cache prefixes by default, which takes a second state block a request."""
    mamba2_checkpoint: bool
    """Whether Mamba-2 layers then keep a third one: the state at a block's end, written in the middle of a prefill."""
    largest_gpu_serves_more: bool
    """Whether `vllm serve` takes 16384 tokens a step on GPUs of 160 GiB and more."""


RULES: Final = (
    EngineRules(
        version="0.26.0",
        is_measured=True,
        default_utilization=0.92,
        second_runner_for_all=False,
        second_runner_families=frozenset({"deepseek_v2", "granitemoe", "qwen2_moe"}),
        second_runner_takes_graphs=False,
        persistent_in_budget=False,
        null_block_reserved=False,
        hybrid_prefix_caching=False,
        mamba2_checkpoint=False,
        largest_gpu_serves_more=False,
    ),
    EngineRules(
        version="0.32.0",
        is_measured=False,
        default_utilization=0.92,
        second_runner_for_all=True,
        second_runner_families=frozenset(),
        second_runner_takes_graphs=True,
        persistent_in_budget=True,
        null_block_reserved=True,
        hybrid_prefix_caching=True,
        mamba2_checkpoint=True,
        largest_gpu_serves_more=True,
    ),
)
"""Oldest first; the last is the newest that is known."""


FIRST_TO_FIT_ITS_LENGTH: Final = (0, 14)
"""First version with `--max-model-len auto` (vllm-project/vllm, pull request 29431)."""


_STOCK_IMAGE: Final = re.compile(r"(?:^|/)vllm[^/:@]*:v?(\d+\.\d+(?:\.\d+)?)(?![\d.])")
"""An image of vLLM itself under a release's tag: vllm/vllm-openai:v0.26.0."""


def version_of_image(image: str) -> str | None:
    """Return vLLM's version where an image's name tells it; the tags of images that only contain vLLM do not."""
    found = _STOCK_IMAGE.search(image)
    return found[1] if found else None


def rules_for(version: str | None) -> tuple[EngineRules, str | None]:
    """Return the rules of a version, and a note where they are not that version's own."""
    newest = RULES[-1]
    if version is None:
        return newest, None
    for rules in RULES:
        if _minor(rules.version) == _minor(version):
            return rules, None
    return newest, f"vLLM {version} is not known: planned by the rules of {newest.version}, the newest that is known"


def runner_of(model: ModelDescription, rules: EngineRules) -> Runner:
    """Return the model runner that the engine takes for a model."""
    if rules.second_runner_for_all:
        return Runner.SECOND
    if any(isinstance(layer, StateSpace) for layer in model.layers):
        return Runner.FIRST
    if model.experts is not None and model.model_type not in rules.second_runner_families:
        return Runner.FIRST
    return Runner.SECOND


def takes_graphs(runner: Runner, rules: EngineRules) -> bool:
    """Whether CUDA graphs come out of the KV cache's budget."""
    return runner is Runner.FIRST or rules.second_runner_takes_graphs


def fits_its_length(version: str | None) -> bool:
    """Whether the engine finds the longest length that fits by itself (`--max-model-len auto`); None: the newest."""
    if version is None:
        return True
    major, minor = (*_minor(version), "")[:2]
    return not (major.isdecimal() and minor.isdecimal()) or (int(major), int(minor)) >= FIRST_TO_FIT_ITS_LENGTH


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.removeprefix("v").split("+")[0].split(".")[:2])
