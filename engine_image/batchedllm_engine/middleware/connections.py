"""Connections on which no request arrives: closed, because no middleware is asked about them.

uvicorn bounds neither the time nor the size of a request's head when it parses with httptools, as it does in vLLM's
images. Its open connections are looked at from outside; a server that does not show them is left alone.
"""

from collections.abc import Iterable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from batchedllm_engine.middleware.configuration import Heads


class Connection(Protocol):
    """What is read of uvicorn's protocol objects."""

    cycle: Any
    """The request that was begun last; None before the first."""
    headers: list[tuple[bytes, bytes]]
    """Headers read so far of the one that arrives."""
    transport: Any


class ConnectionWatch:
    """Remembers since when connections have been without a request."""

    def __init__(self) -> None:
        self._waiting_since: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    def overdue(self, connections: Iterable[Connection], bounds: Heads, now: float) -> list[Connection]:
        """Return those whose next request's head takes too long, or is too large already."""
        found = []
        for one in connections:
            if one.cycle is not None and not one.cycle.response_complete:
                self._waiting_since.pop(one, None)
                continue
            since = self._waiting_since.setdefault(one, now)
            if now - since > bounds.seconds or _size(one.headers) > bounds.max_bytes:
                found.append(one)
        return found


def connections_of(server: Any) -> list[Connection]:  # noqa: ANN401 - uvicorn's Server, which is not imported
    """Return the server's connections as far as they can be looked at."""
    connections = getattr(getattr(server, "server_state", None), "connections", ())
    return [one for one in connections if hasattr(one, "cycle") and hasattr(one, "headers")]


def _size(headers: Iterable[tuple[bytes, bytes]] | None) -> int:
    return sum(len(name) + len(value) for name, value in headers or ())
