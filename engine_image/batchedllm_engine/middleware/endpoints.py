"""Which endpoints there are for clients. vLLM has others, some of which run the model without asking for a key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused


@dataclass(frozen=True, slots=True)
class Inference:
    """An endpoint that runs the model: classes and limits hold."""

    takes_priority: bool = True
    """Whether the engine reads `priority` from the body; where it does not, it reads the header X-Vllm-Priority."""
    output_field: str | None = None
    """Name of the field for the most output tokens."""
    default_output_tokens: int | None = None
    """What the engine takes where that field is left out; None is all that there is room for."""


@dataclass(frozen=True, slots=True)
class Plain:
    """An endpoint that does not run the model: it is let through."""

    needs_key: bool = True


Endpoint = Inference | Plain

HEALTH: Final = ("GET", "/health")
ENDPOINTS: Final[Mapping[tuple[str, str], Endpoint]] = {
    HEALTH: Plain(needs_key=False),
    ("GET", "/metrics"): Plain(needs_key=False),
    ("GET", "/v1/models"): Plain(),
    ("POST", "/v1/completions"): Inference(output_field="max_tokens", default_output_tokens=16),
    ("POST", "/v1/chat/completions"): Inference(output_field="max_completion_tokens"),
    ("POST", "/v1/responses"): Inference(output_field="max_output_tokens"),
    ("POST", "/v1/messages"): Inference(takes_priority=False, output_field="max_tokens"),
    ("POST", "/v1/embeddings"): Inference(),
    ("POST", "/v1/rerank"): Inference(),
    ("POST", "/v1/score"): Inference(),
    ("POST", "/classify"): Inference(),
    ("POST", "/pooling"): Inference(),
}


def find_endpoint(method: str, path: str, extra: tuple[str, ...]) -> Endpoint:
    """Return what is at a path; OPTIONS, which browsers ask first, is answered by vLLM. Raise Refused for the rest."""
    found = ENDPOINTS.get((method, path))
    if found is not None:
        return found
    if f"{method} {path}" in extra:
        return Plain()
    methods = [known for known, place in ENDPOINTS if place == path]
    methods += [known for known, place in (one.split(" ", 1) for one in extra) if place == path]
    if not methods:
        raise Refused(Refusal(Reason.NOT_FOUND, "There is no such endpoint."))
    if method == "OPTIONS":
        return Plain(needs_key=False)
    allowed = ", ".join(methods)
    raise Refused(
        Refusal(Reason.WRONG_METHOD, f"This endpoint takes {allowed} only.", headers=((b"allow", allowed.encode()),))
    )
