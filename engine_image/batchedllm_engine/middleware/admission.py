"""The gate with its waiters: who waits is woken when its turn, its end or its client's end has come."""

import asyncio
import math
import time
from collections.abc import Callable

from batchedllm_engine.middleware.configuration import Configuration
from batchedllm_engine.middleware.cost import Cost
from batchedllm_engine.middleware.exchange import DISCONNECT, ClientGoneError, Exchange
from batchedllm_engine.middleware.gate import DRAINING, Gate, Moves
from batchedllm_engine.middleware.line import Ticket
from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused


class Admission:
    """One process's gate. Every method is called on the event loop."""

    def __init__(self, configuration: Configuration, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.gate = Gate(configuration, clock())
        self.idle = asyncio.Event()
        """Set while no request is accepted and not answered."""
        self.idle.set()
        self._turns: dict[Ticket, asyncio.Future[Refusal | None]] = {}

    def reconfigure(self, configuration: Configuration) -> None:
        """Hold other limits from now on."""
        self._tell(self.gate.reconfigure(configuration, self.clock()))

    async def enter(self, service_class: str, cost: Cost, exchange: Exchange) -> Ticket:
        """Return when the request may run; `leave` must follow.

        Raise Refused if it may not, and ClientGoneError if nobody waits for it any more; then it has left.
        """
        offer = self.gate.offer(service_class, cost, self.clock())
        for ticket in offer.shed:
            self._turn(ticket, self._shed(ticket))
        self._tell(offer.moves)
        if offer.ticket is None:
            raise Refused(offer.refusal or DRAINING)
        self.idle.clear()
        if not offer.ticket.running:
            try:
                await self._wait(offer.ticket, exchange)
            except BaseException:
                self.leave(offer.ticket)
                raise
        return offer.ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the request's place to the next."""
        self._tell(self.gate.leave(ticket, self.clock()))
        if self.gate.is_empty:
            self.idle.set()

    async def _wait(self, ticket: Ticket, exchange: Exchange) -> None:
        turn = self._turns[ticket] = asyncio.get_running_loop().create_future()
        gone = asyncio.create_task(exchange.next_message())
        try:
            seconds = ticket.leaves_queue_at - self.clock()
            await asyncio.wait(
                {turn, gone}, timeout=None if math.isinf(seconds) else seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            del self._turns[ticket]
            gone.cancel()
            # The application listens next, and only one can.
            await asyncio.wait({gone})
        if gone.done() and not gone.cancelled() and gone.result()["type"] == DISCONNECT:
            raise Refused(exchange.cut_by) if exchange.cut_by is not None else ClientGoneError
        if not turn.done():
            raise Refused(self._expired(ticket))
        refusal = turn.result()
        if refusal is not None:
            raise Refused(refusal)

    def _tell(self, moves: Moves) -> None:
        for ticket in moves.started:
            self._turn(ticket, None)
        for ticket in moves.expired:
            self._turn(ticket, self._expired(ticket))

    def _turn(self, ticket: Ticket, refusal: Refusal | None) -> None:
        """Wake the ticket's request, unless it is just taking its place or leaving."""
        turn = self._turns.get(ticket)
        if turn is not None and not turn.done():
            turn.set_result(refusal)

    def _shed(self, ticket: Ticket) -> Refusal:
        told = f"This request of class {ticket.service_class!r} gave its place in the queue to one of a higher class."
        return Refusal(Reason.SHED, told, retry_after_seconds=self._retry_after(ticket))

    def _expired(self, ticket: Ticket) -> Refusal:
        told = f"This request of class {ticket.service_class!r} waited as long as it may, and was not begun."
        return Refusal(Reason.QUEUE_TIME, told, retry_after_seconds=self._retry_after(ticket))

    def _retry_after(self, ticket: Ticket) -> float:
        return self.gate.retry_after_seconds(ticket.service_class, self.clock())
