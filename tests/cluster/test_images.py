"""What the built images say of themselves: labels, and a bill of materials that holds what was pinned."""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from testbed import images

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
PINNED = {"operator": "operator/requirements.txt", "engine-sim": "engine_image/requirements-sim.txt"}


def opened(archive: Path, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The image's configuration, and one JSON file of its root, from an archive of Docker's form."""
    with tarfile.open(archive) as outer:

        def member(name: str) -> Any:
            found = outer.extractfile(name)
            assert found is not None
            return found

        manifest = json.load(member("manifest.json"))[0]
        configuration = json.load(member(manifest["Config"]))
        for layer in reversed(manifest["Layers"]):
            with tarfile.open(fileobj=member(layer)) as inner:
                held = next((one for one in inner if one.name.strip("./") == path.strip("/")), None)
                if held is not None:
                    document = inner.extractfile(held)
                    assert document is not None
                    assert held.mode & 0o044 == 0o044, "whoever runs the image may read it"
                    return configuration["config"], json.load(document)
    pytest.fail(f"{path} is in no layer of {archive}")


@pytest.mark.parametrize("name", sorted(PINNED))
def test_an_image_is_labelled_and_holds_its_bill_of_materials(name: str) -> None:
    image = images.ensure_image(name)
    configuration, bill = opened(image.archive, "/usr/share/sbom/image.cdx.json")
    labels = configuration["Labels"]

    assert labels["dev.batchedllm.sbom"] == "/usr/share/sbom/image.cdx.json"
    assert labels["org.opencontainers.image.version"] == images.project_version()
    for part in ("title", "description", "licenses", "vendor", "base.name"):
        assert labels[f"org.opencontainers.image.{part}"], part
    digest = labels["org.opencontainers.image.base.digest"]
    assert digest == "" or re.fullmatch(r"sha256:[0-9a-f]{64}", digest)

    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    held = {one["purl"] for one in bill["components"] if "purl" in one}
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)(?: ;.*)?", (ROOT / PINNED[name]).read_text(), re.MULTILINE)
    pinned = {f"pkg:pypi/{re.sub('[-_.]+', '-', package).lower()}@{number}" for package, number in pins}
    assert len(pinned & held) > 10
    assert {one.split("@")[0] for one in pinned - held} <= NOT_ON_LINUX
    assert any(one.startswith("pkg:deb/") for one in held)
    assert not any("cyclonedx" in one for one in held), "the tool is no part of the image"


NOT_ON_LINUX = {"pkg:pypi/colorama", "pkg:pypi/tzdata"}
"""Pinned for other systems or Pythons than the image's."""
