"""Check that a start can succeed, then become `vllm serve`: see the package's description."""

import os
import shutil
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from batchedllm_engine.inspect.redaction import redacted, secrets_of
from batchedllm_engine.start.account import PREFLIGHT_SECONDS, process_begin_seconds
from batchedllm_engine.start.checks import first_failure
from batchedllm_engine.start.failures import PreflightError
from batchedllm_engine.start.machine import Machine, look
from batchedllm_engine.start.model import model_failure
from batchedllm_engine.start.request import parse

PLUGIN: Final = "batchedllm"
"""Name of this package's entry points, by which VLLM_PLUGINS allows them."""
SWITCH: Final = "BATCHEDLLM_ENGINE_PREFLIGHT"
"""Environment variable: `off` leaves the checks out."""
TERMINATION_LOG: Final = "BATCHEDLLM_ENGINE_TERMINATION_LOG"
"""Environment variable: where the last words go, if the pod has them elsewhere than at /dev/termination-log."""


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Become `vllm serve`; return an exit code only where that is sure to fail."""
    failure = None if environment.get(SWITCH, "").lower() == "off" else attempted_preflight(arguments, environment)
    if failure is not None:
        return refuse(failure, environment)
    if PLUGIN not in environment.get("VLLM_PLUGINS", PLUGIN).split(","):
        _say(f"VLLM_PLUGINS leaves out {PLUGIN}: there will be no batchedllm_engine metrics", "WARNING")
    return become_vllm(arguments)


def attempted_preflight(arguments: list[str], environment: Mapping[str, str]) -> PreflightError | None:
    """Return the same; where the checks themselves fail, say so and let vLLM find out by itself."""
    try:
        return preflight(arguments, environment)
    except Exception:  # noqa: BLE001 - an error of ours must not keep a good engine from starting
        _say(redacted(f"preflight failed, so nothing was checked:\n{traceback.format_exc()}", secrets_of(environment)))
        return None


def preflight(arguments: list[str], environment: Mapping[str, str]) -> PreflightError | None:
    """Return what is sure to make the start fail. Command lines that vLLM refuses are left to it."""
    request = parse(arguments)
    if request is None:
        return None
    machine = look(environment)
    _say(_described(machine))
    return first_failure(request, machine) or model_failure(request, environment)


def refuse(failure: PreflightError, environment: Mapping[str, str]) -> int:
    """Say why in the log and in the termination message; return the exit code."""
    line = redacted(failure.line, secrets_of(environment))
    _say(line, "ERROR")
    target = Path(environment.get(TERMINATION_LOG, "/dev/termination-log"))
    try:
        target.write_text(line, encoding="utf-8")
    except OSError as error:
        _say(f"the termination message cannot be written to {target} ({error})", "WARNING")
    return failure.exit_code


def become_vllm(arguments: list[str]) -> NoReturn:
    """Run `vllm serve` with these arguments in this very process, so that it gets the kubelet's signals."""
    os.environ[PREFLIGHT_SECONDS] = f"{time.clock_gettime(time.CLOCK_BOOTTIME) - process_begin_seconds():.3f}"
    program = shutil.which("vllm")
    if program is None:
        _say("there is no program `vllm` here: this command belongs into an image with vLLM", "ERROR")
        raise SystemExit(1)
    sys.stderr.flush()
    os.execv(program, [program, "serve", *arguments])  # noqa: S606 - the arguments are the user's, and no shell reads them


def _described(machine: Machine) -> str:
    free = machine.shared_memory_free_bytes
    shared = "" if free is None else f", {free >> 20} MiB free at /dev/shm"
    if machine.built_for_cuda is None:
        return f"preflight: a vLLM without CUDA{shared}"
    gpus = ", ".join(f"{gpu.index}: {gpu.product}, {gpu.free_bytes >> 20} MiB free" for gpu in machine.gpus)
    return f"preflight: driver {machine.driver or 'unknown'}, GPUs {gpus or 'none'}{shared}"


def _say(text: str, level: str = "INFO") -> None:
    sys.stderr.write(f"{level} {time.strftime('%m-%d %H:%M:%S')} {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
