"""One request and its answer, between the server and the engine's application.

A request is cut by telling the application that its client has gone: it then stops the engine's work for it as for
any client that goes, and what it still says is dropped. Only an application that does not listen is cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from batchedllm_engine.middleware.configuration import Bodies
from batchedllm_engine.middleware.headers import REQUEST_ID
from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

DISCONNECT: Final = "http.disconnect"
UNWIND_SECONDS: Final = 5.0
"""Time that the application has to end a request that was cut, before it is cancelled."""


class ClientGoneError(Exception):
    """The client closed its connection before its request could run."""


class Exchange:
    """The state of one request. `cut` can be called at any time; everything else belongs to the request's task."""

    __slots__ = (
        "_body", "_listening", "_passes", "_receive", "_send", "_streams_events", "_working", "body_read",
        "client_gone", "closing", "cut_by", "identity", "is_complete", "scope", "status",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, identity: bytes) -> None:
        self.scope = scope
        self.identity = identity
        self.status: int | None = None
        """Status of the answer, once it has begun."""
        self.is_complete = False
        self.client_gone = False
        self.cut_by: Refusal | None = None
        self.body_read = False
        self.closing = False
        """Whether the connection shall not be used again: the server is about to end."""
        self._receive = receive
        self._send = send
        self._passes: Send | None = None
        """Where the pieces of an answer go, while the answer is under way."""
        self._body: bytes | None = None
        self._listening: set[asyncio.Timeout] = set()
        self._working: asyncio.Timeout | None = None
        self._streams_events = False

    def cut(self, refusal: Refusal) -> None:
        """End the request now; the client gets the refusal if nothing was answered, else as the last event."""
        if self.cut_by is None and not self.is_complete:
            self.cut_by, self._passes = refusal, None
            now = asyncio.get_running_loop().time()
            for listening in self._listening:
                if not listening.expired():  # its own time may be over in the same turn of the loop
                    listening.reschedule(now)
            if self._working is not None:
                self._working.reschedule(now + UNWIND_SECONDS)

    async def next_message(self) -> Message:
        """Return what comes from the client; that it has gone, once the request is cut."""
        if self.cut_by is not None:
            return {"type": DISCONNECT}
        try:
            async with asyncio.timeout(None) as listening:
                self._listening.add(listening)
                try:
                    return await self._heard()
                finally:
                    self._listening.discard(listening)
        except TimeoutError:
            return {"type": DISCONNECT}

    async def _heard(self) -> Message:
        message = await self._receive()
        if message["type"] == DISCONNECT and not self.is_complete:
            self.client_gone, self._passes = True, None
        return message

    async def read_body(self, bounds: Bodies, reserve: Callable[[int], None]) -> bytes:
        """Return the whole body. Raise Refused if it is too large or too slow, ClientGoneError without its end.

        `reserve` is told of every piece before the next is read, and may refuse it.
        """
        pieces, size = [], 0
        _check_announced(self.scope, bounds)
        try:
            async with asyncio.timeout(bounds.seconds) as listening:
                self._listening.add(listening)
                while not self.body_read:
                    if self.cut_by is not None:
                        raise Refused(self.cut_by)
                    message = await self._heard()
                    if message["type"] == DISCONNECT:
                        raise ClientGoneError
                    piece = message.get("body", b"")
                    size += len(piece)
                    if size > bounds.max_bytes:
                        raise _too_large(bounds)
                    reserve(len(piece))
                    pieces.append(piece)
                    self.body_read = not message.get("more_body", False)
        except TimeoutError:
            told = f"The body did not arrive within {bounds.seconds:g} s."
            raise Refused(self.cut_by or Refusal(Reason.BODY_TOO_SLOW, told)) from None
        finally:
            self._listening.discard(listening)
        return b"".join(pieces)

    async def run(self, application: Application, scope: Scope, body: bytes | None) -> None:
        """Let the application answer. Whatever is to be read is given to it as it comes, but for a body of ours."""
        self._body = body
        try:
            async with asyncio.timeout(None) as self._working:
                await application(scope, self._receive_for_application, self._send_for_application)
        except Exception:
            # One that is told in its midst that its client has gone may end as it likes.
            if self.cut_by is None:
                raise
        finally:
            self._working = None
        if self.cut_by is not None:
            await self._end_early(self.cut_by)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer in the application's place. A connection whose body nobody read is closed afterwards."""
        body = refusal.body()
        headers = [*refusal.answer_headers(), (b"content-length", str(len(body)).encode())]
        self.closing = self.closing or (not self.body_read and self.scope["method"] == "POST")
        await self._start({"type": "http.response.start", "status": int(refusal.status), "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self.is_complete = True

    async def _receive_for_application(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self.next_message()

    def _send_for_application(self, message: Message) -> Awaitable[None]:
        """Pass a message on. An answer has a piece for each token, so next to nothing is done for them."""
        passes = self._passes
        return passes(message) if passes is not None and message.get("more_body") else self._send_other(message)

    async def _send_other(self, message: Message) -> None:
        if self.cut_by is not None or self.client_gone:
            return
        if message["type"] == "http.response.start":
            await self._start(message)
            return
        await self._send(message)
        if message["type"] == "http.response.body":
            self.is_complete = True

    async def _start(self, message: Message) -> None:
        headers = [(key, value) for key, value in message.get("headers", ()) if key.lower() != REQUEST_ID]
        self.status = message["status"]
        self._streams_events = any(
            key.lower() == b"content-type" and value.startswith(b"text/event-stream") for key, value in headers
        )
        headers.append((REQUEST_ID, self.identity))
        if self.closing:
            headers.append((b"connection", b"close"))
        await self._send({**message, "headers": headers})
        if self.cut_by is None and not self.client_gone:
            self._passes = self._send

    async def _end_early(self, refusal: Refusal) -> None:
        if self.client_gone or self.is_complete:
            return
        if self.status is None:
            await self.refuse(refusal)
        elif self._streams_events:
            await self._send({"type": "http.response.body", "body": refusal.event(), "more_body": False})
            self.is_complete = True
        # Otherwise the server closes the connection: a body that is cut short must not look whole.


def _check_announced(scope: Scope, bounds: Bodies) -> None:
    for key, value in scope["headers"]:
        if key == b"content-length" and value.isdigit() and int(value[:20]) > bounds.max_bytes:
            raise _too_large(bounds)


def _too_large(bounds: Bodies) -> Refused:
    return Refused(Refusal(Reason.BODY_TOO_LARGE, f"The body is larger than {bounds.max_bytes} bytes."))
