"""Everything about the process that is set from outside, by flags or by environment variables.

A flag `--scrape-interval-seconds 5` and the variable `BATCHEDLLM_SCRAPE_INTERVAL_SECONDS=5` are the same;
the flag wins. Each field's docstring is its help text.
"""

import argparse
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from batchedllm.api import names

PREFIX: Final = "BATCHEDLLM_"


class SettingError(Exception):
    """A setting cannot be used; the message names the flag, the variable, the value and what is expected."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The process's settings."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to look after, separated by commas; empty: all."""
    engine_image: str = "batchedllm.dev/engine:0.1.0-gpu"
    """Engine image of a BatchedLLM that names none."""
    scrape_interval_seconds: float = 2.0
    """Time between two scrapes of an engine pod, 0.2 to 60."""
    scrape_through: Literal["direct", "api-server"] = "direct"
    """How to reach the pods' metrics: direct (by pod IP), or api-server (its pod proxy, for a laptop)."""
    dcgm_exporters: bool = True
    """Whether to read NVIDIA's dcgm-exporter on the node of a pod that tells nothing of its GPUs."""
    dcgm_exporter_namespace: str = ""
    """Namespace of the dcgm-exporters; empty: all."""
    resync_seconds: float = 60.0
    """Time between two full lists of all that is watched, 5 to 3600."""
    leader_election: bool = True
    """Whether to wait for the leader lease before anything is written; false only where one process is certain."""
    lease_namespace: str = ""
    """Namespace of the leader lease; empty: the pod's own, or the first of `namespaces`, or default."""
    lease_name: str = names.LEASE_NAME
    """Name of the leader lease."""
    pod_name: str = ""
    """Name of this process in the lease and in Events; empty: the host's name."""
    listen_host: str = "0.0.0.0"  # noqa: S104 - probes and Prometheus come from other addresses
    """Address to serve /healthz, /readyz and /metrics on."""
    listen_port: int = 8080
    """Port to serve them on, 0 to 65535; 0: any free one, told in the log."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important messages to log."""
    log_format: Literal["json", "text"] = "json"
    """json (one object per line) or text (for a person)."""
    kubeconfig: Path | None = None
    """Kubeconfig to connect by; empty: the pod's service account, else KUBECONFIG or ~/.kube/config."""
    context: str | None = None
    """Context of the kubeconfig; empty: the current one."""


_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises SettingError; exits for `--help`, as argparse does."""
    flags = vars(_parser().parse_args(arguments))
    given: dict[str, Any] = {}
    for one in fields(Settings):
        flag, variable = flags[one.name], environment.get(PREFIX + one.name.upper())
        text = (",".join(flag) if isinstance(flag, list) else flag) if flag is not None else variable
        if text is not None:
            given[one.name] = _read(one.name, text, "flag" if flag is not None else "variable")
    return Settings(**given)


def lease_namespace(settings: Settings) -> str:
    """Return the namespace of the leader lease."""
    if settings.lease_namespace:
        return settings.lease_namespace
    if _OWN_NAMESPACE.is_file():
        return _OWN_NAMESPACE.read_text().strip()
    return next(iter(settings.namespaces), "default")


def pod_name(settings: Settings) -> str:
    """Return the name of this process."""
    return settings.pod_name or socket.gethostname()


def _number(low: float, high: float, whole: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = whole(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return read


def _namespaces(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(_DNS_LABEL.fullmatch(part) for part in found):
        raise ValueError
    return tuple(dict.fromkeys(found))


def _namespace(text: str) -> str:
    if text and not _DNS_LABEL.fullmatch(text):
        raise ValueError
    return text


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _image(text: str) -> str:
    if not text or any(character.isspace() for character in text):
        raise ValueError
    return text


_TEXT: Final = (str, "a text")
_READERS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "namespaces": (_namespaces, "names of namespaces, separated by commas, such as team-a,team-b"),
    "engine_image": (_image, "an image reference without blanks"),
    "scrape_interval_seconds": (_number(0.2, 60, float), "a number of seconds from 0.2 to 60"),
    "scrape_through": (_one_of("direct", "api-server"), "direct or api-server"),
    "dcgm_exporters": (_boolean, "true or false"),
    "dcgm_exporter_namespace": (_namespace, "the name of a namespace, or nothing for all"),
    "resync_seconds": (_number(5, 3600, float), "a number of seconds from 5 to 3600"),
    "leader_election": (_boolean, "true or false"),
    "listen_port": (_number(0, 65535, int), "a port from 0 to 65535"),
    "log_level": (_one_of("debug", "info", "warning", "error"), "debug, info, warning or error"),
    "log_format": (_one_of("json", "text"), "json or text"),
    "kubeconfig": (lambda text: Path(text) if text else None, "a path"),
    "context": (lambda text: text or None, "the name of a context"),
}


def _read(name: str, text: str, source: str) -> Any:  # noqa: ANN401 - the field's type
    read, expected = _READERS.get(name, _TEXT)
    try:
        return read(text)
    except (ValueError, KeyError):
        where = f"--{name.replace('_', '-')}" if source == "flag" else PREFIX + name.upper()
        raise SettingError(f"{where}={text!r}: expected {expected}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m batchedllm",
        description=f"The BatchedLLM operator. Every flag is also read from the environment, as {PREFIX}<FLAG>.",
    )
    for one in fields(Settings):
        action = "append" if one.name == "namespaces" else "store"
        flag = "--namespace" if one.name == "namespaces" else f"--{one.name.replace('_', '-')}"
        expected = _READERS.get(one.name, _TEXT)[1].replace("%", "%%")
        parser.add_argument(flag, dest=one.name, action=action, metavar="VALUE", help=f"{expected} ({one.default!r})")
    return parser
