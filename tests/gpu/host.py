"""The machine that the cases run on: its GPU, its Python, and the environment in which the harness runs."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from gpu import host_programs
from gpu.in_pod import sitecustomize
from gpu.overlay import Overlay, existing

_INSIDE = "GPU_HARNESS_WORK"
_KEPT_PREFIXES = ("CUDA", "NVIDIA", "NCCL_", "NVSHMEM_", "TORCH_", "TRITON_", "LD_LIBRARY_PATH")
"""Of the host's variables those that its PyTorch and its driver go by; a pod sees none of them by itself."""
_ENGINE = {
    "VLLM_USE_FLASHINFER_SAMPLER": "0",  # its kernels would be fetched and compiled
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_MOUNTS = ("/usr", "/opt", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf.d")
_DRIVER = "/usr/local/nvidia/lib64"
_SHARES, _IN_POD = "/batchedllm/shares", "/batchedllm/in-pod"


@dataclass(frozen=True, slots=True)
class Gpu:
    """What nvidia-smi says of a GPU."""

    name: str
    memory_mebibytes: int
    driver: str

    @property
    def product(self) -> str:
        """The label that GPU feature discovery would give the node."""
        return self.name.replace(" ", "-")


def gpu_of(line: str) -> Gpu:
    """Read a line of `nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits`."""
    name, memory, driver = (part.strip() for part in line.split(","))
    return Gpu(name, int(memory), driver)


def gpus() -> list[Gpu]:
    """Return the GPUs."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    told = subprocess.run(query, capture_output=True, text=True, check=False, timeout=60)
    return [gpu_of(line) for line in told.stdout.strip().splitlines()] if told.returncode == 0 else []


def enter(work: Path) -> None:
    """Run this very command again with the harness's programs, cache and state; return where that was done already."""
    if os.environ.get(_INSIDE) == str(work):
        return
    lacking = host_programs.place(work / "cluster/host", work / "bin")
    print(f"gpu: from the pack: {', '.join(lacking) or 'no program'}", flush=True)
    home = work / "xdg/batchedllm"
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "testbed").exists():
        (home / "testbed").symlink_to(work / "cluster/cache")
    _again(
        {
            _INSIDE: str(work),
            "PATH": f"{work}/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            "XDG_CACHE_HOME": str(work / "xdg"),
            "XDG_STATE_HOME": str(work / "state"),
        }
    )


def _again(environment: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "gpu", *sys.argv[1:]], {**os.environ, **environment})


def _program_path(site: str) -> str:
    return ":".join(
        [
            str(Path(sys.executable).parent),
            f"{site}/bin",
            "/usr/local/cuda/bin",
            "/usr/local/nvidia/bin",
            "/usr/local/bin",
            "/usr/bin",
            "/bin",
        ]
    )


def engine_environment(engine: str, site: str) -> dict[str, str]:
    """Return the variables with which the host's Python finds vLLM, our package (if any) and the GPU's driver."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT_PREFIXES)}
    path = ":".join(one for one in (kept.get("LD_LIBRARY_PATH", ""), _DRIVER) if one)
    return {
        **kept,
        **_ENGINE,
        "LD_LIBRARY_PATH": path,
        "PATH": _program_path(site),
        "PYTHONPATH": ":".join(one for one in (engine, site) if one),
    }


def overlay(work: Path, site: Path, repository: Path, *, several: bool) -> Overlay:
    """Return what engine pods get of this host: its system, the Python that runs this, and what was unpacked.

    Where it has several GPUs, Python looks for a free share of one as it starts: see `in_pod/sitecustomize.py`.
    """
    own = (sys.prefix, sys.base_prefix)
    folders = {"/batchedllm/engine": str(work / "engine"), "/batchedllm/site": str(site)}
    environment = engine_environment("/batchedllm/engine", "/batchedllm/site")
    if several:
        folders |= {_SHARES: str(work / "shares"), _IN_POD: str(repository / "tests/gpu/in_pod")}
        environment |= {
            sitecustomize.SHARES: _SHARES,
            "PYTHONPATH": f"{_IN_POD}:{environment['PYTHONPATH']}",
        }
    return Overlay(existing((*_MOUNTS, *own, str(repository))), folders, environment)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def described(commit: str, engine: str) -> dict[str, object]:
    """Return the machine for the results: GPU, driver, versions, commit."""
    found = gpus()
    return {
        "gpu": asdict(found[0]) if found else None,
        "gpus": len(found),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "transformers": _version("transformers"),
        "engine": engine,
        "commit": commit,
    }
