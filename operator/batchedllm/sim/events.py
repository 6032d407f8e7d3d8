"""What goes into the simulated engine and what comes out of it. Times are seconds on the caller's clock."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

FinishReason = Literal["stop", "length", "abort"]
QueueLimit = Literal["max_num_queued_reqs", "max_num_queued_tokens"]


@dataclass(slots=True)
class EngineRequest:
    """One request as the engine sees it: how much it reads and how much it will write.

    `output_tokens` is where the model would stop of itself; `max_tokens` is the limit the client set (None: the
    context window). Lower `priority` goes first under the priority policy, as in vLLM.
    """

    request_id: str
    prompt_tokens: int
    output_tokens: int
    max_tokens: int | None = None
    priority: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for counts no engine can take."""
        if self.prompt_tokens >= 1 and self.output_tokens >= 1 and (self.max_tokens is None or self.max_tokens >= 1):
            return
        counts = {"prompt_tokens": self.prompt_tokens, "output_tokens": self.output_tokens}
        if self.max_tokens is not None:
            counts["max_tokens"] = self.max_tokens
        wrong = next(name for name, count in counts.items() if count < 1)
        raise ValueError(f"{wrong}={counts[wrong]} of request {self.request_id}: expected at least 1")


class FirstToken(NamedTuple):
    """The prompt has been read and the first token of the answer is out."""

    at: float
    request_id: str
    time_to_first_token_seconds: float


class Finished(NamedTuple):
    """A request has ended. The times after arrival are None where it was aborted before it got there."""

    at: float
    request_id: str
    reason: FinishReason
    prompt_tokens: int
    generated_tokens: int
    preemptions: int
    arrived_at: float
    first_scheduled_at: float | None
    first_token_at: float | None


EngineEvent = FirstToken | Finished


class QueueLimitReached(Exception):  # noqa: N818 - named for what happened; it is an answer, not a fault
    """The engine refuses a request because one of its queue limits is reached; vLLM answers HTTP 503."""

    def __init__(self, limit: QueueLimit) -> None:
        super().__init__(f"{limit} is reached")
        self.limit: QueueLimit = limit
