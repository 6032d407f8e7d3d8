"""The cluster's root cgroup: where its processes and pods are, and therefore what `down` ends.

A process belongs to the cluster because the kernel says so, not because a file holds its number: a number
that was given to another program since is never signalled.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError

# The kubelet refuses a root cgroup that lacks one of those that the machine has; io is for the limits of pods.
_V2_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")
SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted cgroup hierarchy; `controllers` is empty for the unified one."""

    mount: Path
    controllers: frozenset[str]

    @property
    def unified(self) -> bool:
        """Whether this is a cgroup v2 hierarchy."""
        return not self.controllers


def hierarchies(mounts: str) -> list[Hierarchy]:
    """Read the hierarchies out of the text of /proc/mounts."""
    found: list[Hierarchy] = []
    for line in mounts.splitlines():
        _, mount, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            found.append(Hierarchy(Path(mount), frozenset()))
        elif kind == "cgroup":
            words = frozenset(options.split(",")) - {"rw", "relatime", "nosuid", "nodev", "noexec"}
            found.append(Hierarchy(Path(mount), words))
    return found


def belongs(process_groups: str, name: str) -> bool:
    """Tell from the text of /proc/PID/cgroup whether a process is in the root cgroup called `name`."""
    paths = [line.split(":", 2)[2] for line in process_groups.splitlines() if line.count(":") >= 2]
    return any(path == f"/{name}" or path.startswith(f"/{name}/") for path in paths)


def mounted() -> list[Hierarchy]:
    """Return this machine's hierarchies. Raises TestbedError where there are none."""
    found = hierarchies(Path("/proc/mounts").read_text())
    if not found:
        raise TestbedError("no cgroup file system is mounted: a kubelet cannot run here; mount /sys/fs/cgroup")
    return found


def create(name: str) -> None:
    """Make the root cgroup in every hierarchy, with every controller that the kubelet asks for."""
    for hierarchy in mounted():
        if hierarchy.unified:
            _delegate(hierarchy.mount)
        group = hierarchy.mount / name
        (group / SYSTEM).mkdir(parents=True, exist_ok=True)
        if hierarchy.unified:
            _delegate(group)
        if "cpuset" in hierarchy.controllers:
            # A v1 cpuset begins empty and takes no process until it is filled.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((hierarchy.mount / file).read_text())
                (group / SYSTEM / file).write_text((hierarchy.mount / file).read_text())


def _delegate(group: Path) -> None:
    available = (group / "cgroup.controllers").read_text().split()
    wanted = [f"+{controller}" for controller in _V2_CONTROLLERS if controller in available]
    try:
        (group / "cgroup.subtree_control").write_text(" ".join(wanted))
    except OSError as error:
        raise TestbedError(
            f"{group}/cgroup.subtree_control: {error.strerror}. The testbed needs the controllers of the root "
            "cgroup: run it on a host or in a virtual machine rather than in an unprivileged container"
        ) from error


def process_files(name: str) -> list[Path]:
    """Return the files into which a process of the node writes its number to join the cluster."""
    return [hierarchy.mount / name / SYSTEM / "cgroup.procs" for hierarchy in mounted()]


def groups(name: str) -> list[Path]:
    """Return every cgroup of the cluster, children before their parents."""
    found: list[Path] = []
    for hierarchy in hierarchies(Path("/proc/mounts").read_text()):
        for path, _, _ in os.walk(hierarchy.mount / name, topdown=False):
            found.append(Path(path))
    return found


def members(name: str) -> set[int]:
    """Return the numbers of all processes in the cluster: its own, container shims, and containers."""
    numbers: set[int] = set()
    for group in groups(name):
        try:
            numbers.update(int(line) for line in (group / "cgroup.procs").read_text().split())
        except OSError:
            continue  # the group went while we looked
    return numbers - {0}


def kill_members(name: str, timeout_seconds: float = 10) -> None:
    """End every process of the cluster, and those they start meanwhile. Raises TestbedError if some stay."""
    deadline = time.monotonic() + timeout_seconds
    while numbers := members(name):
        for number in numbers:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise TestbedError(f"processes {sorted(numbers)} of cgroup /{name} did not end on SIGKILL")
        time.sleep(0.02)


def remove(name: str, timeout_seconds: float = 5) -> None:
    """Remove the cluster's cgroups; an emptied group stays busy for a moment."""
    deadline = time.monotonic() + timeout_seconds
    while left := groups(name):
        for group in left:
            try:
                group.rmdir()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise TestbedError(f"cgroup {group} cannot be removed: {error.strerror}") from error
        time.sleep(0.02)
