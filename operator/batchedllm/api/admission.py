"""`spec.priority` and `spec.admission`: which requests are served first, which are turned away, and who does it.

Two can do it. The engine itself ranks requests by the number that they send, and refuses beyond a queue limit. The
middleware of the project's engine images does the rest as well: classes by name, times, rates, keys, Retry-After.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from batchedllm.api.base import LIST_BY_NAME, ApiModel, DnsName, Rule, SecretKeyReference

LONGEST_SECONDS: Final = 86_400
MOST: Final = 10**12
"""Largest limit that the middleware's configuration takes."""


class RateLimit(ApiModel):
    """How much may begin in a minute, on each replica; a full minute's worth may come at once."""

    requests_per_minute: int | None = Field(
        default=None, ge=1, le=MOST, description="Requests. Beyond, 429 with Retry-After. Unset: no limit."
    )
    tokens_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="Prompt tokens, estimated as one for 4 bytes of text, and the output tokens that are asked for. "
        "Beyond, 429 with Retry-After. Unset: no limit.",
    )
    rules = (
        Rule("has(self.requestsPerMinute) || has(self.tokensPerMinute)", "needs requestsPerMinute or tokensPerMinute"),
    )


class PriorityClass(ApiModel):
    """A class of requests. Its limits are those of the middleware, and hold beside the limits of all requests."""

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="What clients send in the header `x-batchedllm-priority`.",
    )
    rank: int = Field(
        ge=-1000,
        le=1000,
        description="The lower, the earlier it is served. The middleware sets it as the engine's `priority`; without "
        "the middleware, clients send it as `priority` themselves.",
    )
    default: bool | None = Field(
        default=None,
        description="Class of requests that name none. With the middleware, one class has to be it. Without, the "
        "engine gives such requests priority 0, so the default class must have rank 0.",
    )
    key_only: bool | None = Field(
        default=None, description="Whether only holders of an API key of this class, or a higher one, are in it."
    )
    max_queue_seconds: int | None = Field(
        default=None,
        ge=1,
        le=LONGEST_SECONDS,
        description="Longest wait of a request of the class; then it gets 503, and the engine never saw it.",
    )
    max_running_requests: int | None = Field(
        default=None, ge=1, le=MOST, description="Most requests of the class in the engine of one replica."
    )
    rate_limit: RateLimit | None = Field(default=None, description="How much of the class may begin in a minute.")
    rules = (
        Rule(
            "!(has(self.default) && self.default && has(self.keyOnly) && self.keyOnly)",
            "must not be set in the default class, which is for requests without a key",
            None,
            ".keyOnly",
        ),
    )

    @property
    def has_limits(self) -> bool:
        """Whether anything is set that only the middleware can hold."""
        limits = (self.key_only, self.max_queue_seconds, self.max_running_requests, self.rate_limit)
        return any(limit is not None for limit in limits)


class Priority(ApiModel):
    """Which requests are served first, and how the pods rank among other pods."""

    classes: Annotated[list[PriorityClass], Field(max_length=16, json_schema_extra=LIST_BY_NAME)] = Field(
        default_factory=list,
        description="Classes of requests. With any, the engine schedules by priority (`--scheduling-policy priority`).",
    )
    pod_priority_class_name: DnsName | None = Field(
        default=None, description="PriorityClass of the pods (Kubernetes). Unset: the cluster's default."
    )
    rules = (
        Rule(
            "!has(self.classes) || self.classes.filter(c, has(c.default) && c.default).size() <= 1",
            "only one class can have default: true",
            field_path=".classes",
        ),
        Rule(
            "!has(self.classes) || self.classes.all(c, self.classes.exists_one(d, d.rank == c.rank))",
            "each class needs a rank of its own",
            field_path=".classes",
        ),
    )


class ApiKeys(ApiModel):
    """Who may send requests, and in which class."""

    secret_ref: SecretKeyReference = Field(
        description="The file of keys (docs/admission-reference.md), as one key of a Secret. The operator never reads "
        "it; a change holds without a restart."
    )
    required: bool = Field(
        default=True,
        description="Refuse requests without a key. Otherwise they may be of any class that is not keyOnly.",
    )


