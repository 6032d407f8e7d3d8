"""The figures of every run that was ever made, one a line, so that a judge that was stopped goes on.

A run is known by what it simulated and by the state of the code that it depends on: a changed policy is run again,
and nothing else is.
"""

import ast
import hashlib
import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import batchedllm
from batchedllm.sim.fleet.capacity import ATTAINMENT
from bench.scaling.cases import STARTUPS, World
from bench.scaling.tasks import OWN, Task

FILE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batchedllm" / "scaling_judge.jsonl"

_WORLD = (
    *("sim/*.py", "sim/traces/*.py", "sim/judge/comparison.py"),
    *(f"sim/fleet/{name}.py" for name in ("capacity", "replicas", "score", "settings", "simulation", "slo")),
)
_PEERS = ("sim/policies/*.py",)
_OWN = ("core/scaling/**/*.py", "core/windows*.py", "core/readings.py", "api/scaling*.py", "sim/fleet/own_policy.py")
_CLAIRVOYANT = ("sim/fleet/clairvoyant.py", "sim/fleet/plans.py", "sim/fleet/fixed.py")

Figures = dict[str, Any]


@cache
def _state(patterns: tuple[str, ...]) -> str:
    folder = Path(next(iter(batchedllm.__path__)))
    files = sorted({file for pattern in patterns for file in folder.glob(pattern)})
    code = "".join(_without_words(file.read_text(encoding="utf-8")) for file in files)
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def _without_words(source: str) -> str:
    """Return what a module does: its code without comments and texts that stand alone."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [one for one in node.body if not _is_text(one)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def state_of_code(policy: str) -> str:
    """Return a name for the state of what a policy's runs depend on."""
    if policy.startswith(OWN):
        return _state(_WORLD + _OWN)
    return _state(_WORLD + (_CLAIRVOYANT if policy == "clairvoyant" else () if policy == "capacity" else _PEERS))


class Results:
    """Figures by task, kept in a file."""

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._known: dict[str, Figures] = {}
        self._of_world: dict[str, list[tuple[str, str]]] = {}
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        for line in text.splitlines():
            if line.endswith("}}"):  # the last one may have been cut off
                entry = json.loads(line)
                self._keep(entry["key"], entry["figures"])
        self._begin = "\n" if text and not text.endswith("\n") else ""

    def cheapest_hours(self, world: World) -> float | None:
        """Return what the cheapest plan known cost that serves 99 %: the clairvoyant's, or what some policy did.

        A plan for a longer start-up is one for a shorter, at no higher cost. None until the clairvoyant was run.
        """
        slower = (replace(world, startup_seconds=seconds) for seconds in STARTUPS if seconds > world.startup_seconds)
        plans = [self.get(Task(one, "clairvoyant")) for one in (world, *slower)]
        if plans[0] is None:
            return None
        hours = [plan["replicaHours"] for plan in plans if plan is not None and plan["A"] >= ATTAINMENT]
        hours = hours or [plans[0]["replicaHours"]]
        for policy, key in self._of_world.get(world.name, ()):
            figures = self._known[key]
            if figures.get("A", 0.0) >= ATTAINMENT and key.endswith(state_of_code(policy)):
                hours.append(figures["replicaHours"])
        return float(min(hours))

    def get(self, task: Task) -> Figures | None:
        """Return what a run came to, None if it was not made with the code as it is."""
        return self._known.get(self._key(task))

    def add(self, task: Task, figures: Figures) -> None:
        """Keep what a run came to."""
        key = self._key(task)
        self._keep(key, figures)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(self._begin + json.dumps({"key": key, "figures": figures}) + "\n")
        self._begin = ""

    def _keep(self, key: str, figures: Figures) -> None:
        if key not in self._known:
            world, _, rest = key.partition(" policy=")
            self._of_world.setdefault(world, []).append((rest.split(" ")[0], key))
        self._known[key] = figures

    @staticmethod
    def _key(task: Task) -> str:
        return f"{task.name} {state_of_code(task.policy)}"
