"""API keys: who a client is, told without ever comparing or keeping a key in clear text."""

import hashlib
import hmac
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from batchedllm_engine.middleware.configuration import (
    Configuration,
    ConfigurationError,
    Name,
    Section,
    parse_document,
    validated,
)


class KeyEntry(Section):
    """One key, in clear text or as the SHA-256 of it in hexadecimal digits."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Whose it is; for those who look after the file."""
    key: Annotated[SecretStr, Field(min_length=8, max_length=512)] | None = None
    """The key in clear text."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    """Or the SHA-256 of the key, in hexadecimal digits."""
    service_class: Annotated[Name, Field(alias="class")]
    """Class of its requests. A header may name a lower one for a request, never a higher."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("needs either key or sha256")
        return self

    def digest(self) -> bytes:
        """Return the SHA-256 of the key."""
        if self.key is None:
            return bytes.fromhex(self.sha256 or "")
        return hashlib.sha256(self.key.get_secret_value().encode()).digest()


class KeyFile(Section):
    """The file that `apiKeys.file` names, as JSON or YAML."""

    keys: Annotated[tuple[KeyEntry, ...], Field(min_length=1, max_length=1000, strict=False)]
    """All keys that are known."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that is known."""

    service_class: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All known keys."""

    keys: tuple[ApiKey, ...] = ()

    def find(self, presented: bytes) -> ApiKey | None:
        """Return the key that a client presents, in a time that depends only on how many there are."""
        digest, found = hashlib.sha256(presented).digest(), None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def parse_keys(content: bytes, source: str, configuration: Configuration) -> KeyRing:
    """Return the keys of a file. Raise ConfigurationError, which repeats no key, for one that cannot be used."""
    entries = validated(KeyFile, parse_document(content, source), source).keys
    for entry in entries:
        if configuration.find_class(entry.service_class) is None:
            known = ", ".join(one.name for one in configuration.classes)
            raise ConfigurationError(
                f"{source}: the key of {entry.name} is of class {entry.service_class!r}; expected one of {known}"
            )
    keys = tuple(ApiKey(entry.service_class, entry.digest()) for entry in entries)
    if max(Counter(key.digest for key in keys).values()) > 1:
        raise ConfigurationError(f"{source}: a key stands there twice; each needs one entry")
    return KeyRing(keys)
