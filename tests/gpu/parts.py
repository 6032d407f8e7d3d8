"""One stream cut into parts that a narrow way takes, and joined again while they still arrive."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_NAME = re.compile(r"part-(\d+)-of-(\d+)")
_CHUNK = 1 << 20
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


class PartsError(Exception):
    """Parts that are missing, or no parts at all; the message names what was expected."""


def size_of(text: str) -> int:
    """Return the bytes that a size such as `55M` means (powers of 1000). Raises PartsError."""
    found = re.fullmatch(r"(\d+)([KMG]?)", text)
    if found is None or int(found[1]) == 0:
        raise PartsError(f"--part-size is {text!r}, expected a number with K, M or G behind it, such as 55M")
    return int(found[1]) * _UNITS[found[2]]


def split(source: BinaryIO, folder: Path, part_bytes: int) -> list[Path]:
    """Write the source into parts of at most that size; each name tells its place and how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("part-*"):
        old.unlink()
    written: list[Path] = []
    while True:
        file = folder / f"part-{len(written) + 1:02d}"
        if _fill(source, file, part_bytes) == 0:
            file.unlink()
            break
        written.append(file)
    return [one.rename(one.with_name(f"{one.name}-of-{len(written):02d}")) for one in written]


def _fill(source: BinaryIO, file: Path, part_bytes: int) -> int:
    left = part_bytes
    with file.open("wb") as part:
        while left > 0 and (data := source.read(min(_CHUNK, left))):
            part.write(data)
            left -= len(data)
    return part_bytes - left


def expected(folder: Path) -> list[Path] | None:
    """Return all parts that belong into a folder, by the name of one that is there; None while none is."""
    for one in sorted(folder.glob("part-*-of-*")):
        found = _NAME.fullmatch(one.name)
        if found:
            count = int(found[2])
            return [folder / f"part-{index:02d}-of-{count:02d}" for index in range(1, count + 1)]
    return None


class Joined(io.RawIOBase):
    """The parts of a folder as one stream. A part that is not there yet is waited for, so long but no longer."""

    def __init__(
        self,
        folder: Path,
        wait_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder, self._wait_seconds, self._clock, self._sleep = folder, wait_seconds, clock, sleep
        self._index = 0
        self._open: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def,override] # any writable buffer
        while True:
            if self._open is None:
                path = self._next()
                if path is None:
                    return 0
                self._open = path.open("rb")
            count = self._open.readinto(buffer)  # type: ignore[attr-defined]
            if count:
                return int(count)
            self._open.close()
            self._open = None
            self._index += 1

    def _next(self) -> Path | None:
        deadline = self._clock() + self._wait_seconds
        while True:
            parts = expected(self._folder)
            if parts is not None and self._index >= len(parts):
                return None
            if parts is not None and parts[self._index].exists():
                return parts[self._index]
            if self._clock() > deadline:
                wanted = parts[self._index].name if parts else "part-01-of-NN"
                raise PartsError(
                    f"{self._folder}/{wanted} is not there after {self._wait_seconds:.0f} s: copy all parts"
                )
            self._sleep(0.2)
