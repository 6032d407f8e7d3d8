"""A cluster as tests see it: a kubeconfig, kubectl, and a way to bring images in."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed import images, tools
from testbed.commands import environment_without_proxies, run
from testbed.errors import TestbedError


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. `loaded` is where it notes the images that it has.

    `node` is the name of its real node, empty where it is not ours to know. `holds` tells whether the node has an
    image of this name whole; where nobody can be asked, the note is believed.
    """

    kubeconfig: Path
    load_archive: Callable[[Path, str], None]
    loaded: Path
    node: str = ""
    holds: Callable[[str], bool] = lambda _: True

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
        """Run kubectl and return what it printed. Raises TestbedError with its words when it fails."""
        command = [str(tools.kubectl()), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, stdin=stdin, timeout_seconds=timeout_seconds, environment=environment_without_proxies())

    def helm(self, *arguments: str, timeout_seconds: float = 300) -> str:
        """Run helm against this cluster and return what it printed."""
        command = [str(tools.helm()), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, timeout_seconds=timeout_seconds, environment=environment_without_proxies())

    def establish(self, definition: Path) -> None:
        """Apply one CustomResourceDefinition and wait until it serves. Raises TestbedError if it does not."""
        arguments = ("--server-side", "--force-conflicts", "--field-manager=batchedllm-tests")
        self.kubectl("apply", *arguments, "--filename", str(definition))
        # `condition=Established` breaks off on a definition so new that it has no conditions yet; a path waits.
        established = '{.status.conditions[?(@.type=="Established")].status}=True'
        self.kubectl("wait", f"--for=jsonpath={established}", "--filename", str(definition), "--timeout=30s")

    def load_image(self, name: str) -> str:
        """Build a project image if needed (`operator`, `engine-sim`, ...), bring it in, return its reference."""
        return images.load(name, self.loaded, self.load_archive, self.holds)

    def answers(self) -> bool:
        """Tell whether the API server says that it is ready."""
        try:
            return self.kubectl("get", "--raw", "/readyz", "--request-timeout=3s", timeout_seconds=10) == "ok"
        except (TestbedError, subprocess.SubprocessError):
            return False
