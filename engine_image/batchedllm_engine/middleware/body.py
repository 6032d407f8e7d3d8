"""Reading and rewriting the body of a request: what the engine gets is what was checked here."""

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from batchedllm_engine.middleware.cost import OUTPUT_FIELDS
from batchedllm_engine.middleware.endpoints import Inference
from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused

MAX_NUMBER: Final = 10**9
"""Larger numbers of answers or tokens mean nothing to any engine."""


def parse_body(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in a body. Raise Refused for anything else, without repeating any of it."""
    try:
        body = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _bad(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    except RecursionError:
        raise _bad("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise _bad(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except ValueError as error:
        raise _bad(f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise _bad(f"The body must be a JSON object, not {type(body).__name__}.")
    for name in ("n", *OUTPUT_FIELDS):
        if name in body:
            _check_number(name, body[name])
    if body.get("background"):
        raise _bad("background: requests that go on without a client are not supported; send false.", "background")
    return body


def asked_output_tokens(body: Mapping[str, Any]) -> int | None:
    """Return the largest number of output tokens an answer that the body asks for."""
    asked = [body[name] for name in OUTPUT_FIELDS if body.get(name) is not None]
    return max(asked, default=None)


def changed_fields(
    body: Mapping[str, Any], endpoint: Inference, priority: int, output_tokens: int | None
) -> dict[str, int]:
    """Return the fields that the engine must get in place of the client's.

    That is the class's priority, and the most output tokens where the client leaves them to the engine.
    """
    changed = {"priority": priority} if endpoint.takes_priority else {}
    name = endpoint.output_field
    if output_tokens is None or name is None or asked_output_tokens(body) is not None:
        return changed
    is_left_out = name not in body and endpoint.default_output_tokens is not None
    if is_left_out and (endpoint.default_output_tokens or 0) <= output_tokens:
        return changed
    return changed | {name: output_tokens}


def withheld_fields(endpoint: Inference) -> frozenset[str]:
    """Return the fields that the engine must not get: a priority that it does not read today it may read tomorrow."""
    return frozenset() if endpoint.takes_priority else frozenset({"priority"})


def rewritten(raw: bytes, body: Mapping[str, Any], changed: Mapping[str, int], withheld: frozenset[str]) -> bytes:
    """Return the body with the changed fields and without those that are withheld.

    Where the client sent none of them they are put before its own fields, which stay as they are, byte by byte.
    Otherwise all is written anew, so that nobody has to know which of two equal names an engine takes.
    """
    if (changed.keys() | withheld) & body.keys():
        kept = {name: value for name, value in body.items() if name not in withheld}
        try:
            return json.dumps({**kept, **changed}).encode()
        except RecursionError:
            raise _bad("The body is nested too deeply.") from None
    if not changed:
        return raw
    fields = ",".join(f'"{name}":{value}' for name, value in changed.items()).encode()
    rest = raw.lstrip()[1:]
    return b"{" + fields + (b"," if body else b"") + rest


def _check_number(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_NUMBER:
        shown = repr(value) if isinstance(value, int | float) else type(value).__name__
        raise _bad(f"{name}: {shown[:40]}: expected a whole number from 1 to {MAX_NUMBER}.", name)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON.")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)
"""Made once: it takes as long to make as to read a small body."""


def _bad(message: str, parameter: str | None = None) -> Refused:
    return Refused(Refusal(Reason.BAD_BODY, message, parameter))
