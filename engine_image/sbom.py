"""What an image holds, as a CycloneDX document: Debian's or Ubuntu's packages, and those of one Python.

Run while the image is built, with cyclonedx-python-lib beside this file (requirements-sbom.txt):

    python3 sbom.py --name NAME --version VERSION --python PROGRAM --output FILE

Files that a RUN brought by other ways, as a wheel's bundled libraries, are in it only as part of their package.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from email.parser import Parser
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

LONGEST_LICENCE = 100
"""Characters: longer ones are the text of a licence, not its name."""


def document(name: str, version: str, root: Path, folders: Iterable[str]) -> str:
    """Return the document, in JSON, of the operating system at `root` and the Python packages in `folders`."""
    bom = Bom()
    image = Component(type=ComponentType.CONTAINER, name=name, version=version, bom_ref="image")
    bom.metadata.component = image
    found = [*os_components(root), *python_components(folders)]
    for component in found:
        bom.components.add(component)
    bom.register_dependency(image, found)
    return JsonV1Dot6(bom).output_as_string(indent=1)


def os_components(root: Path) -> Iterator[Component]:
    """Yield the operating system and its installed packages, as dpkg's own list says; nothing where there is none."""
    release = _key_values((root / "etc/os-release").read_text(encoding="utf-8"))
    system, number = release.get("ID", "linux"), release.get("VERSION_ID", "")
    yield Component(type=ComponentType.OPERATING_SYSTEM, name=system, version=number or None, bom_ref="os")
    status = root / "var/lib/dpkg/status"
    if not status.exists():
        return
    for entry in status.read_text(encoding="utf-8").split("\n\n"):
        fields = Parser().parsestr(entry.strip() + "\n", headersonly=True)
        if not fields.get("Status", "").endswith(" installed"):
            continue
        qualifiers = {"arch": fields["Architecture"], "distro": f"{system}-{number}"}
        url = PackageURL("deb", system, fields["Package"], fields["Version"], qualifiers)
        source = fields.get("Source", fields["Package"]).split(" ")[0]
        yield Component(
            type=ComponentType.LIBRARY,
            name=fields["Package"],
            version=fields["Version"],
            purl=url,
            bom_ref=str(url),
            properties=[Property(name="dpkg:source", value=source)],
        )


def python_components(folders: Iterable[str]) -> Iterator[Component]:
    """Yield the installed distributions; of one that is there twice, the one that is imported."""
    seen: set[str] = set()
    for one in distributions(path=list(folders)):
        name = re.sub(r"[-_.]+", "-", one.name or "").lower()
        if not name or name in seen:
            continue
        seen.add(name)
        url = PackageURL("pypi", None, name, one.version)
        licences = _licences(one)
        yield Component(
            type=ComponentType.LIBRARY,
            name=one.name,
            version=one.version,
            purl=url,
            bom_ref=str(url),
            licenses=licences,
        )


def _licences(one: Distribution) -> list[LicenseExpression | DisjunctiveLicense]:
    metadata = one.metadata
    if "License-Expression" in metadata:
        return [LicenseExpression(metadata["License-Expression"])]
    named = str(metadata.get("License") or "").strip()
    return [DisjunctiveLicense(name=named)] if named and len(named) <= LONGEST_LICENCE else []


def _key_values(text: str) -> Mapping[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip('"') for key, value in pairs}


def folders_of(python: str) -> list[str]:
    """Return where a Python looks for packages, in its order."""
    command = [python, "-c", "import json, sys; print(json.dumps(sys.path[1:]))"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S603
    return [folder for folder in json.loads(answer) if folder and Path(folder).is_dir()]


def main() -> int:
    """Write the document."""
    parser = argparse.ArgumentParser(description="Write what this image holds as a CycloneDX document.")
    for flag in ("--name", "--version", "--python"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    text = document(options.name, options.version, Path("/"), folders_of(options.python))
    options.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
