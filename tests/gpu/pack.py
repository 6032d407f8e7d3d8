"""What a bare GPU host lacks, as one stream: wheels first, since they take longest to unpack, then the rest."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from gpu import host_programs, image, parts, wheels
from testbed import builds, images, tools
from testbed.paths import REPOSITORY, cache_directory

_COMPRESS_SECONDS = 900
_SMALL_BYTES = 1 << 20


def pack(output: Path, part_bytes: int, work: Path) -> list[Path]:
    """Gather everything, and write it as parts into `output`. What is fetched or built stays in `work`."""
    members = _members(work)
    reading, writing = os.pipe()
    failure: list[BaseException] = []

    def write() -> None:
        try:
            with os.fdopen(writing, "wb") as sink, tarfile.open(fileobj=sink, mode="w|") as stream:
                for file in members:
                    stream.add(file, arcname=str(file.relative_to(work)))
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            failure.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb") as source:
        written = parts.split(source, output, part_bytes)
    thread.join()
    if failure:
        raise failure[0]
    return written


def _members(work: Path) -> list[Path]:
    fetched = wheels.fetch(work / "wheels")
    _cluster(work / "cluster")
    _engine_package(work / "engine")
    (work / "images").mkdir(exist_ok=True)
    built = images.ensure_image("operator")
    shutil.copy(built.archive, work / "images/operator.tar")
    (work / "images/operator.reference").write_text(built.reference)
    (work / "images/engine.tar").write_bytes(image.archive())
    (work / "images/engine.reference").write_text(image.REFERENCE)
    compressed = [_compressed(work, name) for name in ("engine", "cluster", "images")]
    return [*fetched, *compressed]


def _cluster(target: Path) -> None:
    """Lay out the testbed's cache as the host is to have it, and the programs of this system beside it."""
    for module in (builds.KUBERNETES, builds.CONTAINERD, builds.PAUSE):
        built = builds.build(module)
        shutil.copytree(built, target / "cache" / built.relative_to(cache_directory()), dirs_exist_ok=True)
    clients = tools.kubectl().parent
    shutil.copytree(clients, target / "cache" / clients.relative_to(cache_directory()), dirs_exist_ok=True)
    host_programs.collect(target / "host")


def _engine_package(target: Path) -> None:
    """Install what our engine images add to vLLM into a folder for the Python path, as their Dockerfile does."""
    shutil.rmtree(target, ignore_errors=True)
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps", f"--target={target}"]
    subprocess.run([*uv, "--no-build-isolation", str(REPOSITORY / "engine_image")], check=True, timeout=120)
    added = str(REPOSITORY / "engine_image/requirements-added.txt")
    subprocess.run([*uv, "--require-hashes", "--requirement", added], check=True, timeout=120)


def _compressed(work: Path, name: str) -> Path:
    """Return an xz archive of a folder, as an earlier pack left it if nothing has changed since.

    Python unpacks xz everywhere; higher levels than the lowest save a tenth and take four times as long.
    """
    target = work / f"{name}-{digest(work / name)}.tar.xz"
    if target.exists():
        return target
    for old in work.glob(f"{name}-*.tar.xz*"):
        old.unlink()
    unfinished = target.with_suffix(".unfinished")
    with (
        unfinished.open("wb") as file,
        subprocess.Popen(["xz", "-1", "--threads=0", "--stdout"], stdin=subprocess.PIPE, stdout=file) as process,
    ):
        sink = process.stdin
        if sink is None:
            raise RuntimeError("xz takes no input")
        with tarfile.open(fileobj=sink, mode="w|") as archive:
            archive.add(work / name, arcname=name)
        sink.close()
        if process.wait(timeout=_COMPRESS_SECONDS) != 0:
            raise RuntimeError(f"xz failed on {name}")
    return unfinished.rename(target)


def digest(folder: Path) -> str:
    """Return what tells a folder's content from another's: names, modes and sizes, and of small files the content."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            size = path.stat().st_size
            found.update(f"{path.relative_to(folder)} {path.stat().st_mode:o} {size}\n".encode())
            found.update(path.read_bytes() if size < _SMALL_BYTES else b"")
    return found.hexdigest()[:12]


def unpack(folder: Path, work: Path, wait_seconds: float) -> None:
    """Unpack the parts of a folder into `work` as they arrive, wheels and archives at once, unless it was done."""
    if ready(work):
        return
    work.mkdir(parents=True, exist_ok=True)
    source: BinaryIO = io.BufferedReader(parts.Joined(folder, wait_seconds), 1 << 20)  # type: ignore[assignment]
    fetched: list[Path] = []
    tasks: list[Future[None]] = []
    with ThreadPoolExecutor(8) as pool, tarfile.open(fileobj=source, mode="r|") as stream:
        for entry in stream:
            stream.extract(entry, work, filter="data")
            file = work / entry.name
            if file.suffix == ".whl":
                fetched.append(file)
                continue
            if not tasks:
                tasks.append(pool.submit(_site, list(fetched), work / "site"))
            tasks.append(pool.submit(_expand, file, work))
        for task in tasks:
            task.result()
    (work / "unpacked").touch()


def _site(fetched: list[Path], site: Path) -> None:
    wheels.unpack(fetched, site)
    wheels.compile_all(site)
    for one in fetched:
        one.unlink()


def _expand(file: Path, work: Path) -> None:
    with tarfile.open(file, mode="r:xz") as archive:
        archive.extractall(work, filter="tar")
    file.unlink()


def ready(work: Path) -> bool:
    """Tell whether everything was unpacked."""
    return (work / "unpacked").exists()
