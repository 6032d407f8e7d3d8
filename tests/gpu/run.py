"""Running the cases on the stage, one after the other, each result written at once."""

import contextlib
import subprocess
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from gpu import host, pack, results, scene
from gpu.budget import Budget
from gpu.cases import CASES
from gpu.results import Result
from testbed.embedded import EmbeddedCluster
from testbed.paths import REPOSITORY

ENGINE = "vLLM 0.26.0"


def run(
    folder: Path,
    work: Path,
    out: Path,
    wanted: list[str],
    *,
    budget: Budget,
    shares: int,
    index: int,
    again: bool,
    keep: bool,
    rehearsal: Path | None,
) -> int:
    """Unpack, bring up, run the cases that are not done, take down; return how many did not show what they have to."""
    pack.unpack(folder, work, budget.bounded(60, "unpacking"))
    host.enter(work)
    out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    stage = scene.set_up(budget, work, out, shares=shares, index=index, rehearsal=rehearsal)
    print(f"gpu: the stage is set after {time.monotonic() - begin:.0f} s", flush=True)
    machine = host.described(_commit(), ENGINE if rehearsal is None else "simulated engine: a rehearsal")
    missed = 0
    stage.wanted = results.to_run(wanted, results.read(out), again=again)
    try:
        for name in stage.wanted:
            missed += _case(stage, name, machine)
    finally:
        if not keep:
            EmbeddedCluster(index).down()
            host.host_programs.remove_links(work / "cluster/host")
    return missed


def obstacle(case: ModuleType, left_seconds: float, gpus: int | None) -> str:
    """Return why a case is not begun, on a host with so many GPUs (None: a rehearsal); empty where it is."""
    needed = getattr(case, "LEAST_GPUS", 1)
    if left_seconds < case.LEAST_SECONDS:
        return f"{left_seconds:.0f} s are left, it needs {case.LEAST_SECONDS}"
    if gpus is not None and gpus < needed:
        return f"it needs {needed} GPUs, this host has {gpus}"
    return ""


def _case(stage: scene.Scene, name: str, machine: dict[str, object]) -> int:
    case = CASES[name]
    if cannot := obstacle(case, stage.budget.left_seconds, len(host.gpus()) if stage.gpu else None):
        print(f"gpu: {name} is left out: {cannot}", flush=True)
        return 1
    begin = time.monotonic()
    result = Result(name, datetime.now(UTC).isoformat(timespec="seconds"), 0.0, dict(machine))
    try:
        case.run(stage, result.measured)
        result.checks = case.judge(result.measured)
    except Exception as error:  # noqa: BLE001 - the next case may do better; this one is told of
        result.error = f"{type(error).__name__}: {error}"[:2000]
        (stage.out / f"{name}.traceback").write_text(traceback.format_exc())
        with contextlib.suppress(Exception):
            result.checks = case.judge(result.measured)
        with contextlib.suppress(Exception):
            stage.keep_logs(name)
    result.seconds = time.monotonic() - begin
    if not result.error and not result.passed:
        with contextlib.suppress(Exception):
            stage.keep_logs(name)
    results.write(stage.out, result)
    _tell(result)
    return 0 if result.passed else 1


def _tell(result: Result) -> None:
    word = "passed" if result.passed else "broke off" if result.error else "FAILED"
    print(f"gpu: {result.case} {word} after {result.seconds:.0f} s {result.error[:500]}", flush=True)
    for one in result.checks:
        print(f"gpu:   {'ok ' if one.holds else 'NOT'} {one.what}: {str(one.value)[:200]} ({one.bound})", flush=True)


def _commit() -> str:
    stated = REPOSITORY / "COMMIT"
    if stated.exists():
        return stated.read_text().strip()
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return told.stdout.strip()
