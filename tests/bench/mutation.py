"""Mutation score of `core/scaling`: are its tests good enough to notice that its code was changed?

`make mutation` changes one module after the other, MODULES="capacity limits" only these, and tries each change against
the tests of the module's own name (or those of the chain): stricter than against all, and quicker. The
tests of hypothesis are left out, since they take longest by far. What was found is in build/mutation until the next run
of the module: in its folder there `mutmut show NAME` shows a mutant.
"""

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build/mutation"
SOURCES = Path("batchedllm/core/scaling")
TESTS = Path("tests/unit/core/scaling")

# mutmut wants the package in a folder `src`, and multiplies the constant by 15: half a minute for an endless loop.
SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/{source}"]
pytest_add_cli_args_test_selection = ["{tests}"]
pytest_add_cli_args = ["-m", "not hypothesis", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "no:asyncio"]
timeout_constant = 2.0
use_git_change_detection = false
track_dependencies = false

[tool.pytest.ini_options]
addopts = "--import-mode=importlib"
pythonpath = ["tests"]
markers = ["hypothesis"]
"""

FORGET_WHAT_IS_CACHED = """
import sys

def pytest_sessionstart():
    for name, module in list(sys.modules.items()):
        if name.startswith("batchedllm."):
            for value in vars(module).values():
                getattr(value, "cache_clear", lambda: None)()
"""
"""Changes are tried in forks of a process that has run the tests already: answers of unchanged code would hide them."""

TESTED_WITH = {"signs": "recommendations"}
"""Modules that are tested with another one."""

KILLED = frozenset({"killed", "timeout", "segfault", "suspicious"})


def modules() -> list[str]:
    """Return all that have something to change, such as capacity or signals.latency."""
    files = sorted((ROOT / "operator" / SOURCES).rglob("*.py"))
    names = [".".join(file.relative_to(ROOT / "operator" / SOURCES).with_suffix("").parts) for file in files]
    return [name for name in names if not name.endswith("__init__")]


def tests_of(module: str) -> Path:
    own = TESTS / f"test_{TESTED_WITH.get(module, module.partition('.')[0])}.py"
    return own if (ROOT / own).exists() else TESTS / "test_decide.py"


def prepare(module: str) -> Path:
    """Lay out sources and tests as mutmut wants them, and return where. Old results would not be tried on new tests."""
    folder = FOLDER / module
    shutil.rmtree(folder, ignore_errors=True)
    for source, target in (("operator/batchedllm", "src/batchedllm"), (TESTS, TESTS)):
        shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
    for helper in (ROOT / "tests").glob("*.py"):
        if helper.name != "conftest.py":
            shutil.copy2(helper, folder / "tests" / helper.name)
    (folder / "tests/conftest.py").write_text(FORGET_WHAT_IS_CACHED)
    source = SOURCES / f"{module.replace('.', '/')}.py"
    (folder / "pyproject.toml").write_text(SETTINGS.format(source=source, tests=tests_of(module)))
    return folder


def mutmut(folder: Path, *arguments: str) -> str:
    """Run it there; it fails where a mutant survives. Returns what it printed."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False).stdout


def results(folder: Path) -> dict[str, str]:
    """Return what became of each mutant that was tried, by name."""
    lines = (line.strip().rsplit(": ", 1) for line in mutmut(folder, "results", "--all", "true").splitlines())
    fates = {line[0]: line[1] for line in lines if len(line) > 1}
    return {name: fate for name, fate in fates.items() if fate != "not checked"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="those of core/scaling to change; all if none is named")
    options = parser.parse_args()
    tried, killed = Counter[str](), Counter[str]()
    for module in options.modules or modules():
        folder = prepare(module)
        mutmut(folder, "run", "--max-children", "1")
        fates = results(folder)
        tried[module], killed[module] = len(fates), sum(fate in KILLED for fate in fates.values())
        for name, fate in sorted(fates.items()):
            if fate not in KILLED:
                print(f"  {fate}: {name}")
        print(f"{module:24} {killed[module]:4} of {tried[module]:4}", flush=True)
    print(f"{'all':24} {killed.total():4} of {tried.total():4} {killed.total() / max(1, tried.total()):7.1%}")


if __name__ == "__main__":
    main()
