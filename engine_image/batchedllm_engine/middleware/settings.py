"""The configuration and the keys together, read again whenever one of their files changes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchedllm_engine.middleware.configuration import (
    Configuration,
    ConfigurationError,
    parse_configuration,
    read_file,
)
from batchedllm_engine.middleware.keys import KeyRing, parse_keys

CONFIGURATION_VARIABLE: Final = "BATCHEDLLM_ADMISSION_CONFIG"
"""Environment variable with the path of the configuration. Unset: every default, and no keys."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds at a time."""

    configuration: Configuration
    keys: KeyRing | None = None
    """None: no key is asked for, and none is known."""


class SettingsSource:
    """The files, and what was read from them last.

    Contents are compared, not times: Kubernetes replaces mounted files by links, all with the time of the first.
    """

    def __init__(self, path: Path | None, read: Callable[[Path], bytes] = read_file) -> None:
        self._path = path
        self._read = read
        self._seen: tuple[bytes, ...] | str | None = None
        self._parsed: tuple[bytes | None, Configuration] = (None, Configuration())
        """The last content that could be parsed, and what it says: to parse takes far longer than to read."""

    def poll(self) -> Settings | None:
        """Return the settings if they changed since the last call. Raise ConfigurationError once a bad change."""
        try:
            contents, configuration = self._contents()
        except ConfigurationError as error:
            if self._is_news(str(error)):
                raise
            return None
        if not self._is_news(contents):
            return None
        return self._settings(configuration, contents)

    def _contents(self) -> tuple[tuple[bytes, ...], Configuration]:
        if self._path is None:
            return (), Configuration()
        content = self._read(self._path)
        if content != self._parsed[0]:
            self._parsed = content, parse_configuration(content, str(self._path))
        configuration = self._parsed[1]
        if configuration.api_keys is None:
            return (content,), configuration
        return (content, self._read(Path(configuration.api_keys.file))), configuration

    def _settings(self, configuration: Configuration, contents: tuple[bytes, ...]) -> Settings:
        if configuration.api_keys is None:
            return Settings(configuration)
        return Settings(configuration, parse_keys(contents[1], configuration.api_keys.file, configuration))

    def _is_news(self, seen: tuple[bytes, ...] | str) -> bool:
        news = seen != self._seen
        self._seen = seen
        return news
