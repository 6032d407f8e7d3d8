"""Python wheels for the host: fetched where there is a network, unpacked where there is none."""

import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LIST = Path(__file__).parent / "wheels.txt"
HOST_PYTHON = "3.12"
_PLATFORMS = ("2_39", "2_35", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17")
_FETCH_SECONDS = 900
_COMPILE_SECONDS = 300
_DATA = re.compile(r"^[^/]+\.data/(purelib|platlib)/")
"""Files that a wheel keeps apart and an installation puts beside the others (binary distribution format)."""
_SCRIPTS = re.compile(r"^[^/]+\.data/")


def fetch_command(pip: list[str], target: Path, requirements: Path = LIST) -> list[str]:
    """Return the command that downloads the list for the host's Python, whatever runs here."""
    platforms = [*(f"manylinux_{glibc}_x86_64" for glibc in _PLATFORMS), "manylinux2014_x86_64", "manylinux1_x86_64"]
    return [
        *pip,
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        f"--python-version={HOST_PYTHON}",
        "--implementation=cp",
        *(f"--platform={one}" for one in platforms),
        f"--dest={target}",
        f"--requirement={requirements}",
    ]


def fetch(target: Path) -> list[Path]:
    """Download what is missing of the list and return the wheels."""
    target.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode != 0:
        pip = ["python3", "-m", "pip"]
    subprocess.run(fetch_command(pip, target), check=True, timeout=_FETCH_SECONDS)
    return sorted(target.glob("*.whl"))


def placed(name: str) -> str | None:
    """Return where a file of a wheel belongs below the site folder; None: it is a script, which is not needed."""
    if _DATA.match(name):
        return _DATA.sub("", name)
    return None if _SCRIPTS.match(name) else name


def unpack(wheels: list[Path], site: Path) -> None:
    """Unpack wheels side by side into a folder for the Python path, and add the one program that is called by name."""
    site.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: _unpack(one, site), wheels))
    programs = site / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "vllm"
    program.write_text(
        "#!/usr/bin/env python3\nimport sys\n\nfrom vllm.entrypoints.cli.main import main\n\n"
        "# Each process that the engine starts imports this file again.\n"
        'if __name__ == "__main__":\n    sys.exit(main())\n'
    )
    program.chmod(0o755)


def _unpack(wheel: Path, site: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            target = placed(entry.filename)
            if target is None or entry.is_dir():
                continue
            path = site / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, path.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            if entry.external_attr >> 16 & 0o111:
                path.chmod(0o755)


def compile_all(site: Path) -> None:
    """Write the bytecode, so that not every start of an engine compiles every module; errors are no matter."""
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", str(site)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=_COMPILE_SECONDS)
