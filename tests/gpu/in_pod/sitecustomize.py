"""Which GPUs an engine takes on a host that has several: Python runs this when it starts in an engine's pod.

The engine's container sees every GPU of the host, as the harness has no device plugin. So each share of a GPU is a
file, and an engine locks one share of as many GPUs as it needs before anything asks CUDA what there is. The lock is the
process's own and its children's: however they end, it is gone with them, and the next engine finds the share free.
"""

import fcntl
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SHARES = "GPU_HARNESS_SHARES"
"""Environment variable: the folder of the files."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
WAIT_SECONDS = 60.0
"""An engine whose share was given away may still be ending."""
_PARALLEL = re.compile(r"--(?:tensor|pipeline)-parallel-size=(\d+)")


def make(folder: Path, gpus: int, shares: int) -> None:
    """Make the files, which anybody may lock, and take away those of an earlier number of shares."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {f"{gpu}-{share}" for gpu in range(gpus) for share in range(shares)}
    for name in names:
        (folder / name).touch(mode=0o644)
    for file in folder.iterdir():
        if file.name not in names:
            file.unlink()


def gpus_needed(arguments: Sequence[str]) -> int:
    """Return how many GPUs a command line asks for: 0 where it starts no engine."""
    if "serve" not in arguments or not any("vllm" in one or "batchedllm_engine" in one for one in arguments[:4]):
        return 0
    needed = 1
    for one in arguments:
        if found := _PARALLEL.fullmatch(one):
            needed *= int(found[1])
    return needed


def take(folder: Path, count: int) -> list[int]:
    """Lock a share of so many different GPUs and return these; none where there are not so many."""
    held: dict[int, int] = {}
    for file in sorted(folder.iterdir(), key=lambda one: tuple(int(part) for part in one.name.split("-"))):
        gpu = int(file.name.partition("-")[0])
        if gpu in held or len(held) == count:
            continue
        descriptor = os.open(file, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
        else:
            held[gpu] = descriptor
    if len(held) < count:
        for descriptor in held.values():
            os.close(descriptor)
        return []
    for descriptor in held.values():  # for as long as the process lives, whatever program it becomes
        os.set_inheritable(descriptor, True)
    return sorted(held)


def choose(environment: Mapping[str, str], arguments: Sequence[str]) -> str:
    """Return what the engine may see of the GPUs; nothing where it is none or was told before. May take a minute."""
    needed = 0 if VISIBLE in environment or SHARES not in environment else gpus_needed(arguments)
    end = time.monotonic() + WAIT_SECONDS
    while needed:
        if found := take(Path(environment[SHARES]), needed):
            return ",".join(str(gpu) for gpu in found)
        if time.monotonic() > end:
            raise SystemExit(f"no share of {needed} GPUs became free within {WAIT_SECONDS:.0f} s")
        time.sleep(0.5)
    return ""


if __name__ == "sitecustomize" and (chosen := choose(os.environ, sys.orig_argv)):
    os.environ[VISIBLE] = chosen
