"""The engine's own record of one request while it lives."""

from batchedllm.sim.events import EngineRequest, FinishReason


class Sequence:
    """A request in the engine. While it is in the decode batch, the batch knows how far it is, not this record.

    `computed_tokens` are those whose keys and values are in the cache; `blocks` is what it holds of the cache.
    """

    __slots__ = (
        *("arrived_at", "blocks", "computed_tokens", "finish_reason", "finished", "first_scheduled_at"),
        *("first_token_at", "generated_tokens", "joined_at_step", "last_token_at", "preemptions", "prompt_tokens"),
        *("request", "residue", "target_tokens"),
    )

    def __init__(self, request: EngineRequest, arrived_at: float, target_tokens: int, reason: FinishReason) -> None:
        self.request = request
        self.prompt_tokens = request.prompt_tokens
        self.arrived_at = arrived_at
        self.target_tokens = target_tokens
        self.finish_reason: FinishReason = reason
        self.computed_tokens = 0
        self.generated_tokens = 0
        self.blocks = 0
        self.preemptions = 0
        self.first_scheduled_at: float | None = None
        self.first_token_at: float | None = None
        self.last_token_at = 0.0
        self.joined_at_step = -1
        """Step of the decode batch at which it joined; -1 outside of it."""
        self.residue = 0
        """Where in a KV block it is, as the decode batch counts."""
        self.finished = False

    @property
    def known_tokens(self) -> int:
        """Tokens of the prompt and of the answer so far: what a prefill has to compute."""
        return self.prompt_tokens + self.generated_tokens

    @property
    def remaining_tokens(self) -> int:
        """Tokens still to compute before the next one can be generated."""
        return self.prompt_tokens + self.generated_tokens - self.computed_tokens

    @property
    def urgency(self) -> tuple[int, float, str]:
        """Order under the priority policy, as in vLLM: the smaller goes first, the largest is preempted first."""
        return (self.request.priority, self.arrived_at, self.request.request_id)
