"""One class's requests: those that wait, in order, and how many run."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from batchedllm_engine.middleware.configuration import Limits
from batchedllm_engine.middleware.cost import Cost
from batchedllm_engine.middleware.rates import TokenBucket, resized
from batchedllm_engine.middleware.refusal import Reason


@dataclass(eq=False, slots=True)
class Ticket:
    """A request that was accepted."""

    service_class: str
    cost: Cost
    leaves_queue_at: float
    """When it has waited long enough."""
    running: bool = False


@dataclass(slots=True)
class Rates:
    """What may begin per minute."""

    requests: TokenBucket | None = None
    tokens: TokenBucket | None = None

    def resize(self, limits: Limits, now: float) -> None:
        """Hold other limits from now on."""
        self.requests = resized(self.requests, limits.requests_per_minute, now)
        self.tokens = resized(self.tokens, limits.tokens_per_minute, now)

    def demands(self, cost: Cost) -> Iterator[tuple[TokenBucket, int, Reason]]:
        """Yield what a request takes out of each bucket, and the reason to give where it is not there."""
        if self.requests is not None:
            yield self.requests, cost.requests, Reason.REQUEST_RATE
        if self.tokens is not None:
            yield self.tokens, cost.tokens, Reason.TOKEN_RATE


@dataclass(slots=True)
class Line:
    """The class's state. Tickets are the keys of a dict: they keep their order, and any can leave at once."""

    rank: int
    limits: Limits
    rates: Rates = field(default_factory=Rates)
    waiting: dict[Ticket, None] = field(default_factory=dict)
    queued_requests: int = 0
    queued_tokens: int = 0
    running_requests: int = 0

    def append(self, ticket: Ticket) -> None:
        """Let a ticket wait behind all others."""
        self.waiting[ticket] = None
        self.queued_requests += ticket.cost.requests
        self.queued_tokens += ticket.cost.prompt_tokens

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket out that waits."""
        del self.waiting[ticket]
        self.queued_requests -= ticket.cost.requests
        self.queued_tokens -= ticket.cost.prompt_tokens

    def start(self, ticket: Ticket) -> None:
        """Let a ticket run that waits."""
        self.remove(ticket)
        ticket.running = True
        self.running_requests += ticket.cost.requests

    def finish(self, ticket: Ticket) -> None:
        """Note that a ticket runs no more."""
        ticket.running = False
        self.running_requests -= ticket.cost.requests

    @property
    def first(self) -> Ticket | None:
        """Who is next."""
        return next(iter(self.waiting), None)

    @property
    def is_empty(self) -> bool:
        """Whether nobody of the class is here."""
        return not self.waiting and not self.running_requests
