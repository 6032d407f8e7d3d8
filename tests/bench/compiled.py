"""The simulator as machine code, for the judge's thousands of runs: prints where it lies.

`PYTHONPATH=$(.venv/bin/python tests/bench/compiled.py) .venv/bin/python tests/bench/scaling_judge.py ...`

mypyc, which comes with mypy, compiles a copy of the very same sources (three times as fast, the same results); nothing
of it is part of the operator. The copy lies in the user's cache, one for each state of the sources. Needs a C compiler;
without one, the sources themselves are printed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "operator" / "batchedllm"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batchedllm" / "compiled"
FLAGS = ("--config-file=/dev/null", "--ignore-missing-imports", "--follow-imports=silent")

MODULES = (
    *("decode_batch", "engine", "engine_settings", "events", "gpu_meter", "histograms", "measurements", "randomness"),
    *("running_step", "scheduler", "sequences", "statistics", "step_times", "waiting_queue", "workload"),
    *("fleet/replicas", "fleet/score", "fleet/settings", "fleet/simulation", "fleet/slo"),
)
"""Where the time goes; policies are left as they are."""


def state_of_sources() -> str:
    """Return a name for the state of all sources, under this Python."""
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(SOURCES.rglob("*.py")):
        digest.update(str(file.relative_to(SOURCES)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def compiled() -> Path:
    """Return the folder to import `batchedllm` from, compiled if it is not yet."""
    place = CACHE / state_of_sources()
    if place.exists():
        return place
    if not shutil.which(os.environ.get("CC") or "cc"):
        print("no C compiler: the simulator runs as plain Python, three times slower", file=sys.stderr)
        return SOURCES.parent
    building = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.copytree(SOURCES, building / "batchedllm", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    files = [f"batchedllm/sim/{module}.py" for module in MODULES]
    command = [str(Path(sys.executable).with_name("mypyc")), *FLAGS, *files]
    environment = os.environ | {"MYPYC_OPT_LEVEL": "3", "MYPYC_DEBUG_LEVEL": "0"}
    built = subprocess.run(command, cwd=building, env=environment, capture_output=True, text=True, check=False)
    if built.returncode:
        shutil.rmtree(building)
        raise SystemExit(f"mypyc failed on a copy of {SOURCES}:\n{built.stdout[-2000:]}\n{built.stderr[-2000:]}")
    shutil.rmtree(building / "build")
    building.rename(place)
    return place


if __name__ == "__main__":
    print(compiled())
