"""Constants that no source code tells: measured on starts of vLLM 0.26.0 on an H200 and an H100.

tests/bench/memory_accuracy.py fits them again, on half of the starts, and checks them on the other half.
"""

from dataclasses import dataclass
from typing import Final

from batchedllm.core.memory.units import MIB, Bytes


@dataclass(frozen=True, slots=True)
class Calibration:
    """Everything in the plan that is fitted rather than derived."""

    workspace: Bytes
    """What the first matrix product keeps: cuBLAS' workspace, and cuBLASLt's for a bias."""
    compile_scratch: Bytes
    """What tuning the compiled kernels holds while the largest step runs: it clears the GPU's L2 cache in between."""
    eager_hidden: float
    """Hidden states alive at the widest point of a step, without compilation, in a family that was not measured."""
    compiled_hidden: float
    """The same with compilation, which frees what is not needed any more."""
    non_torch_first: Bytes
    """Kernels and library handles that appear on the GPU during profiling, first runner."""
    non_torch_second: Bytes
    """The same with the second runner."""
    non_torch_spread: Bytes
    """The same of a tensor-parallel rank, with either: what tries the connections loads most of it before profiling."""
    graphs_base: Bytes
    graphs_per_state: float
    """Bytes of the CUDA graphs for each layer and element of the hidden size, divided among tensor-parallel ranks."""
    graphs_latent: float
    """Times that, for models with latent attention."""
    graphs_estimate: float
    """The engine's estimate of its CUDA graphs, as a share of what they take."""
    context: Bytes
    """The CUDA context: taken before the engine looks."""


MEASURED: Final = Calibration(
    workspace=Bytes(33 * MIB),
    compile_scratch=Bytes(63 * MIB),
    eager_hidden=4,
    compiled_hidden=3,
    non_torch_first=Bytes(246 * MIB),
    non_torch_second=Bytes(230 * MIB),
    non_torch_spread=Bytes(64 * MIB),
    graphs_base=Bytes(169 * MIB),
    graphs_per_state=6.8e3,
    graphs_latent=2.3,
    graphs_estimate=0.81,
    context=Bytes(527 * MIB),
)
"""tests/data/memory_truth.json (14 starts), tests/data/memory_profiles.json (profiles of 33 models), and of ranks
tests/gpu/results/tensor-parallel.json (four starts on two H200, one of them with CUDA graphs)."""

EAGER_HIDDEN: Final = {
    "llama": 3,
    "mistral": 3,
    "mixtral": 3,
    "phi3": 3,
    "falcon": 3,
    "olmoe": 3,
    "opt": 4,
    "qwen2": 4,
    "qwen2_moe": 4,
    "qwen3": 4,
    "qwen3_moe": 3,
    "gemma2": 5,
    "gemma3_text": 5,
    "gpt2": 6,
    "deepseek_v2": 3,
    "gpt_oss": 4,
    "glm4": 3,
    "phi": 3,
    "granite": 4,
    "smollm3": 4,
    "starcoder2": 4,
    "cohere2": 5,
    "olmo2": 7,
}
"""Hidden states alive at the widest point of a step without compilation, by family: what the measured peaks contain
beside the feed-forward layer's own tensors."""
PLAIN_FEED_FORWARD: Final = frozenset(
    {"opt", "gpt2", "gptj", "gpt_neox", "gpt_bigcode", "falcon", "bloom", "mpt", "phi", "starcoder2", "nemotron"}
)
"""Families whose feed-forward layer has no gate (model_executor/models/*.py): two tensors rather than three."""
NORMED_QUERIES: Final = frozenset({"qwen3", "qwen3_moe", "olmo2", "olmoe", "gemma3_text", "gemma3"})
"""Families that normalize queries and keys: a copy of both is alive beside the originals."""
CAPPED_LOGITS: Final = frozenset({"gemma2"})
"""Families whose logits are capped by a tanh, which takes a second copy of them."""
SAMPLER_ROW_BYTES: Final = 19 * 1024 + 768
"""Per sequence, beside the penalty counts: biases, bad words and other sampling state (measured: 19.3 MiB for 1024)."""
STREAMING_MULTIPROCESSORS: Final = 132
"""Of an H100 or H200: the first runner's sampler keeps a row of logits for each (ops/topk_topp_triton.py)."""
LATENT_PREFILL_TOKENS: Final = 64 * 1024
"""The most context tokens that latent attention expands at once (mla_attention.py)."""
LATENT_HEAD_ELEMENTS: Final = 256
"""Of a head's expanded key and value in DeepSeek-V2 and -V3: qk_nope_head_dim + v_head_dim."""
LATENT_ROTARY_ELEMENTS: Final = 64
"""qk_rope_head_dim of the same models."""
