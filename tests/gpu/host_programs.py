"""Programs of the packer's system that a bare host may lack, each with its libraries, beside the host's own.

They keep to themselves: a wrapper gives each its libraries and nothing else sees them. The C library is the host's.
"""

import re
import shutil
import subprocess
from pathlib import Path

PROGRAMS = ("runc", "ip", "nft", "nsenter", "sysctl", "openssl")
NETWORK_PLUGINS = ("bridge", "host-local", "loopback")
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIBRARY = re.compile(r"^\s*(\S+) => (/\S+)", re.MULTILINE)
_OF_THE_C_LIBRARY = re.compile(r"^(ld-linux|lib(c|m|dl|rt|pthread|resolv|util)\.so)")
_PLUGIN_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))


def libraries(ldd: str) -> dict[str, str]:
    """Return the libraries that `ldd` printed, name to file, without those that belong to the C library."""
    return {name: file for name, file in _LIBRARY.findall(ldd) if not _OF_THE_C_LIBRARY.match(name)}


def wrapper(name: str) -> str:
    """Return the script that calls the program with its own libraries. It is found beside them, wherever that is."""
    return (
        '#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")/..\n'
        f'LD_LIBRARY_PATH=$here/lib exec "$here/programs/{name}" "$@"\n'
    )


def collect(target: Path) -> None:
    """Copy the programs, their libraries and the network plugins; write the wrappers. All have to be installed here."""
    for folder in ("bin", "programs", "lib", "cni"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        found = shutil.which(name, path=_SEARCH_PATH)
        if found is None:
            raise FileNotFoundError(
                f"{name} is not installed here: `python -m testbed up` brings what the testbed needs"
            )
        shutil.copy(Path(found).resolve(), target / "programs" / name)
        told = subprocess.run(["ldd", found], capture_output=True, text=True, check=False).stdout
        for library, file in libraries(told).items():
            shutil.copy(Path(file).resolve(), target / "lib" / library)
        script = target / "bin" / name
        script.write_text(wrapper(name))
        script.chmod(0o755)
    plugins = next(folder for folder in _PLUGIN_FOLDERS if (folder / "bridge").exists())
    for name in NETWORK_PLUGINS:
        shutil.copy(plugins / name, target / "cni" / name)


def missing(available: dict[str, bool]) -> list[str]:
    """Return the programs that have to be taken from the pack: the host's own come first."""
    return [name for name in PROGRAMS if not available.get(name, False)]


def place(source: Path, target: Path) -> list[str]:
    """Link the wrappers of what the host lacks into `target`, and the network plugins where none are; tell which."""
    target.mkdir(parents=True, exist_ok=True)
    lacking = missing({name: shutil.which(name, path=_SEARCH_PATH) is not None for name in PROGRAMS})
    for name in lacking:
        link = target / name
        if not link.exists():
            link.symlink_to(source / "bin" / name)
    if not any((folder / "bridge").exists() for folder in _PLUGIN_FOLDERS):
        _PLUGIN_FOLDERS[1].parent.mkdir(parents=True, exist_ok=True)
        _PLUGIN_FOLDERS[1].symlink_to(source / "cni")
    return lacking


def remove_links(source: Path) -> None:
    """Take back the link that lies outside the harness's own folder."""
    link = _PLUGIN_FOLDERS[1]
    if link.is_symlink() and link.readlink() == source / "cni":
        link.unlink()
