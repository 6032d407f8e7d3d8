"""Engines that run on the host itself, without Kubernetes: where only the engine is measured."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import IO

from gpu import host
from gpu.scene import Scene, SceneError, fetched

_START_SECONDS = 260
_STOP_SECONDS = 20
_FIRST_PORT = 18101
MODEL = "llama-3.1-8b"
SMALL_CACHE = "9G"
"""256 x 256 tokens need 8.6 GB."""


def flags(cache: str) -> list[str]:
    """Return the flags of all engines. The cache is given, so that several can start at once on a GPU."""
    return [
        "--gpu-memory-utilization=0.2",
        f"--kv-cache-memory-bytes={cache}",
        "--max-model-len=8704",
        "--max-num-seqs=256",
        "--max-num-batched-tokens=8192",
    ]


MIDDLEWARE = "batchedllm_engine.middleware.AdmissionMiddleware"
ADMISSION = """\
classes:
  - {name: high, rank: -10}
  - {name: normal, rank: 0, default: true}
  - {name: low, rank: 10}
limits: {runningRequests: 320, queuedRequests: 1024}
drain: {seconds: 5, exitSeconds: 5}
"""


@dataclass(slots=True)
class HostEngine:
    """One engine's process."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    words: IO[bytes]

    @property
    def address(self) -> str:
        """The URL."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self, seconds: float) -> None:
        """Wait until it answers. Raises SceneError with its last words."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                fetched(f"{self.address}/health", timeout_seconds=2)
                return
            time.sleep(0.5)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])
        raise SceneError(f"the engine {self.name} does not answer (exit code {self.process.poll()}):\n{tail}")

    def frontend_seconds(self) -> tuple[float, float]:
        """Return the processor's time of its processes, but for those that drive the GPU, and of its event loop."""
        ticks = 0
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                session, taken = _ticks(folder)
                if session == self.process.pid and "EngineCore" not in (folder / "cmdline").read_text():
                    ticks += taken
        process = str(self.process.pid)
        _, of_loop = _ticks(Path("/proc") / process / "task" / process)
        per_second = os.sysconf("SC_CLK_TCK")
        return ticks / per_second, of_loop / per_second

    def stop(self) -> None:
        """End it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=_STOP_SECONDS)
        self.words.close()


def _ticks(folder: Path) -> tuple[int, int]:
    """Return the session of a process or thread of /proc, and the clock ticks that it has run."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return int(fields[3]), int(fields[11]) + int(fields[12])


def start(scene: Scene, name: str, model: str, given: list[str], port: int, *, ours: bool) -> HostEngine:
    """Begin to start `vllm serve`, bare or as our image does it: preflight, plugin, exporter and middleware."""
    package = str(scene.work / "engine") if ours else ""
    environment = {**os.environ, **host.engine_environment(package, str(scene.site))}
    cache = scene.work / "engine-cache"
    environment |= {
        "VLLM_CACHE_ROOT": str(cache / "vllm-host"),
        "TRITON_CACHE_DIR": str(cache / "triton-host"),
        "VLLM_NO_USAGE_STATS": "1",
    }
    arguments = [
        str(scene.work / "models" / model),
        f"--served-model-name={model}",
        "--load-format=dummy",
        "--host=127.0.0.1",
        f"--port={port}",
        *given,
    ]
    command = ["vllm", "serve", *arguments]
    if ours:
        admission = scene.work / "admission.yaml"
        admission.write_text(ADMISSION)
        environment |= {
            "BATCHEDLLM_ADMISSION_CONFIG": str(admission),
            "BATCHEDLLM_ENGINE_TERMINATION_LOG": str(scene.work / f"{name}.termination"),
        }
        command = [
            "python3",
            "-m",
            "batchedllm_engine",
            "serve",
            *arguments,
            "--scheduling-policy=priority",
            f"--middleware={MIDDLEWARE}",
        ]
    scene.out.mkdir(parents=True, exist_ok=True)
    log = scene.out / f"host-{name}.log"
    words = log.open("wb")
    process = subprocess.Popen(
        command, env=environment, stdout=words, stderr=words, stdin=subprocess.DEVNULL, start_new_session=True
    )
    return HostEngine(name, port, process, log, words)


@contextlib.contextmanager
def pairs(scene: Scene, cache: str, *intervals: int) -> Iterator[list[tuple[HostEngine, HostEngine]]]:
    """Run (bare, ours) on the same GPU while the block runs, once for each number of tokens in a piece of a stream."""
    engines: list[HostEngine] = []
    try:
        for number, (interval, ours) in enumerate(product(intervals, (False, True))):
            name = f"{'ours' if ours else 'bare'}-{interval}"
            given = [*flags(cache), *([f"--stream-interval={interval}"] if interval > 1 else [])]
            engines.append(start(scene, name, MODEL, given, _FIRST_PORT + number, ours=ours))
        for one in engines:
            one.wait(scene.budget.bounded(_START_SECONDS, "the engines' start"))
        yield list(zip(engines[::2], engines[1::2], strict=True))
    finally:
        for one in engines:
            one.stop()
