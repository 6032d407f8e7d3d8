"""A cluster of kind, where a Docker engine runs."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from testbed import nodes
from testbed.cluster import Cluster
from testbed.commands import run, say, succeeds, wait_until
from testbed.definition import Gpus
from testbed.errors import TestbedError
from testbed.paths import state_directory

_UP_SECONDS = 600
_RANGE_SECONDS = 30


def route(node: dict[str, Any], verb: str) -> list[str]:
    """Return the command for the way to a node's pods: over the node, which is a container of this machine.

    Empty where the node has no range of addresses for pods yet.
    """
    if "podCIDR" not in node["spec"]:
        return []
    addresses = {one["type"]: one["address"] for one in node["status"]["addresses"]}
    return ["ip", "route", verb, node["spec"]["podCIDR"], "via", addresses["InternalIP"]]


class KindCluster:
    """A one-node kind cluster, named by its index."""

    kind = "kind"

    def __init__(self, index: int = 0) -> None:
        self.name = f"bllm-testbed-{index}"
        self.node = f"{self.name}-control-plane"
        self.state = state_directory(index)
        self.cluster = Cluster(self.state / "admin.kubeconfig", self.load_archive, self.state / "loaded", self.node)

    def commands(self) -> dict[str, list[str]]:
        """Return the kind commands of this cluster."""
        config = f"--kubeconfig={self.cluster.kubeconfig}"
        return {
            "create": ["kind", "create", "cluster", f"--name={self.name}", config, "--wait=120s"],
            "export": ["kind", "export", "kubeconfig", f"--name={self.name}", config],
            "delete": ["kind", "delete", "cluster", f"--name={self.name}", config],
            "load": ["kind", "load", "image-archive", f"--name={self.name}"],
        }

    def up(self, gpus: Gpus) -> Cluster:
        """Create the cluster unless kind lists it, and dress its node."""
        self.state.mkdir(parents=True, exist_ok=True)
        verb = "export" if self.name in run(["kind", "get", "clusters"]).split() else "create"
        run(self.commands()[verb], timeout_seconds=_UP_SECONDS)
        nodes.dress(self.cluster, self.node, gpus)
        self._lead_to_pods()
        say(f"testbed: kind cluster {self.name} runs")
        return self.cluster

    def _node(self) -> dict[str, Any]:
        return dict(json.loads(self.cluster.kubectl("get", "node", self.node, "--output=json")))

    def _lead_to_pods(self) -> None:
        """Let this machine reach pods, as on the embedded cluster: operators under test run beside the cluster."""
        wait_until(
            lambda: bool(route(self._node(), "add")),
            "the node has a range of addresses for its pods",
            timeout_seconds=_RANGE_SECONDS,
        )
        command = route(self._node(), "add")
        if not (self._leads(command) or succeeds(command)):
            say(f"testbed: tests that start an operator reach no pod without: {' '.join(command)}")

    @staticmethod
    def _leads(command: list[str]) -> bool:
        """Whether the way is there already; one over another node, such as another cluster's, is left as it is."""
        try:
            return bool(run(["ip", "route", "show", *command[3:]]).strip())
        except TestbedError:
            return False

    def down(self, *, images: bool = False) -> None:
        """Delete the cluster; kind keeps its images in the node, so they always go with it."""
        del images
        with contextlib.suppress(TestbedError):
            if command := route(self._node(), "del"):
                succeeds(command)
        run(self.commands()["delete"], timeout_seconds=_UP_SECONDS)
        shutil.rmtree(self.state, ignore_errors=True)

    def status(self) -> dict[str, object]:
        """Return the nodes; the processes are Docker's to show."""
        running = succeeds(self.commands()["export"])
        return {
            "provider": self.kind,
            "kubeconfig": str(self.cluster.kubeconfig),
            "processes": {},
            "nodes": nodes.summary(self.cluster) if running else [],
        }

    def load_archive(self, archive: Path, reference: str) -> None:
        """Copy an image archive to the node."""
        run([*self.commands()["load"], str(archive)], timeout_seconds=1200)
        say(f"testbed: {reference} loaded")
