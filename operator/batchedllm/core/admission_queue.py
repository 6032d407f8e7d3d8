"""Where requests wait: before the engine, where the middleware knows how many fit into it, or in the engine itself."""

from math import ceil
from typing import Final

from batchedllm.api.spec import BatchedLLMSpec

ABOVE_BATCH: Final = 1.25
"""Requests that the engine has, by those of its largest batch: what it takes up at once when others end.

A request on its way between the two takes a step of the engine at most, in which a part of the batch ends."""


def running_requests(spec: BatchedLLMSpec) -> int | None:
    """Return how many requests the engine is given at a time; None where nobody says what its batch holds."""
    if spec.admission.max_running_requests is not None:
        return spec.admission.max_running_requests
    batch = spec.batching.max_num_seqs
    return None if batch is None else ceil(batch * ABOVE_BATCH)


def queues_before_engine(spec: BatchedLLMSpec) -> bool:
    """Tell whether the middleware keeps the queue, so that its limits are the middleware's too.

    vLLM's own limits answer 503 without Retry-After, and know no class: with both they would come first.
    """
    return spec.uses_middleware and running_requests(spec) is not None
