"""Who runs, who waits and who is turned away: a state machine without a clock, a socket or a task.

Next is always the first of the highest class that its own limit does not stop; nobody of a lower class passes one
that only waits for room in the engine. When the queue is full, requests of the lowest class leave it for those of a
higher one, the latest before the earliest.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from batchedllm_engine.middleware.configuration import Configuration, Limits
from batchedllm_engine.middleware.cost import Cost
from batchedllm_engine.middleware.line import Line, Rates, Ticket
from batchedllm_engine.middleware.rates import DrainRate, TokenBucket
from batchedllm_engine.middleware.refusal import Reason, Refusal

UNKNOWN_DRAIN_SECONDS: Final = 5.0
"""Retry-After of a full queue from which nobody has left for a while."""
DRAINING_RETRY_SECONDS: Final = 1.0
"""Another replica has room, or will soon."""
DRAINING: Final = Refusal(
    Reason.DRAINING, "This replica is shutting down; try again.", retry_after_seconds=DRAINING_RETRY_SECONDS
)
GONE: Final = Refusal(Reason.BAD_CLASS, "The class of this request was taken away while its body arrived.")


@dataclass(frozen=True, slots=True)
class Moves:
    """What a change of the state did to requests that waited."""

    started: tuple[Ticket, ...] = ()
    expired: tuple[Ticket, ...] = ()

    def followed_by(self, other: "Moves") -> "Moves":
        """Return both as one."""
        return Moves(self.started + other.started, self.expired + other.expired)


@dataclass(frozen=True, slots=True)
class Offer:
    """What became of a new request: a ticket, which runs or waits, or a refusal; and what it did to others."""

    ticket: Ticket | None = None
    refusal: Refusal | None = None
    shed: tuple[Ticket, ...] = ()
    moves: Moves = Moves()


class Gate:
    """The state. Times are seconds of any clock that never goes back."""

    def __init__(self, configuration: Configuration, now: float) -> None:
        self.draining = False
        self._lines: dict[str, Line] = {}
        self._limits = Limits()
        self._rates = Rates()
        self._drain_rate = DrainRate()
        self.reconfigure(configuration, now)

    def reconfigure(self, configuration: Configuration, now: float) -> Moves:
        """Hold other limits from now on. Nobody who was accepted is turned away; more may start."""
        self._limits = configuration.limits
        self._rates.resize(configuration.limits, now)
        kept = {name: line for name, line in self._lines.items() if not line.is_empty}
        lines = {}
        for one in configuration.classes:
            line = self._lines.get(one.name) or Line(one.rank, one.limits)
            line.rank, line.limits = one.rank, one.limits
            line.rates.resize(one.limits, now)
            lines[one.name] = line
        self._lines = dict(sorted((kept | lines).items(), key=lambda item: item[1].rank))
        return self._promote(now)

    def offer(self, service_class: str, cost: Cost, now: float) -> Offer:
        """Take a request in, or refuse it."""
        line = self._lines.get(service_class)
        if line is None:
            return Offer(refusal=GONE)
        refusal = DRAINING if self.draining else self._too_large(line, cost) or self._too_often(line, cost, now)
        if refusal is not None:
            return Offer(refusal=refusal)
        patience_seconds = min(limits.queue_seconds or math.inf for limits in (self._limits, line.limits))
        ticket = Ticket(service_class, cost, now + patience_seconds)
        line.append(ticket)
        moves = self._promote(now)
        shed = () if ticket.running else self._make_room(line)
        if shed is None:
            line.remove(ticket)
            # Whoever it replaced as the first to wait may have been shut out by nobody else.
            moves = moves.followed_by(self._promote(now))
            return Offer(refusal=self._full(service_class, now), moves=moves)
        for bucket, amount, _ in self._demands(line, cost):
            bucket.take(amount, now)
        return Offer(ticket, shed=shed, moves=moves)

    def leave(self, ticket: Ticket, now: float) -> Moves:
        """Take a request out: it is answered, or was cut, or its client has gone."""
        line = self._lines.get(ticket.service_class)
        if line is None:  # it was shed or had expired, and then its class was taken away
            return Moves()
        if ticket.running:
            line.finish(ticket)
            self._drain_rate.record(ticket.cost.requests, now)
        elif ticket in line.waiting:
            line.remove(ticket)
        return self._promote(now)

    def lines(self) -> Iterator[tuple[str, Line]]:
        """Yield the classes, highest first."""
        return iter(self._lines.items())

    @property
    def is_empty(self) -> bool:
        """Whether no request is left."""
        return all(line.is_empty for line in self._lines.values())

    def retry_after_seconds(self, service_class: str, now: float) -> float:
        """Return when those that wait before a request of the class will have left, at the rate of late."""
        rank = self._lines[service_class].rank
        ahead = sum(line.queued_requests for line in self._lines.values() if line.rank <= rank)
        rate = self._drain_rate.per_second(now)
        return ahead / rate if rate else UNKNOWN_DRAIN_SECONDS

    def _too_large(self, line: Line, cost: Cost) -> Refusal | None:
        room = min(limits.running_requests or math.inf for limits in (self._limits, line.limits))
        if cost.requests <= room:
            return None
        return Refusal(
            Reason.TOO_LARGE,
            f"This request counts as {cost.requests} (n times its prompts); at most {room} can run at a time.",
            "n",
        )

    def _demands(self, line: Line, cost: Cost) -> Iterator[tuple[TokenBucket, int, Reason]]:
        yield from line.rates.demands(cost)
        yield from self._rates.demands(cost)

    def _too_often(self, line: Line, cost: Cost, now: float) -> Refusal | None:
        longest: tuple[float, TokenBucket, int, Reason] | None = None
        for bucket, amount, reason in self._demands(line, cost):
            wait = bucket.wait_seconds(amount, now)
            if wait > 0 and (longest is None or wait > longest[0]):
                longest = wait, bucket, amount, reason
        if longest is None:
            return None
        wait, bucket, amount, reason = longest
        unit = "requests" if reason is Reason.REQUEST_RATE else "tokens"
        told = f"This request counts as {amount} {unit}; the limit is {bucket.per_minute:.0f} {unit} per minute"
        if math.isinf(wait):
            return Refusal(Reason.TOO_LARGE, f"{told}, so it can never be served. Send a smaller one.")
        return Refusal(reason, f"{told}. Try again in {math.ceil(wait)} s.", retry_after_seconds=wait)

    def _promote(self, now: float) -> Moves:
        """Let those run for whom there is room, and take out those whose time has come first."""
        started: list[Ticket] = []
        expired: list[Ticket] = []
        for line in self._lines.values():
            while (ticket := line.first) is not None:
                if ticket.leaves_queue_at <= now:
                    line.remove(ticket)
                    expired.append(ticket)
                elif not _fits(line.limits, line.running_requests, ticket):
                    break
                elif not _fits(self._limits, self._running_requests, ticket):
                    return Moves(tuple(started), tuple(expired))
                else:
                    line.start(ticket)
                    started.append(ticket)
        return Moves(tuple(started), tuple(expired))

    @property
    def _running_requests(self) -> int:
        return sum(line.running_requests for line in self._lines.values())

    def _make_room(self, line: Line) -> tuple[Ticket, ...] | None:
        """Take those out of the queue whom the newest of a line replaces; None where it fits not even so.

        A class's own limit replaces nobody, and nobody goes who would go in vain.
        """
        if _overflow(line.limits, line.queued_requests, line.queued_tokens):
            return None
        requests = sum(one.queued_requests for one in self._lines.values())
        tokens = sum(one.queued_tokens for one in self._lines.values())
        lower = (one for one in reversed(self._lines.values()) if one.rank > line.rank)
        candidates = ((one, ticket) for one in lower for ticket in reversed(one.waiting))
        shed: list[tuple[Line, Ticket]] = []
        while _overflow(self._limits, requests, tokens):
            victim = next(candidates, None)
            if victim is None:
                return None
            shed.append(victim)
            requests -= victim[1].cost.requests
            tokens -= victim[1].cost.prompt_tokens
        for one, ticket in shed:
            one.remove(ticket)
        return tuple(ticket for _, ticket in shed)

    def _full(self, service_class: str, now: float) -> Refusal:
        wait = self.retry_after_seconds(service_class, now)
        return Refusal(Reason.QUEUE_FULL, f"The queue of class {service_class!r} is full.", retry_after_seconds=wait)


def _fits(limits: Limits, running_requests: int, ticket: Ticket) -> bool:
    return running_requests + ticket.cost.requests <= (limits.running_requests or math.inf)


def _overflow(limits: Limits, requests: int, tokens: int) -> bool:
    most_requests = math.inf if limits.queued_requests is None else limits.queued_requests
    return requests > most_requests or tokens > (limits.queued_tokens or math.inf)
