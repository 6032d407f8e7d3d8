"""The GPU exporter beside nvidia-smi, on a host with a GPU and PyTorch.

    PYTHONPATH=engine_image python engine_image/bench/gpu_exporter.py OUT.json

Both look at the GPU one after the other, idle and while it multiplies matrices. What moves (utilization, power, clock)
differs between two looks of nvidia-smi as well. Then ten looks in a row, the number with which what is slow comes
around, tell how much of the processor's time a look takes.
"""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

from prometheus_client import CollectorRegistry

from batchedllm_engine.gpu_exporter.exporter import INTERVAL_SECONDS, exporter
from batchedllm_engine.gpu_exporter.nvml import SLOW_EVERY_LOOKS

BUSY: Final = """
import torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
while True:
    for _ in range(50):
        a @ a
    torch.cuda.synchronize()
"""
SAMPLES: Final = 20
SETTLE_SECONDS: Final = 10.0
COMPARED: Final = {
    "DCGM_FI_DEV_GPU_UTIL": "utilization.gpu",
    "DCGM_FI_DEV_FB_USED": "memory.used",
    "DCGM_FI_DEV_POWER_USAGE": "power.draw.instant",
    "DCGM_FI_DEV_GPU_TEMP": "temperature.gpu",
    "DCGM_FI_DEV_SM_CLOCK": "clocks.sm",
}
"""Metrics of the exporter, and what nvidia-smi calls them."""


def told_by_nvidia_smi() -> dict[str, float]:
    """Return nvidia-smi's values of the first GPU."""
    fields = ",".join(COMPARED.values())
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", "--id=0"]
    line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]  # noqa: S603
    return {metric: float(value) for metric, value in zip(COMPARED, line.split(","), strict=True)}


def told_by_exporter() -> dict[str, float]:
    """Return the exporter's values of the first GPU."""
    registry = CollectorRegistry()
    exporter(registry, logging.getLogger("gpu")).look()
    found: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name in COMPARED and sample.name not in found:
                found[sample.name] = sample.value
    return found


def compared() -> dict[str, Any]:
    """Return each metric's median by both, and how far they are apart at most in one pair of looks."""
    pairs = []
    for _ in range(SAMPLES):
        pairs.append((told_by_exporter(), told_by_nvidia_smi()))
        time.sleep(0.5)
    return {
        metric: {
            "exporter": median(ours.get(metric, float("nan")) for ours, _ in pairs),
            "nvidiaSmi": median(theirs[metric] for _, theirs in pairs),
            "mostApart": max(abs(ours.get(metric, float("nan")) - theirs[metric]) for ours, theirs in pairs),
        }
        for metric in COMPARED
    }


def look_seconds() -> float:
    """Return the processor's time of one look, the mean of `SLOW_EVERY_LOOKS` a second apart, after one that opens."""
    made = exporter(CollectorRegistry(), logging.getLogger("gpu"))
    made.look()
    taken = []
    for _ in range(SLOW_EVERY_LOOKS):
        time.sleep(INTERVAL_SECONDS)
        begin = time.thread_time()
        made.look()
        taken.append(time.thread_time() - begin)
    return mean(taken)


def measured() -> dict[str, Any]:
    """Return the comparison, and what a look costs."""
    return compared() | {"lookSeconds": look_seconds()}


def main() -> None:
    """Compare on an idle GPU, then on a busy one."""
    name = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    result: dict[str, Any] = {"gpu": name, "samples": SAMPLES, "idle": measured()}
    with subprocess.Popen([sys.executable, "-c", BUSY]) as load:  # noqa: S603
        time.sleep(SETTLE_SECONDS)
        result["busy"] = measured()
        load.terminate()
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
