"""`status.plan` and `status.actual`: what the memory plan says, and what the engines then had."""

from typing import Annotated, Literal

from pydantic import Field

from batchedllm.api.base import ApiModel

_ATOMIC = {"x-kubernetes-list-type": "atomic"}

Certainty = Literal["exact", "calibrated", "estimated", "unknown"]
"""How sure a number is: by the engine's own arithmetic, fitted to starts like this one, a rule at large, or not."""


class PlannedBytes(ApiModel):
    """Where the memory of one GPU goes, in bytes: the GPU with the least left for its KV cache.

    Where there is no plan, only what is known all the same: the GPU's share, or the weights.
    """

    total: int | None = Field(default=None, description="Memory of the GPU.")
    requested: int | None = Field(
        default=None, description="What the engine takes of it: `gpuUtilization` of the total."
    )
    weights: int | None = Field(default=None, description="Weights on this GPU.")
    persistent: int | None = Field(default=None, description="Buffers that the engine keeps.")
    activation: int | None = Field(default=None, description="Peak of one engine step.")
    cuda_graphs: int | None = Field(default=None, description="Captured CUDA graphs.")
    non_torch: int | None = Field(default=None, description="What libraries take beside PyTorch.")
    kv_cache: int | None = Field(
        default=None, description="What is left of `requested` for the KV cache; negative: the rest exceeds it."
    )
    headroom: int | None = Field(
        default=None, description="What stays free outside of `requested`; negative: the GPU is too small for it."
    )


class PlannedCertainty(ApiModel):
    """How sure each term of `bytes` is. `total` follows from the GPU and `requested` from it: they are not told."""

    weights: Certainty | None = Field(default=None, description="Of the weights.")
    persistent: Certainty | None = Field(default=None, description="Of the buffers that the engine keeps.")
    activation: Certainty | None = Field(default=None, description="Of the peak of one engine step.")
    cuda_graphs: Certainty | None = Field(default=None, description="Of the captured CUDA graphs.")
    non_torch: Certainty | None = Field(default=None, description="Of what libraries take beside PyTorch.")
    kv_cache: Certainty | None = Field(
        default=None, description="Of the KV cache: as sure as the least sure term that it is left by."
    )
    headroom: Certainty | None = Field(default=None, description="Of what stays free outside of `requested`.")


class PlannedErrors(ApiModel):
    """By how many bytes each term of `bytes` may be off, up or down; left out where nothing bounds it."""

    weights: int | None = Field(default=None, description="Of the weights.")
    persistent: int | None = Field(default=None, description="Of the buffers that the engine keeps.")
    activation: int | None = Field(default=None, description="Of the peak of one engine step.")
    cuda_graphs: int | None = Field(default=None, description="Of the captured CUDA graphs.")
    non_torch: int | None = Field(default=None, description="Of what libraries take beside PyTorch.")
    kv_cache: int | None = Field(
        default=None, description="Of the KV cache, if all terms that it is left by are off the same way."
    )
    headroom: int | None = Field(default=None, description="Of what stays free outside of `requested`.")


class PlannedKVCache(ApiModel):
    """The KV cache in blocks and tokens."""

    block_size: int = Field(description="Tokens of one block.")
    blocks: int = Field(description="Blocks that fit.")
    tokens: int = Field(description="Tokens that fit, as the engine counts them.")


class PlannedLength(ApiModel):
    """Lengths of one request, prompt and output together, in tokens."""

    requested: int = Field(description="maxModelLen as the engine gets it.")
    largest: int | None = Field(default=None, description="Longest with which one request fits.")
    largest_for_concurrency: int | None = Field(
        default=None, description="Longest with which maxNumSeqs requests of that length fit at once."
    )


class PlannedFix(ApiModel):
    """One change of one field after which the plan fits."""

    setting: str = Field(description="Path of the field below `spec`.")
    was: str = Field(description="Its value now.")
    becomes: str = Field(description="The smallest change that fits.")
    note: str | None = Field(default=None, description="What it costs.")


class ChosenSetting(ApiModel):
    """A setting that the spec left open and the plan chose."""

    setting: str = Field(description="Path of the field below `spec`.")
    value: str = Field(description="What the engine gets.")
    reason: str = Field(description="Why.")
    measured_at: str | None = Field(
        default=None, description="`status.profile.at` of the benchmark that it goes by, if it goes by one."
    )


class Plan(ApiModel):
    """Whether the engine fits, in numbers, before a GPU is taken."""

    verdict: Literal["Fits", "DoesNotFit", "Unknown"] = Field(description="The answer.")
    message: str = Field(max_length=1024, description="The answer with its numbers.")
    confidence: Certainty = Field(description="How sure the least sure term is.")
    model_source: str | None = Field(
        default=None, description="Where the description of the model comes from: configMap, inspection or catalogue."
    )
    engine_version: str | None = Field(default=None, description="Version of vLLM whose rules were used.")
    bytes: PlannedBytes | None = Field(default=None, description="One GPU's memory by term.")
    certainty: PlannedCertainty | None = Field(default=None, description="How sure each term of `bytes` is.")
    error_bytes: PlannedErrors | None = Field(default=None, description="By how much each term of `bytes` may be off.")
    kv_cache: PlannedKVCache | None = Field(default=None, description="The KV cache.")
    concurrency: str | None = Field(
        default=None, description="Requests of maxModelLen tokens that fit at once, with two decimals."
    )
    max_model_len: PlannedLength | None = Field(default=None, description="Lengths of a request.")
    chosen: Annotated[list[ChosenSetting], Field(json_schema_extra=_ATOMIC)] = Field(
        default_factory=list, description="What the plan chose."
    )
    fixes: Annotated[list[PlannedFix], Field(json_schema_extra=_ATOMIC)] = Field(
        default_factory=list, description="The smallest changes that fit, at most three."
    )
    warnings: Annotated[list[str], Field(json_schema_extra=_ATOMIC)] = Field(
        default_factory=list, description="What fits and is still worth a thought."
    )
    notes: Annotated[list[str], Field(json_schema_extra=_ATOMIC)] = Field(
        default_factory=list, description="Rules and corrections that were used."
    )


class ActualBytes(ApiModel):
    """Where the memory of one GPU went, in bytes, as the engine's log says it (to 0.01 GiB)."""

    weights: int | None = Field(default=None, description="Weights.")
    activation: int | None = Field(default=None, description="Peak of one engine step.")
    cuda_graphs: int | None = Field(default=None, description="Captured CUDA graphs.")
    non_torch: int | None = Field(default=None, description="What libraries take beside PyTorch.")
    kv_cache: int | None = Field(default=None, description="What was left for the KV cache.")


class Actual(ApiModel):
    """What the engines report of their memory, beside what was planned."""

    kv_cache_tokens: int | None = Field(default=None, description="Tokens that the KV cache of one replica holds.")
    block_size: int | None = Field(default=None, description="Tokens of one block.")
    blocks: int | None = Field(default=None, description="Blocks of one replica.")
    bytes: ActualBytes | None = Field(default=None, description="One GPU's memory by term, where the engine said it.")
    drifts: Annotated[list[str], Field(json_schema_extra=_ATOMIC)] = Field(
        default_factory=list, description="Each term, planned and actual."
    )
    drift_percent: str | None = Field(
        default=None,
        description="How far the actual number of tokens is from the planned one, in percent with two decimals; "
        "positive: there are more.",
    )
