"""What belongs to vLLM, torch or the hub's client: none of them is there where this package is checked and tested."""

from importlib import import_module
from typing import Any

Foreign = Any
"""An object of theirs."""


def module(name: str) -> Foreign:
    """Import a module of theirs, only once it is needed."""
    return import_module(name)
