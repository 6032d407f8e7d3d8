"""crds/ holds what the types say, and the command that checks it notices when not."""

import importlib.util
import shutil
from pathlib import Path

import pytest
import yaml

from batchedllm.api.conditions import Reason
from batchedllm.api.crd import custom_resource_definition
from batchedllm.api.reserved import RESERVED

CRDS = Path(__file__).parents[3] / "crds"
_spec = importlib.util.spec_from_file_location("generate_crds", CRDS / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


def test_committed_files_are_current():
    assert generate.stale() == []


def test_the_crd_file_is_the_crd_without_anchors():
    text = (CRDS / "batchedllms.yaml").read_text()

    assert yaml.safe_load(text) == custom_resource_definition()
    assert "&id" not in text


@pytest.mark.parametrize("name", ["batchedllms.yaml", "REFERENCE.md"])
def test_check_fails_and_names_the_file_that_was_edited(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for file in ("batchedllms.yaml", "REFERENCE.md"):
        shutil.copy(CRDS / file, tmp_path)
    assert generate.main(["--check", "--folder", str(tmp_path)]) == 0

    (tmp_path / name).write_text("edited")

    assert generate.main(["--check", "--folder", str(tmp_path)]) == 1
    assert name in capsys.readouterr().err


def test_generate_writes_what_check_accepts(tmp_path: Path):
    assert generate.main(["--folder", str(tmp_path)]) == 0
    assert generate.stale(tmp_path) == []


def test_the_reference_lists_every_field_reserved_name_and_reason():
    text = (CRDS / "REFERENCE.md").read_text()

    assert "| `periodSeconds` | integer | `30` |" in text
    assert "## spec.priority.classes[]" in text
    assert all(f"`{path}`" in text for path in RESERVED)
    assert all(f"`{reason}`" in text for reason in Reason)