class Admission(ApiModel):
    """When requests are turned away instead of being queued, by each replica for itself."""

    mode: Literal["auto", "middleware", "engine"] = Field(
        default="auto",
        description="Who admits requests. `middleware`: that of the project's engine images, before the engine; a "
        "change of limits restarts nothing. `engine`: vLLM alone, as in a stock image. `auto`: the middleware where a "
        "field is set that only it can hold, or classes are set and `engine.image` is not; else the engine.",
    )
    max_queued_requests: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="Most requests that wait in one replica; beyond, the latest of the lowest class get 503. Held by "
        "the engine itself (`--max-num-queued-reqs`), the running ones are counted too. Unset: no limit.",
    )
    max_queued_tokens: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="Most prompt tokens of those that wait (`--max-num-queued-tokens`). Unset: no limit.",
    )
    max_queue_seconds: int | None = Field(
        default=None,
        ge=1,
        le=LONGEST_SECONDS,
        description="Longest wait of any request; then it gets 503, and the engine never saw it. Unset: no limit.",
    )
    max_running_requests: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="Requests that the middleware gives to the engine at a time; the others wait before it. Unset: a "
        "quarter more than `batching.maxNumSeqs`. Where neither is known, all requests wait in the engine.",
    )
    max_output_tokens: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="Most output tokens of one answer. A request for more is refused; one that names none gets these.",
    )
    request_timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=LONGEST_SECONDS,
        description="Longest time from a request's arrival to the end of its answer; then it is cut with 504.",
    )
    rate_limit: RateLimit | None = Field(default=None, description="How much of all classes may begin in a minute.")
    api_keys: ApiKeys | None = Field(default=None, description="Who may send requests. Unset: everybody.")

    @property
    def has_limits(self) -> bool:
        """Whether anything is set that only the middleware can hold."""
        limits = (
            self.max_queue_seconds,
            self.max_running_requests,
            self.max_output_tokens,
            self.request_timeout_seconds,
            self.rate_limit,
            self.api_keys,
        )
        return any(limit is not None for limit in limits)


_CLASSES = "has(self.priority) && has(self.priority.classes)"
_ONLY_MIDDLEWARE = (
    "("
    + " || ".join(
        f"has(self.admission.{name})"
        for name in (
            "maxQueueSeconds",
            "maxRunningRequests",
            "maxOutputTokens",
            "requestTimeoutSeconds",
            "rateLimit",
            "apiKeys",
        )
    )
    + f" || {_CLASSES} && self.priority.classes.exists(c, has(c.keyOnly) || has(c.maxQueueSeconds) || "
    "has(c.maxRunningRequests) || has(c.rateLimit)))"
)
"""CEL of `Admission.has_limits` or any `PriorityClass.has_limits`."""
_USES_MIDDLEWARE = (
    f"(self.admission.mode == 'middleware' || self.admission.mode == 'auto' && ({_ONLY_MIDDLEWARE} || {_CLASSES} && "
    "self.priority.classes.size() > 0 && !has(self.engine.image)))"
)
"""CEL of `BatchedLLMSpec.uses_middleware`."""

ENGINE_CANNOT: Final = (
    "must not be engine where a limit is set that only the middleware can hold: rates, times, output tokens, running "
    "requests, keys, or keyOnly; leave it out and use an engine image of the project"
)
ONE_DEFAULT: Final = "one class needs default: true: the middleware puts requests there that name none"
DEFAULT_IS_0: Final = (
    "the default class must have rank 0: the engine gives priority 0 to a request that names none; use negative ranks "
    "for classes above it, or an engine image of the project and admission.mode: middleware"
)
KEYS_ARE_MISSING: Final = "keyOnly needs admission.apiKeys: without keys nobody could be in the class"
NOTHING_WAITS: Final = (
    "maxQueueSeconds needs batching.maxNumSeqs or admission.maxRunningRequests: only requests that are held before the "
    "engine can leave their queue"
)

ADMISSION_RULES: Final = (
    Rule(
        f"self.admission.mode != 'engine' || !{_ONLY_MIDDLEWARE}",
        ENGINE_CANNOT,
        field_path=".admission.mode",
    ),
    Rule(
        f"!({_CLASSES}) || self.priority.classes.size() == 0 || !{_USES_MIDDLEWARE} || "
        "self.priority.classes.exists(c, has(c.default) && c.default)",
        ONE_DEFAULT,
        field_path=".priority.classes",
    ),
    Rule(
        f"!({_CLASSES}) || self.priority.classes.all(c, !has(c.default) || !c.default || c.rank == 0) || "
        f"{_USES_MIDDLEWARE}",
        DEFAULT_IS_0,
        field_path=".priority.classes",
    ),
    Rule(
        f"has(self.admission.apiKeys) || !({_CLASSES}) || "
        "!self.priority.classes.exists(c, has(c.keyOnly) && c.keyOnly)",
        KEYS_ARE_MISSING,
        field_path=".priority.classes",
    ),
    Rule(
        "has(self.admission.maxRunningRequests) || has(self.batching) && has(self.batching.maxNumSeqs) || "
        f"!has(self.admission.maxQueueSeconds) && !({_CLASSES} && "
        "self.priority.classes.exists(c, has(c.maxQueueSeconds)))",
        NOTHING_WAITS,
        field_path=".admission",
    ),
    Rule(
        "!has(self.engine.arguments) || "
        f"!self.engine.arguments.exists(a, a.replace('_', '-').startsWith('--api-s')) || !{_USES_MIDDLEWARE}",
        "--api-server-count must not be set with the middleware: each process would have limits of its own, and none "
        "would wait for its drain",
        field_path=".engine.arguments",
    ),
)
"""Rules of `spec` between its classes, its admission, its batch and its image."""
