"""`status.profile`: what a benchmark found."""

from typing import Annotated

from pydantic import Field

from batchedllm.api.base import ApiModel


class CurvePoint(ApiModel):
    """The engine with a number of requests running at once."""

    batch: int = Field(description="Requests at once.")
    output_tokens_per_second: int = Field(description="Tokens of answers per second.")
    tokens_per_second: int = Field(description="Tokens of prompts and answers per second.")
    inter_token_microseconds: int = Field(description="Mean time between two tokens of one answer.")
    inter_token_p95_microseconds: int = Field(
        alias="interTokenP95Microseconds", description="95th percentile of that over the requests."
    )
    time_to_first_token_p95_milliseconds: int = Field(
        alias="timeToFirstTokenP95Milliseconds", description="95th percentile of the time to the first token."
    )


class Profile(ApiModel):
    """What a benchmark found of the engine as it is now."""

    at: str = Field(json_schema_extra={"format": "date-time"}, description="When it ended.")
    asked_by: str | None = Field(
        default=None, description="Value of the annotation `batchedllm.dev/benchmark` that asked for it, if one did."
    )
    image: str = Field(description="Engine image that was measured.")
    gpu: str | None = Field(default=None, description="GPU that was measured, as the driver calls it.")
    engine_version: str | None = Field(default=None, description="Version of the engine.")
    prompt_tokens: int = Field(description="Tokens of each prompt.")
    output_tokens: int = Field(description="Tokens of each answer.")
    kv_cache_tokens: int | None = Field(default=None, description="Tokens that the KV cache held.")
    knee: int = Field(description="Batch after which throughput grows by a smaller factor than latency.")
    knee_reached: bool = Field(description="False: no such batch up to the largest that was measured, which `knee` is.")
    sweet_spot: int | None = Field(
        default=None,
        description="Largest batch with which 95 % of requests get their tokens within `slo.interTokenLatency`.",
    )
    curve: Annotated[list[CurvePoint], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})] = Field(
        description="The engine by batch size."
    )
