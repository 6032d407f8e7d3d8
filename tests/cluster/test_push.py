"""Images arrive in a real registry under the names that the chart's values take."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import archives, registry
from testbed.commands import run
from testbed.errors import TestbedError
from testbed.images import BuiltImage
from testbed.locks import exclusive
from testbed.paths import cache_directory

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def registry_program() -> Path:
    """Debian's docker-registry, unpacked and not installed: an installed one would start a service."""
    folder = cache_directory() / "bin/docker-registry"
    program = folder / "usr/bin/docker-registry"
    with exclusive(folder.with_suffix(".lock"), "fetching a registry"):
        if not program.exists():
            folder.mkdir(parents=True, exist_ok=True)
            run(["apt-get", "download", "docker-registry"], cwd=folder, timeout_seconds=300)
            run(["dpkg", "-x", str(next(folder.glob("*.deb"))), str(folder)], timeout_seconds=60)
    return program


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A registry that speaks HTTP on this machine."""
    if shutil.which("apt-get") is None:
        pytest.skip("the registry comes from Debian's packages")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    configuration = tmp_path / "registry.yaml"
    configuration.write_text(
        json.dumps(
            {
                "version": "0.1",
                "storage": {"filesystem": {"rootdirectory": str(tmp_path / "store")}},
                "http": {"addr": host},
            }
        )
    )
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen([registry_program(), "serve", configuration], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(host.rpartition(":")[2]))) == 0:
                    break
            time.sleep(0.1)
        yield host
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def image(tmp_path: Path) -> BuiltImage:
    """A small image as the project's own are built: an archive and a name."""
    archive = tmp_path / "program.tar"
    archive.write_bytes(archives.single_program_image("batchedllm.dev/engine:0.0.0-test", b"program"))
    return BuiltImage("batchedllm.dev/engine:0.0.0-test", archive, "content")


def test_an_image_is_pulled_from_where_the_values_say(address: str, image: BuiltImage) -> None:
    pushed = registry.push(image, f"{address}/team", plain_http=True)

    assert pushed == f"{address}/team/engine:0.0.0-test"
    with urllib.request.urlopen(f"http://{address}/v2/team/engine/tags/list", timeout=5) as answer:
        assert json.load(answer) == {"name": "team/engine", "tags": ["0.0.0-test"]}


def test_a_registry_that_does_not_answer_is_an_error_with_its_words(image: BuiltImage) -> None:
    with pytest.raises(TestbedError, match="refused"):
        registry.push(image, "127.0.0.1:9", plain_http=True)
