"""What goes into a memory plan and what comes out of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from batchedllm.core.memory.model import ModelDescription, WeightFacts
from batchedllm.core.memory.units import Blocks, Bytes, Term, Tokens

NOTHING: Final = Bytes(0)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One of the replica's GPUs."""

    memory: Bytes
    """Total memory as CUDA tells it: the engine takes its share of this."""
    product: str | None = None
    """Name as GPU feature discovery writes it (NVIDIA-H200); the engine's defaults depend on it."""
    occupied: Bytes = NOTHING
    """Taken by something that the plan knows nothing of; neither the engine's budget nor what is beside it is there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The engine's settings; None is the engine's own default for this GPU."""

    utilization: float | None = None
    max_model_len: Tokens | Literal["auto"] | None = None
    """None: the model's longest, as the engine does. "auto": the longest that fits."""
    max_num_seqs: int | None = None
    max_num_batched_tokens: Tokens | None = None
    kv_cache_dtype: str = "auto"
    dtype: str = "auto"
    quantization: str | None = None
    """A method that the engine applies when it loads (fp8, bitsandbytes); the checkpoint's own needs none."""
    kv_cache_memory: Bytes | None = None
    """Bytes of KV cache on each GPU; the engine then takes no share of the GPU, but this and what it needs beside."""
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    enforce_eager: bool = False
    prefix_caching: bool | None = None
    """None: the engine's default for the model. It costs models with a state a second block a request."""
    engine_version: str | None = None
    """vLLM's version, such as 0.32.0; None for the newest that is known."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What starts of the same engine image, GPU and model family have taught: added to the terms."""

    activation_bytes: int = 0
    non_torch_bytes: int = 0
    cuda_graph_bytes: int = 0
    weights_bytes: int = 0
    starts: int = 0
    """How many starts it was learned from."""
    name: str = ""
    """The key under which it is kept, for the plan to say which correction it used."""


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a plan depends on."""

    model: ModelDescription
    weights: WeightFacts
    gpu: Gpu
    settings: Settings
    correction: Correction | None = None


class Verdict(StrEnum):
    """The answer in a word."""

    FITS = "Fits"
    DOES_NOT_FIT = "DoesNotFit"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings as the engine will have them: what the user left out is filled in."""

    utilization: float
    max_model_len: Tokens
    max_num_seqs: int
    max_num_batched_tokens: Tokens
    kv_cache_dtype: str
    dtype: str
    engine_version: str
    """The version whose rules were used."""
    kv_cache_memory: Bytes | None = None
    """As it was asked for; then `utilization` does not count."""
    defaulted: tuple[str, ...] = ()
    """Names of the settings that the engine chose."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Where one GPU's memory goes: the rank with the least left for its KV cache."""

    total: Bytes
    requested: Bytes
    weights: Term
    persistent: Term
    """Buffers that stay: penalty bins of the sampler."""
    persistent_in_budget: bool
    """Whether this version takes them off the KV cache; otherwise they come on top of `requested`."""
    activation: Term
    cuda_graphs: Term
    cuda_graphs_in_budget: bool
    """Whether this version takes them off the KV cache; otherwise they come on top of `requested`."""
    non_torch: Term
    kv_cache: Bytes
    """What is left of `requested`; negative where the other terms exceed it."""
    headroom: Bytes
    """Left of the GPU outside of the budget, after context, communication and block tables; may be negative."""
    headroom_error: Bytes
    """Half width of the range in which the headroom is expected."""


@dataclass(frozen=True, slots=True)
class KVCache:
    """The cache in blocks."""

    block_size: Tokens
    bytes_per_block: Bytes
    blocks: Blocks
    blocks_per_request: Blocks
    """What one request of max_model_len tokens needs."""
    tokens: Tokens
    """As the engine reports it: int(concurrency * max_model_len)."""
    concurrency: float
    """Requests of max_model_len tokens that fit at once."""


@dataclass(frozen=True, slots=True)
class Fix:
    """One change of one setting after which the plan fits, checked by planning again."""

    setting: str
    """Path of the field in the spec: batching.maxModelLen."""
    was: str
    becomes: str
    note: str = ""
    """What it costs, if anything: "halves the precision of the KV cache"."""


@dataclass(frozen=True, slots=True)
class Caution:
    """Something that fits and is still worth a thought."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer: the bill, the blocks, the verdict, and how sure all of it is."""

    verdict: Verdict
    why: str
    """One sentence with the numbers."""
    settings: Resolved
    bill: Bill | None
    """None where not even the known part can be shown."""
    kv_cache: KVCache | None
    largest_max_model_len: Tokens | None
    """The longest with which one request fits."""
    largest_for_concurrency: Tokens | None
    """The longest with which max_num_seqs requests of that length fit at once."""
    cautions: tuple[Caution, ...] = ()
    notes: tuple[str, ...] = ()
    """Which rules, versions and corrections were used where that is not a matter of course."""
