"""The configuration: one file, JSON or YAML, whose fields are those of `Configuration` in camelCase."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

MAX_FILE_BYTES: Final = 1 << 20
"""As much as a ConfigMap or Secret of Kubernetes can hold."""
NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

Count = Annotated[int, Field(ge=1, le=10**12)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Rank = Annotated[int, Field(ge=-1000, le=1000)]
Name = Annotated[str, Field(pattern=NAME, max_length=63)]


class ConfigurationError(Exception):
    """A file that cannot be used; the text names the field, its value and what was expected."""


class Section(BaseModel):
    """Part of a file: unknown fields and values of another type are refused, and nothing can be changed later."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        alias_generator=to_camel,
        validate_by_name=True,
        use_attribute_docstrings=True,
    )


Model = TypeVar("Model", bound=Section)


class Limits(Section):
    """Limits of one class, or of all requests together. Both hold; an unset one is no limit.

    A request counts as many requests as it asks answers: `n` times its prompts.
    """

    running_requests: Count | None = None
    """Most requests in the engine; those beyond wait in the middleware's queue."""
    queued_requests: Annotated[int, Field(ge=0, le=10**12)] | None = None
    """Most requests that wait."""
    queued_tokens: Count | None = None
    """Most prompt tokens of the requests that wait, estimated as a token for 4 bytes of text; token ids are counted."""
    requests_per_minute: Count | None = None
    """Requests that begin; a full minute's worth may come at once."""
    tokens_per_minute: Count | None = None
    """Estimated prompt tokens plus the output tokens that are asked for."""
    queue_seconds: Seconds | None = None
    """Longest wait; then the request leaves with 503, and the engine never saw it."""
    request_seconds: Seconds | None = None
    """Longest time from arrival to the end of the answer; then it is cut with 504."""
    output_tokens: Count | None = None
    """Most output tokens of one answer. More is refused; a request that names no number gets this one."""


class ServiceClass(Section):
    """A class of requests."""

    name: Name
    """What clients call it."""
    rank: Rank
    """The engine's priority of its requests: the lower, the earlier they are served, here and in the engine."""
    default: bool = False
    """Class of requests that name none and have no key."""
    key_only: bool = False
    """Only for holders of an API key; no header alone leads here."""
    limits: Limits = Limits()
    """Limits of the class, beside those of all."""


class Heads(Section):
    """Bounds of the heads of requests: a connection that does not keep them is closed."""

    seconds: Seconds = 10.0
    """Time for a request's head to arrive, from the connection's begin or from the answer before it."""
    max_bytes: Annotated[int, Field(ge=1024, le=1 << 24)] = 65_536
    """Largest sum of the names and values of headers."""


class Bodies(Section):
    """Bounds of what is read from clients."""

    max_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 8 << 20
    """Largest body; a larger one is refused with 413."""
    seconds: Seconds = 30.0
    """Time for a body to arrive; then 408."""
    buffered_bytes: Annotated[int, Field(ge=1024, le=1 << 40)] = 256 << 20
    """Bodies held at once, of all requests; beyond, 503."""


class Drain(Section):
    """What happens at SIGTERM. A pod's grace period must be longer than both together, and its preStop."""

    seconds: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """Time for requests that were accepted; then they are cut."""
    exit_seconds: Seconds = 20.0
    """Time for the process to end after that; then it is ended, whatever hangs. vLLM takes 7 s, 12 s on busy cores."""


class ApiKeys(Section):
    """Who may send requests."""

    file: Annotated[str, Field(min_length=1)]
    """Path of the file of API keys, which is read again when it changes."""
    required: bool = True
    """Refuse requests without a key; otherwise they are of the default class, or of one that is not keyOnly."""


class Configuration(Section):
    """All of it. Without a file everything is as here: one class, no limit but those of bodies and of the drain."""

    classes: Annotated[tuple[ServiceClass, ...], Field(min_length=1, max_length=16, strict=False)] = (
        ServiceClass(name="default", rank=0, default=True),
    )
    """Classes of requests, each with a name and a rank of its own; exactly one is the default."""
    limits: Limits = Limits()
    """Limits of all requests together."""
    heads: Heads = Heads()
    """Bounds of the heads of requests: a connection that does not keep them is closed."""
    bodies: Bodies = Bodies()
    """Bounds of what is read from clients."""
    drain: Drain = Drain()
    """What happens at SIGTERM."""
    api_keys: ApiKeys | None = None
    """Who may send requests; unset, everybody may."""
    extra_endpoints: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(GET|POST) /[!-~]*$")], ...], Field(max_length=64, strict=False)
    ] = ()
    """Endpoints to let through beside the known ones, as `POST /tokenize`: a key is asked for, limits do not hold."""
    access_log: bool = False
    """One line of JSON for each request, without its content, its key or its address."""

    @model_validator(mode="after")
    def _classes_agree(self) -> Self:
        for what, values in (
            ("name", [one.name for one in self.classes]),
            ("rank", [one.rank for one in self.classes]),
        ):
            for value, times in Counter(values).items():
                if times > 1:
                    raise ValueError(f"classes: {times} have the {what} {value}; each needs one of its own")
        defaults = [one for one in self.classes if one.default]
        if len(defaults) != 1:
            raise ValueError(f"classes: {len(defaults)} have default: true; exactly one must")
        if defaults[0].key_only:
            raise ValueError(f"classes: {defaults[0].name} is the default and keyOnly; it can be only one of them")
        return self

    @property
    def default_class(self) -> ServiceClass:
        """The class of requests that name none."""
        return next(one for one in self.classes if one.default)

    def find_class(self, name: str) -> ServiceClass | None:
        """Return the class of that name."""
        return next((one for one in self.classes if one.name == name), None)


def parse_document(content: bytes, source: str) -> Mapping[str, Any]:
    """Return the object that a file holds. Raise ConfigurationError, in which `source` names the file."""
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{source}: {len(content)} bytes; expected at most {MAX_FILE_BYTES}")
    try:
        document = _load(content.decode("utf-8"))
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(f"{source}: expected JSON or YAML in UTF-8: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{source}: expected an object with fields, found {type(document).__name__}")
    return document


def _load(text: str) -> object:
    """Read JSON as JSON, whose white space is not always YAML's."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)


def parse_configuration(content: bytes, source: str) -> Configuration:
    """Return what a file says. Raise ConfigurationError that tells every field that is wrong."""
    return validated(Configuration, parse_document(content, source), source)


def validated(model: type[Model], document: Mapping[str, Any], source: str) -> Model:
    """Return the document as `model`; raise ConfigurationError without repeating any value of a key file."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        told = [_told(one["loc"], one["msg"], one["input"]) for one in error.errors(include_url=False)]
        raise ConfigurationError(f"{source}: {'; '.join(told)}") from None


def _told(place: tuple[int | str, ...], message: str, value: object) -> str:
    path = ".".join(str(step) for step in place)
    message = message.removeprefix("Value error, ")
    is_secret = place[:1] == ("keys",)
    shown = f" {value!r}" if isinstance(value, str | int | float | bool) and not is_secret else ""
    return f"{path}{shown}: {message}" if path else message


def read_file(path: Path) -> bytes:
    """Return a file's content, at most a byte beyond the bound. Raise ConfigurationError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}; is it mounted?") from None
