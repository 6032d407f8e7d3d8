"""Whether the disk has room: without it builds fail, and the kubelet evicts pods, which looks like anything else."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from testbed.configuration import KEPT_FREE_PERCENT

FIRST_BYTES: Final = 27e9
"""What binaries, Go's caches, base images, archives and the node's store take until all tests have run."""
LATER_BYTES: Final = 5e9
"""What pods, their logs and images that are built anew take while these are there."""


class Usage(Protocol):
    """What `shutil.disk_usage` returns."""

    @property
    def total(self) -> int:
        """Bytes of the disk."""

    @property
    def free(self) -> int:
        """Bytes that this user may write."""


def shortage(free_bytes: float, total_bytes: float, *, is_first: bool) -> str:
    """Return what is wrong, in words; "" where there is room."""
    needed = (FIRST_BYTES if is_first else LATER_BYTES) + total_bytes * KEPT_FREE_PERCENT / 100
    if free_bytes >= needed:
        return ""
    when = " the first time" if is_first else ""
    return (
        f"{free_bytes / 1e9:.0f} GB are free, {needed / 1e9:.0f} GB are needed{when}: builds may fail, pods be evicted"
    )


def shortage_for(image_store: Path, usage: Callable[[Path], Usage] = shutil.disk_usage) -> str:
    """Return what is wrong with the disk of a node's images, if anything."""
    place = next(path for path in (image_store, *image_store.parents) if path.exists())
    disk = usage(place)
    words = shortage(disk.free, disk.total, is_first=place != image_store)
    return words and f"on the disk of {place} {words}"
