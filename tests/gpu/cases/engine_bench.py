"""The engine's own benchmark (`python -m batchedllm_engine bench`) on the host, without Kubernetes.

A curve over batch sizes and its knee, and the same requests answered batch after batch and continuously. The engine is
ours of `api_server`, which runs it while it is up.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from gpu import host, host_engine
from gpu.results import Check
from gpu.scene import Json, Scene, SceneError

LEAST_SECONDS = 5
_BUDGET_SECONDS = 90
_BATCHES = "1,2,4,8,16,32,64,128,256"


def run(scene: Scene, measured: Json) -> None:
    """Take what was measured beside `api_server`; else start an engine for it."""
    if not is_there(scene):
        raise SceneError("this pack's engine package has no benchmark (batchedllm_engine.bench)")
    if "engine-bench" not in scene.kept:
        with host_engine.pairs(scene, host_engine.SMALL_CACHE, 1) as [(_, ours)]:
            measure(scene, ours.address)
    measured |= scene.kept["engine-bench"]


def is_there(scene: Scene) -> bool:
    """Whether the engine's package that was packed has a benchmark."""
    return (scene.work / "engine/batchedllm_engine/bench").is_dir()


def measure(scene: Scene, address: str) -> None:
    """Measure an engine that runs, and keep its profile."""
    output = scene.out / "engine-bench-profile.json"
    batches = _BATCHES if scene.gpu else "1,4"
    budget = _BUDGET_SECONDS if scene.gpu else 15
    command = [
        "python3",
        "-m",
        "batchedllm_engine.bench",
        f"--base-url={address}",
        "--client=own",
        "--parts=curve,static",
        f"--batches={batches}",
        "--prompt-tokens=128",
        "--output-tokens=128",
        f"--budget-seconds={budget}",
        f"--output={output}",
    ]
    environment = {**os.environ, **host.engine_environment(str(scene.work / "engine"), str(scene.site))}
    with (scene.out / "engine-bench-words.log").open("wb") as words:
        done = subprocess.run(
            command,
            env=environment,
            stdout=words,
            stderr=words,
            check=False,
            timeout=scene.budget.bounded(budget + 60, "the benchmark"),
        )
    if done.returncode != 0:
        raise SceneError(f"the benchmark ended with {done.returncode}: {_tail(scene.out / 'engine-bench-words.log')}")
    scene.kept["engine-bench"] = json.loads(output.read_text())


def _tail(file: Path) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-12:])


def judge(measured: Json) -> list[Check]:
    """The curve rises, has a knee, and continuous batching beats batches by hand."""
    curve: Any = measured.get("curve") or []
    speeds = [one["outputTokensPerSecond"] for one in curve]
    ratio = (measured.get("static") or {}).get("ratio")
    knee = (measured.get("knee") or {}).get("batch")
    gain = max(speeds) / speeds[0] if speeds else None
    return [
        Check("batch sizes measured", len(curve), "at least 5", len(curve) >= 5),
        Check("tokens/s at the best batch over batch 1", gain, "more than 10", gain is not None and gain > 10),
        Check("knee", knee, "found", knee is not None),
        Check("continuous over static batching, tokens/s", ratio, "more than 1", ratio is not None and ratio > 1),
    ]
