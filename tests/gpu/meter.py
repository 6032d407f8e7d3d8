"""GPU utilization over time from two sides: nvidia-smi, and what the engines' own /metrics say at the same moments."""

import contextlib
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Self

from gpu.scene import fetched, sample

_QUERY = ["nvidia-smi", "--query-gpu=utilization.gpu,power.draw", "--format=csv,noheader,nounits"]
_METRIC = "DCGM_FI_DEV_GPU_UTIL"


@dataclass(frozen=True, slots=True)
class Seen:
    """One look."""

    at_seconds: float
    smi_percent: float | None
    watts: float | None
    scraped_percent: float | None


@dataclass(slots=True)
class Meter:
    """Looks once a second while it is entered; `address` is a pod's URL, if a pod is to be asked as well."""

    address: str | None = None
    seen: list[Seen] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=15)

    def _look(self) -> None:
        begin = time.monotonic()
        while not self._stop.wait(1.0):
            percent, watts = smi()
            self.seen.append(Seen(time.monotonic() - begin, percent, watts, self._scraped()))

    def _scraped(self) -> float | None:
        if self.address is None:
            return None
        with contextlib.suppress(OSError):
            return sample(fetched(f"{self.address}/metrics", timeout_seconds=3), _METRIC)
        return None


def smi() -> tuple[float | None, float | None]:
    """Return utilization in percent and power in watts of the first GPU, if there is one."""
    if shutil.which("nvidia-smi") is None:
        return None, None
    told = subprocess.run(_QUERY, capture_output=True, text=True, check=False, timeout=20).stdout.strip().splitlines()
    if not told:
        return None, None
    percent, watts = told[0].split(",")
    return float(percent), float(watts)


def means(seen: list[Seen]) -> dict[str, float | int | None]:
    """Return the mean of both sides over the looks that have both, and how many those were."""
    both = [
        (one.smi_percent, one.scraped_percent) for one in seen if None not in (one.smi_percent, one.scraped_percent)
    ]
    if not both:
        return {"smiPercent": None, "scrapedPercent": None, "looks": 0}
    left, right = (sum(float(one[side] or 0) for one in both) / len(both) for side in (0, 1))
    return {"smiPercent": left, "scrapedPercent": right, "looks": len(both)}
