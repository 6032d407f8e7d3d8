"""Which cluster it is: the first of KUBECONFIG, kind and the embedded one that applies."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from testbed.cluster import Cluster
from testbed.commands import succeeds
from testbed.definition import Gpus
from testbed.embedded import EmbeddedCluster
from testbed.foreign import ForeignCluster
from testbed.kind import KindCluster
from testbed.paths import state_directory


class Provider(Protocol):
    """What each kind of cluster can do."""

    kind: str
    cluster: Cluster

    def up(self, gpus: Gpus) -> Cluster:
        """Bring the cluster up, or repair it, and return it."""

    def down(self, *, images: bool = False) -> None:
        """Remove the cluster and all that it left; `images`: the cached images of its node too."""

    def status(self) -> dict[str, object]:
        """Return what runs."""

    def load_archive(self, archive: Path, reference: str) -> None:
        """Bring an image archive to the nodes."""


def kind_is_usable() -> bool:
    """Tell whether a Docker engine answers (the command alone is not enough) and kind is installed."""
    return shutil.which("kind") is not None and shutil.which("docker") is not None and succeeds(["docker", "info"])


def choose(index: int, environment: Mapping[str, str]) -> Provider:
    """Return the provider that applies. A KUBECONFIG of the embedded cluster itself is not a foreign one."""
    given = environment.get("KUBECONFIG", "")
    own = state_directory(index) / "admin.kubeconfig"
    if given and Path(given) != own:
        return ForeignCluster(Path(given))
    if kind_is_usable():
        return KindCluster(index)
    return EmbeddedCluster(index)


def given_index() -> int:
    """Return which cluster TESTBED_INDEX names; the first where it names none."""
    return int(os.environ.get("TESTBED_INDEX", "0"))


def ensure_cluster(index: int | None = None, gpus: Gpus | None = None) -> Cluster:
    """Return a running cluster, starting or repairing it first; several processes may ask at once.

    Without an index it is the one that TESTBED_INDEX names.
    Raises TestbedError that says what is missing or which log to read.
    """
    return choose(given_index() if index is None else index, os.environ).up(gpus or Gpus())
