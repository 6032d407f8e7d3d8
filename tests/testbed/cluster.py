"""A cluster as tests see it: a kubeconfig, kubectl, and a way to bring images in."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from testbed import images, tools
from testbed.commands import environment_without_proxies, run
from testbed.errors import TestbedError

_ESTABLISHED_SECONDS: Final = 30.0


def is_established(definition: Mapping[str, Any]) -> bool:
    """Whether a CustomResourceDefinition, as the API server has it, serves; one that is new has no conditions yet."""
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


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
        # `kubectl wait` breaks off on a definition so new that it has no conditions yet, whichever way it is asked.
        deadline = time.monotonic() + _ESTABLISHED_SECONDS
        while not is_established(json.loads(self.kubectl("get", "--filename", str(definition), "--output=json"))):
            if time.monotonic() > deadline:
                raise TestbedError(f"{definition} is not established after {_ESTABLISHED_SECONDS:.0f} s")
            time.sleep(0.2)

    def load_image(self, name: str) -> str:
        """Build a project image if needed (`operator`, `engine-sim`, ...), bring it in, return its reference."""
        return images.load(name, self.loaded, self.load_archive, self.holds)

    def answers(self) -> bool:
        """Tell whether the API server says that it is ready."""
        try:
            return self.kubectl("get", "--raw", "/readyz", "--request-timeout=3s", timeout_seconds=10) == "ok"
        except (TestbedError, subprocess.SubprocessError):
            return False
