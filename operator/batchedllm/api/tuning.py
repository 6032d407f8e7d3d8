"""`spec.tuning` of a BatchedLLM: what is measured to batch better."""

from typing import Literal

from pydantic import Field

from batchedllm.api.base import ApiModel


class Tuning(ApiModel):
    """Measuring the engine."""

    benchmark: Literal["once", "never"] = Field(
        default="never",
        description="Whether a pod of its own, with the GPUs and settings of a replica, measures the engine: once, and "
        "again when model, image, GPU, memory or batching change. It runs when all replicas answer, is never one of "
        "them, and makes way for one that finds no node. `status.profile` holds the result; `batching.goal` then "
        "chooses `maxNumSeqs` by it, which replaces the replicas. A new value of the annotation "
        "`batchedllm.dev/benchmark` asks for one run too.",
    )
    benchmark_seconds: int = Field(
        default=300,
        ge=15,
        le=3600,
        description="Seconds that measuring may take, the engine's start not counted; what has no time is left out.",
    )
