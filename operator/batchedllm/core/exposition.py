"""Samples of Prometheus' text format 0.0.4, from a source that is not to be trusted: labels, and a plausible value."""

import math
import re
from collections.abc import Iterable
from typing import Final

_LABEL: Final = r'[ \t]*([a-zA-Z_]\w*)[ \t]*=[ \t]*"((?:[^"\\\n]|\\[^\n])*+)"[ \t]*'
LABELS: Final = re.compile(_LABEL, re.ASCII)
"""One label: its name and its value."""
_SAMPLE: Final = re.compile(
    rf"[ \t]*(?:\{{((?:{_LABEL}(?:,|(?=\}})))*+)[ \t]*\}})?[ \t]*([^{{\s]\S*)(?:[ \t]+(\S+))?[ \t\r]*", re.ASCII
)
"""Labels (1), value (4) and timestamp (5) of a sample."""
NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
"""A finite number."""


class ContractError(ValueError):
    """A metric is there but not as the contract says; the text says in what."""


def series(rest: str) -> tuple[Iterable[tuple[str, str]], str]:
    """Return labels, in a fixed order, and the value as text, of what follows a name. Raises ContractError."""
    sample = _SAMPLE.fullmatch(rest)
    if sample is None:
        raise ContractError("not a sample")
    labels, *_, value, timestamp = sample.groups()
    if timestamp is not None:
        raise ContractError("has a timestamp of its own, so it may be old")
    return tuple(sorted(LABELS.findall(labels or ""))), value


def plausible(text: str, most: float) -> float:
    """Return the value, from 0 to `most`. Raises ContractError for any other."""
    if not NUMBER.fullmatch(text):
        raise ContractError(f"is {text[:20]!r}, not a finite number")
    value = float(text)
    if not math.isfinite(value) or not 0 <= value <= most:
        raise ContractError(f"is {text[:20]}, not between 0 and {most:g}")
    return value
