"""Parameters of the common families, counted from their configs."""

from collections.abc import Callable, Mapping
from typing import Final

from batchedllm.core.memory.architecture.parameters.blocks import Groups
from batchedllm.core.memory.architecture.parameters.deepseek import deepseek
from batchedllm.core.memory.architecture.parameters.falcon import falcon
from batchedllm.core.memory.architecture.parameters.gemma import gemma2, gemma3
from batchedllm.core.memory.architecture.parameters.gpt_oss import gpt_oss
from batchedllm.core.memory.architecture.parameters.learned_positions import gpt2, opt
from batchedllm.core.memory.architecture.parameters.llama import glm4, llama, qwen2, qwen3
from batchedllm.core.memory.architecture.parameters.mixtures import mixtral, olmoe, qwen2_moe, qwen3_moe
from batchedllm.core.memory.architecture.reading import Fields
from batchedllm.core.memory.architecture.sizes import Sizes

Count = Callable[[Fields, Sizes], Groups]

COUNTED: Final[Mapping[str, Count]] = {
    "deepseek_v2": deepseek,
    "deepseek_v3": deepseek,
    "falcon": falcon,
    "gemma2": gemma2,
    "gemma3_text": gemma3,
    "glm4": glm4,
    "gpt2": gpt2,
    "gpt_oss": gpt_oss,
    "granite": llama,
    "llama": llama,
    "mistral": llama,
    "mixtral": mixtral,
    "olmoe": olmoe,
    "opt": opt,
    "phi3": llama,
    "qwen2": qwen2,
    "qwen2_moe": qwen2_moe,
    "qwen3": qwen3,
    "qwen3_moe": qwen3_moe,
}
"""By `model_type`."""


def parameter_groups(fields: Fields, sizes: Sizes) -> Groups:
    """The model's parameters; empty for a family that is not counted here."""
    count = COUNTED.get(fields.model_type)
    return count(fields, sizes) if count else ()
