"""Each of vLLM's processes keeps account of what it logs while it starts, in a folder that all of them know.

vLLM calls `keep_account` in each of its processes (entry point group `vllm.general_plugins`). Weights are loaded and
graphs captured in processes that have no `/metrics`; what they say of it, they say in their log.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from batchedllm_engine.start.log_lines import Fact, facts_of

FOLDER: Final = "BATCHEDLLM_ENGINE_START_FOLDER"
"""Environment variable: where the accounts lie. Set by the first process, inherited by the others."""
BEGIN: Final = "BATCHEDLLM_ENGINE_START_BEGIN"
"""Environment variable: when the first process began, in seconds since the machine did."""
PREFLIGHT_SECONDS: Final = "BATCHEDLLM_ENGINE_PREFLIGHT_SECONDS"
"""Environment variable: how long the checks before vLLM took."""
_CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
_START_TIME_FIELD: Final = 19
"""Of /proc/self/stat, counted after the name in parentheses; see proc(5)."""


class _Account(logging.Handler):
    """Appends the facts of each log line to a file of this process."""

    def __init__(self, file: Path) -> None:
        super().__init__(logging.INFO)
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Write down what the line says; a full disk is no reason to disturb whoever logs."""
        facts = facts_of(record.getMessage())
        if facts:
            with suppress(OSError):
                note(self._file, facts)


def keep_account() -> None:
    """Begin to keep account in this process, and in the first one note how long its imports took."""
    with suppress(OSError):
        is_first = FOLDER not in os.environ
        if is_first:
            os.environ[FOLDER] = tempfile.mkdtemp(prefix="batchedllm-start-")
            os.environ[BEGIN] = f"{process_begin_seconds():.3f}"
        file = Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl"
        if is_first:
            note(file, _first_facts())
        logging.getLogger("vllm").addHandler(_Account(file))


def _first_facts() -> list[Fact]:
    preflight = float(os.environ.get(PREFLIGHT_SECONDS, "0"))
    facts = [Fact("phase", "import", seconds_since_begin() - preflight)]
    return [Fact("phase", "preflight", preflight), *facts] if preflight else facts


def seconds_since_begin() -> float:
    """Return how long ago the first of vLLM's processes began. With several API servers, that is none of them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - float(os.environ[BEGIN])


def note(file: Path, facts: list[Fact]) -> None:
    """Append facts to a file, a line each."""
    with file.open("a", encoding="utf-8") as account:
        account.writelines(json.dumps(asdict(fact)) + "\n" for fact in facts)


def accounts(folder: Path) -> Iterator[Fact]:
    """Yield what all processes wrote down so far."""
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield Fact(**json.loads(line))


def process_begin_seconds() -> float:
    """Return when this process began, in seconds since the machine did; becoming another program changes nothing."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return float(fields[_START_TIME_FIELD]) / _CLOCK_TICKS
