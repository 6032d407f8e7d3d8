"""Headers that the middleware reads and sets."""

import math
import re
import secrets
from collections.abc import Iterable
from typing import Final

from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused

Headers = Iterable[tuple[bytes, bytes]]

CLASS: Final = b"x-batchedllm-priority"
DEADLINE: Final = b"x-batchedllm-deadline-seconds"
REQUEST_ID: Final = b"x-request-id"
ENGINE_PRIORITY: Final = b"x-vllm-priority"
"""vLLM believes it over the body's `priority`, so no client's may reach it."""
USABLE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
LONGEST_DEADLINE_SECONDS: Final = 86_400.0
MAX_HEADERS: Final = 100


def check_count(headers: Headers) -> None:
    """Raise Refused for a flood of headers."""
    count = len(list(headers))
    if count > MAX_HEADERS:
        raise _bad(f"{count} headers; at most {MAX_HEADERS} are read.")


def only_value(headers: Headers, name: bytes) -> bytes | None:
    """Return a header's value, None without one. Raise Refused where there are several that differ."""
    values = {value.strip() for key, value in headers if key == name}
    if len(values) > 1:
        raise _bad(f"{name.decode()}: {len(values)} different values; send one.")
    return next(iter(values), None)


def asked_class(headers: Headers) -> str | None:
    """Return the class that a client names."""
    value = only_value(headers, CLASS)
    return None if value is None else value.decode("latin-1")


def deadline_seconds(headers: Headers) -> float:
    """Return in how many seconds the client has no use for the answer any more; infinity if it does not say."""
    value = only_value(headers, DEADLINE)
    if value is None:
        return math.inf
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_DEADLINE_SECONDS:
        shown = value[:40].decode("latin-1")
        raise _bad(f"{DEADLINE.decode()}: {shown!r}: expected seconds above 0, at most {LONGEST_DEADLINE_SECONDS:.0f}.")
    return seconds


def presented_key(headers: Headers) -> bytes | None:
    """Return the key in `Authorization: Bearer`, or in `x-api-key` as Anthropic's clients send it."""
    authorization = only_value(headers, b"authorization")
    if authorization is not None:
        scheme, _, key = authorization.partition(b" ")
        return key.strip() if scheme.lower() == b"bearer" and key.strip() else None
    return only_value(headers, b"x-api-key")


def request_id(headers: Headers) -> bytes:
    """Return the client's own id for its request if it can be written anywhere, else a new one."""
    given = next((value for key, value in headers if key == REQUEST_ID), b"")
    return given if USABLE_REQUEST_ID.fullmatch(given) else secrets.token_hex(16).encode()


def for_engine(headers: Headers, identity: bytes, priority: int, content_length: int) -> list[tuple[bytes, bytes]]:
    """Return the headers that the engine gets, with the priority that was decided here."""
    ours = (REQUEST_ID, ENGINE_PRIORITY, b"content-length", b"transfer-encoding")
    kept = [(key, value) for key, value in headers if key not in ours]
    return [
        *kept,
        (REQUEST_ID, identity),
        (ENGINE_PRIORITY, str(priority).encode()),
        (b"content-length", str(content_length).encode()),
    ]


def _bad(message: str) -> Refused:
    return Refused(Refusal(Reason.BAD_HEADER, message))
