"""Where scaling starts from while nothing is learned: the speed of a full replica, by its benchmark."""

from dataclasses import replace

from batchedllm.core.benchmark.profile import Profile
from batchedllm.core.scaling.capacity import UNKNOWN_TOKENS_PER_SECOND
from batchedllm.core.scaling.types import Memory


def begun(memory: Memory, profile: Profile | None, most_at_once: int | None) -> Memory:
    """Return the memory with the speed that is assumed of replicas, for requests as long as those that come.

    What is learned from them outweighs it, as it does the speed that is assumed without any benchmark.
    """
    experience = memory.experience
    sizes, assumed = experience.sizes, UNKNOWN_TOKENS_PER_SECOND
    if profile is not None:
        assumed = profile.tokens_per_second(sizes.prompt_tokens, sizes.output_tokens, most_at_once)
    capacity = replace(experience.capacity, assumed_tokens_per_second=float(f"{assumed:.4g}"))
    return replace(memory, experience=replace(experience, capacity=capacity))
