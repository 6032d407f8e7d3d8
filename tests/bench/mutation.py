"""Mutation score of `core/scaling`: are its tests good enough to notice that its code was changed?

`make mutation` writes the mutants and their results to build/mutation and prints the score by module; there,
`mutmut show NAME` shows a mutant. mutmut wants the package in a folder `src`, and runs for each mutant only the tests
that reach it; those of hypothesis are left out, since they take longest by far. A run that was stopped goes on.

With MODULES="capacity limits" only these are changed, and tried against the tests of their own names (`test_decide.py`
for those that have none): quicker, and stricter.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build/mutation"
PACKAGE = "batchedllm.core.scaling"
TESTS = Path("tests/unit/core/scaling")

SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = {sources}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-m", "not hypothesis", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "no:asyncio"]
# Generous, in seconds: on a busy machine a slow test is no endless one.
timeout_constant = 30.0
use_git_change_detection = false
track_dependencies = false

[tool.pytest.ini_options]
addopts = "--import-mode=importlib"
pythonpath = ["tests"]
markers = ["hypothesis"]
"""

KILLED = frozenset({"killed", "timeout", "segfault", "suspicious"})


def tests_of(module: str) -> str:
    """Return the test file of a module's own name, else that of the whole chain."""
    parts = module.split(".")
    own = TESTS / f"test_{parts[0] if parts[0] == 'signals' else parts[-1]}.py"
    return str(own if (ROOT / own).exists() else TESTS / "test_decide.py")


def settings(modules: list[str]) -> str:
    sources = [f"src/batchedllm/core/scaling/{module.replace('.', '/')}.py" for module in modules]
    tests = sorted({tests_of(module) for module in modules})
    return SETTINGS.format(
        sources=json.dumps(sources or ["src/batchedllm/core/scaling/*"]), tests=json.dumps(tests or [str(TESTS)])
    )


def prepare(modules: list[str]) -> None:
    """Lay out sources and tests as mutmut wants them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for source, target in (("operator/batchedllm", "src/batchedllm"), (TESTS, TESTS)):
        shutil.rmtree(FOLDER / target, ignore_errors=True)
        shutil.copytree(ROOT / source, FOLDER / target, ignore=shutil.ignore_patterns("__pycache__"))
    for helper in (ROOT / "tests").glob("*.py"):
        if helper.name != "conftest.py":
            shutil.copy2(helper, FOLDER / "tests" / helper.name)
    (FOLDER / "pyproject.toml").write_text(settings(modules))


def mutmut(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mutmut", *arguments]


def results() -> dict[str, str]:
    """Return what became of each mutant that was tried, by name."""
    told = subprocess.run(mutmut("results", "--all", "true"), cwd=FOLDER, capture_output=True, text=True, check=True)
    lines = (line.strip().rsplit(": ", 1) for line in told.stdout.splitlines() if ": " in line)
    return {name: fate for name, fate in lines if fate != "not checked"}


def module_of(mutant: str) -> str:
    return mutant.removeprefix(f"{PACKAGE}.").split(".x", 1)[0]


def report(fates: dict[str, str]) -> None:
    tried = Counter(module_of(name) for name in fates)
    killed = Counter(module_of(name) for name, fate in fates.items() if fate in KILLED)
    for name in sorted(name for name, fate in fates.items() if fate not in KILLED):
        print(f"  {fates[name]:10} {name}")
    for module in sorted(tried):
        print(f"{module:24} {killed[module]:4} of {tried[module]:4} {killed[module] / tried[module]:7.1%}")
    print(f"{'all':24} {killed.total():4} of {tried.total():4} {killed.total() / max(1, tried.total()):7.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "modules", nargs="*", help="those of core/scaling to change, such as capacity or signals.latency"
    )
    parser.add_argument("--report", action="store_true", help="only print what was found so far")
    options = parser.parse_args()
    if not options.report:
        prepare(options.modules)
        subprocess.run(mutmut("run", "--max-children", "1"), cwd=FOLDER, check=False)
    report(results())


if __name__ == "__main__":
    main()
