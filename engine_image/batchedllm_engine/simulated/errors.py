"""Refusals in the form of vLLM's OpenAI server."""

from http import HTTPStatus

from starlette.responses import JSONResponse, Response

BUSY = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."


class RefusedRequest(Exception):  # noqa: N818 - an answer to the client, not a fault
    """A request that is answered with an error body."""

    def __init__(
        self, status: HTTPStatus, message: str, *, kind: str = "BadRequestError", parameter: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.parameter = parameter

    def response(self) -> Response:
        """Return the error as vLLM words it."""
        body = {"message": str(self), "type": self.kind, "param": self.parameter, "code": int(self.status)}
        return JSONResponse({"error": body}, status_code=self.status)


def bad_request(message: str, parameter: str | None = None, value: object = None) -> RefusedRequest:
    """Return a 400; parameter and value stand in the message as vLLM puts them there."""
    if parameter is not None:
        told = f"parameter={parameter}" if value is None else f"parameter={parameter}, value={value}"
        message = f"{message} ({told})"
    return RefusedRequest(HTTPStatus.BAD_REQUEST, message, parameter=parameter)


def unknown_model(name: str, known: tuple[str, ...]) -> RefusedRequest:
    """Return the 404 for a model that is not served."""
    message = f"The model `{name}` does not exist. Valid aliases: {', '.join(known)}."
    return RefusedRequest(HTTPStatus.NOT_FOUND, message, kind="NotFoundError", parameter="model")


def busy() -> RefusedRequest:
    """Return the 503 of a reached queue cap; vLLM sends no Retry-After."""
    return RefusedRequest(HTTPStatus.SERVICE_UNAVAILABLE, BUSY, kind="Service Unavailable")


def shutting_down() -> RefusedRequest:
    """Return the 500 that vLLM gives to new requests while it drains."""
    message = "cannot schedule new futures after shutdown"
    return RefusedRequest(HTTPStatus.INTERNAL_SERVER_ERROR, message, kind="InternalServerError")
