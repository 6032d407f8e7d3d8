"""What an image's bill of materials says."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from cyclonedx.model.bom import Bom

import sbom

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9+deb12u10)
Version: 2.36-9+deb12u10
Description: GNU C Library
 with more words

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a Debian with one package, and one that was removed."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    return tmp_path


def distribution(folder: Path, name: str, number: str, more: str = "") -> None:
    info = folder / f"{name}-{number}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {number}\n{more}")


def components(root: Path, *folders: Path) -> dict[str, dict]:
    found = json.loads(sbom.document("batchedllm.dev/engine", "1-sim", root, map(str, folders)))
    return {one["name"]: one for one in found["components"]}


def test_debians_packages_are_those_that_are_installed(root: Path) -> None:
    found = components(root)

    assert found["libc6"]["purl"] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12"
    assert found["libc6"]["properties"] == [{"name": "dpkg:source", "value": "glibc"}]
    assert (found["debian"]["type"], found["debian"]["version"]) == ("operating-system", "12")
    assert "gone" not in found


def test_python_packages_have_version_and_licence(root: Path, tmp_path: Path) -> None:
    distribution(tmp_path / "p", "Py_Thing", "2.1", "License-Expression: MIT\n")
    distribution(tmp_path / "p", "old", "1", "License: BSD\n")
    distribution(tmp_path / "p", "wordy", "1", f"License: {'x' * 500}\n")
    found = components(root, tmp_path / "p")

    assert found["Py_Thing"]["purl"] == "pkg:pypi/py-thing@2.1"
    assert found["Py_Thing"]["licenses"] == [{"expression": "MIT"}]
    assert found["old"]["licenses"] == [{"license": {"name": "BSD"}}]
    assert "licenses" not in found["wordy"]


def test_of_a_package_that_is_there_twice_the_one_that_is_imported_counts(root: Path, tmp_path: Path) -> None:
    distribution(tmp_path / "first", "thing", "2")
    distribution(tmp_path / "second", "thing", "1")

    assert components(root, tmp_path / "first", tmp_path / "second")["thing"]["version"] == "2"


def test_a_system_without_dpkg_is_only_named(root: Path) -> None:
    (root / "var/lib/dpkg/status").unlink()

    assert list(components(root)) == ["debian"]


def test_the_command_tells_of_the_python_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "deep/image.cdx.json"
    flags = ["--name", "x", "--version", "1", "--python", sys.executable, "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["sbom.py", *flags])

    assert sbom.main() == 0
    made = Bom.from_json(json.loads(output.read_text()))
    assert made.metadata.component.name == "x"
    assert {one.version for one in made.components if one.name == "pytest"} == {version("pytest")}
