"""Answers that the middleware gives in the engine's place, in the shape of OpenAI's errors."""

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

MAX_RETRY_SECONDS: Final = 3600


class Reason(StrEnum):
    """Why a request was refused or cut: the label `reason` of the metric of rejections, and `code` of the error."""

    NOT_FOUND = "not_found"
    WRONG_METHOD = "wrong_method"
    HEAD = "head"
    """The connection was closed without an answer: no whole head of a request came in time, or it was too large."""
    BAD_KEY = "bad_key"
    BAD_CLASS = "bad_class"
    BAD_HEADER = "bad_header"
    BAD_BODY = "bad_body"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TOO_SLOW = "body_too_slow"
    BODIES_FULL = "bodies_full"
    OUTPUT_TOKENS = "output_tokens"
    TOO_LARGE = "too_large"
    REQUEST_RATE = "request_rate"
    TOKEN_RATE = "token_rate"  # noqa: S105 - tokens of a model
    QUEUE_FULL = "queue_full"
    SHED = "shed"
    QUEUE_TIME = "queue_time"
    REQUEST_TIME = "request_time"
    DEADLINE = "deadline"
    DRAINING = "draining"
    NOT_CONFIGURED = "not_configured"


STATUS: Final = {
    Reason.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Reason.WRONG_METHOD: HTTPStatus.METHOD_NOT_ALLOWED,
    Reason.BAD_KEY: HTTPStatus.UNAUTHORIZED,
    Reason.BAD_CLASS: HTTPStatus.BAD_REQUEST,
    Reason.BAD_HEADER: HTTPStatus.BAD_REQUEST,
    Reason.BAD_BODY: HTTPStatus.BAD_REQUEST,
    Reason.BODY_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.BODY_TOO_SLOW: HTTPStatus.REQUEST_TIMEOUT,
    Reason.BODIES_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.OUTPUT_TOKENS: HTTPStatus.BAD_REQUEST,
    Reason.TOO_LARGE: HTTPStatus.BAD_REQUEST,
    Reason.REQUEST_RATE: HTTPStatus.TOO_MANY_REQUESTS,
    Reason.TOKEN_RATE: HTTPStatus.TOO_MANY_REQUESTS,
    Reason.QUEUE_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.SHED: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.QUEUE_TIME: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.REQUEST_TIME: HTTPStatus.GATEWAY_TIMEOUT,
    Reason.DEADLINE: HTTPStatus.GATEWAY_TIMEOUT,
    Reason.DRAINING: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.NOT_CONFIGURED: HTTPStatus.SERVICE_UNAVAILABLE,
}
KINDS: Final = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One such answer."""

    reason: Reason
    message: str
    parameter: str | None = None
    retry_after_seconds: float | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def status(self) -> HTTPStatus:
        """The answer's status."""
        return STATUS[self.reason]

    def error(self) -> dict[str, object]:
        """Return the object `error` of OpenAI's API."""
        kind = KINDS.get(self.status, "invalid_request_error")
        return {"message": self.message, "type": kind, "param": self.parameter, "code": self.reason.value}

    def body(self) -> bytes:
        """Return the answer's body."""
        return json.dumps({"error": self.error()}).encode()

    def event(self) -> bytes:
        """Return the error as the last event of a stream that has begun."""
        return b"data: " + self.body() + b"\n\n"

    def answer_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the answer's headers; Retry-After in whole seconds, never 0."""
        headers = [(b"content-type", b"application/json"), *self.headers]
        if self.retry_after_seconds is not None:
            seconds = math.ceil(min(max(self.retry_after_seconds, 1), MAX_RETRY_SECONDS))
            headers.append((b"retry-after", str(seconds).encode()))
        return headers


class Refused(Exception):  # noqa: N818 - an answer to the client, not a fault
    """Carries a refusal to where it is answered."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
