"""What is made of a request before it queues: from its head, then from its body. No state, no clock."""

import math
from dataclasses import dataclass
from typing import Final

from batchedllm_engine.middleware import headers as names
from batchedllm_engine.middleware.body import (
    asked_output_tokens,
    changed_fields,
    parse_body,
    rewritten,
    withheld_fields,
)
from batchedllm_engine.middleware.choice import choose_class
from batchedllm_engine.middleware.configuration import Configuration, Limits, ServiceClass
from batchedllm_engine.middleware.cost import Cost, cost_of
from batchedllm_engine.middleware.endpoints import Endpoint, Inference, find_endpoint
from batchedllm_engine.middleware.headers import Headers
from batchedllm_engine.middleware.keys import ApiKey
from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused
from batchedllm_engine.middleware.settings import Settings

TOO_LATE: Final = Refusal(Reason.DEADLINE, "The deadline that the request named has passed.")
NO_KEY: Final = Refusal(
    Reason.BAD_KEY,
    "A known API key is needed: Authorization: Bearer KEY.",
    headers=((b"www-authenticate", b"Bearer"),),
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request may take from its arrival on, and what is said when that is over."""

    seconds: float
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as the engine shall get it, and what it counts as."""

    body: bytes
    cost: Cost


def judge_head(method: str, path: str, headers: Headers, settings: Settings) -> tuple[Endpoint, ServiceClass]:
    """Return the endpoint and the request's class. Raise Refused for what the head alone rules out."""
    names.check_count(headers)
    endpoint = find_endpoint(method, path, settings.configuration.extra_endpoints)
    if not isinstance(endpoint, Inference) and not endpoint.needs_key:
        return endpoint, settings.configuration.default_class
    key = _known_key(headers, settings)
    return endpoint, choose_class(names.asked_class(headers), key, settings.configuration)


def patience_for(headers: Headers, service_class: ServiceClass, configuration: Configuration) -> Patience:
    """Return the shortest of the limits of time and the client's own deadline."""
    limit = _strictest("request_seconds", service_class, configuration)
    deadline = names.deadline_seconds(headers)
    if deadline <= limit:
        return Patience(deadline, TOO_LATE)
    return Patience(limit, Refusal(Reason.REQUEST_TIME, f"The request took longer than {limit:g} s."))


def prepare(raw: bytes, endpoint: Inference, service_class: ServiceClass, configuration: Configuration) -> Prepared:
    """Return the body for the engine. Raise Refused for one that is no request, or asks for too much output."""
    body = parse_body(raw)
    most = _strictest("output_tokens", service_class, configuration)
    limit = None if math.isinf(most) else int(most)
    asked = asked_output_tokens(body)
    if asked is not None and asked > most:
        told = f"{asked} output tokens; requests of class {service_class.name!r} can have at most {limit}."
        raise Refused(Refusal(Reason.OUTPUT_TOKENS, told, endpoint.output_field))
    changed = changed_fields(body, endpoint, service_class.rank, limit)
    expected = asked if asked is not None else changed.get(endpoint.output_field or "", endpoint.default_output_tokens)
    return Prepared(rewritten(raw, body, changed, withheld_fields(endpoint)), cost_of(body, expected))


def _strictest(field: str, service_class: ServiceClass, configuration: Configuration) -> float:
    """Return the lower of a limit's two values; infinity where neither is set."""
    both: tuple[Limits, Limits] = (configuration.limits, service_class.limits)
    return min((value for limits in both if (value := getattr(limits, field)) is not None), default=math.inf)


def _known_key(headers: Headers, settings: Settings) -> ApiKey | None:
    if settings.keys is None:
        return None
    presented = names.presented_key(headers)
    found = None if presented is None else settings.keys.find(presented)
    api_keys = settings.configuration.api_keys
    is_needed = api_keys is None or api_keys.required or presented is not None
    if found is None and is_needed:
        raise Refused(NO_KEY)
    return found
