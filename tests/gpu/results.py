"""What a case found, as a JSON file that stays small, and whether it has to be run (again)."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_DIGITS = 5
_ROW = re.compile(r"\[\s+([^\[\]{}\"]*?)\s+\]")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a case has to show."""

    what: str
    value: Any
    """What was seen."""
    bound: str
    """What it must be, in words."""
    holds: bool


@dataclass(slots=True)
class Result:
    """One case's outcome."""

    case: str
    at: str
    seconds: float
    machine: dict[str, Any]
    measured: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    error: str = ""
    """Why the case broke off; empty if it ran to its end."""

    @property
    def passed(self) -> bool:
        """Whether the case ran to its end and showed all it had to."""
        return not self.error and bool(self.checks) and all(one.holds for one in self.checks)


def rounded(value: Any) -> Any:
    """Return JSON with its floats cut to five significant digits: more says nothing and fills the repository."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return value


def text(document: dict[str, Any]) -> str:
    """Return JSON with a line for each list of plain values: rows of numbers stay rows."""
    return _ROW.sub(lambda found: f"[{' '.join(found[1].split())}]", json.dumps(document, indent=1)) + "\n"


def write(folder: Path, result: Result) -> Path:
    """Write `CASE.json`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{result.case}.json"
    document = rounded({**asdict(result), "passed": result.passed})
    unfinished = target.with_suffix(".unfinished")
    unfinished.write_text(text(document))
    unfinished.rename(target)
    return target


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the results of a folder by case."""
    found = (json.loads(file.read_text()) for file in sorted(folder.glob("*.json")))
    return {one["case"]: one for one in found if "case" in one}


def to_run(wanted: list[str], done: dict[str, dict[str, Any]], *, again: bool) -> list[str]:
    """Return the cases that are still to be run: those that broke off are, those that only failed a check are not."""
    return [name for name in wanted if again or name not in done or done[name].get("error")]
