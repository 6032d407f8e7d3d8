"""How much faster an engine starts that finds what an earlier start left in its caches.

Run it where vLLM and `batchedllm_engine` are installed, such as in an engine image:

    python3 second_start.py [--starts 2] MODEL [flags of vllm serve]

It starts the engine several times, one after the other, on caches that are empty at first and lie where the operator's
pods have them: under one folder. It prints one line of JSON with the seconds of each phase of each start, as the engine
tells them in `batchedllm_engine:startup_seconds`, and how large the caches are.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PORT = 18766
LONGEST_START_SECONDS = 900.0
LONGEST_END_SECONDS = 60.0
CACHES = {
    "VLLM_CACHE_ROOT": "vllm",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "nv",
}
"""As the operator sets them (core/manifests/engine_container.py), below the folder of caches."""
_PHASE = re.compile(r'batchedllm_engine:startup_seconds\{phase="(\w+)"\} (\S+)')


def phases(arguments: list[str], caches: Path) -> dict[str, float]:
    """Start the engine, return the seconds of each phase once it answers, and end it."""
    own = {name: str(caches / folder) for name, folder in CACHES.items()}
    command = [sys.executable, "-m", "batchedllm_engine", "serve", *arguments, f"--port={PORT}"]
    began = time.monotonic()
    environment = {**os.environ, **own, "VLLM_ENABLE_STARTUP_PLAN": "1"}
    engine = subprocess.Popen(command, env=environment, stdout=sys.stderr)  # noqa: S603 - the user's own arguments
    try:
        while not _answers("/health"):
            if engine.poll() is not None or time.monotonic() - began > LONGEST_START_SECONDS:
                raise SystemExit(f"the engine does not start (exit code {engine.poll()}); its log says why")
            time.sleep(0.2)
        answered = time.monotonic() - began
        told = {phase: float(seconds) for phase, seconds in _PHASE.findall(_answers("/metrics"))}
    finally:
        engine.send_signal(signal.SIGTERM)
        try:
            engine.wait(LONGEST_END_SECONDS)
        except subprocess.TimeoutExpired:
            engine.kill()
    return {phase: round(seconds, 2) for phase, seconds in {**told, "until_healthy": answered}.items()}


def _answers(path: str) -> str:
    """Return what the engine answers; empty, or a blank for an empty answer, while it does not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=5) as answer:
            return answer.read().decode() or " "
    except (urllib.error.URLError, OSError):
        return ""


def main() -> int:
    """Start the engine as often as asked for and print what was seen."""
    parser = argparse.ArgumentParser(description="Start an engine several times on the same caches.")
    parser.add_argument("--starts", type=int, default=2, help="how often (2)")
    options, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        starts = [phases(arguments, Path(folder)) for _ in range(options.starts)]
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        sizes = {
            name: sum(file.stat().st_size for file in files if file.is_relative_to(Path(folder) / name))
            for name in CACHES.values()
        }
    print(json.dumps({"arguments": arguments, "cpus": os.cpu_count(), "starts": starts, "cacheBytes": sizes}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
