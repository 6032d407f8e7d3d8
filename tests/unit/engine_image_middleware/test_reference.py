"""The page of fields, answers and metrics is what the code says."""

from pathlib import Path

from batchedllm_engine.middleware.__main__ import main
from batchedllm_engine.middleware.reference import reference

PAGE = Path(__file__).parents[3] / "docs/admission-reference.md"


def test_the_page_is_current():
    """`make generate` writes it."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_field_has_a_meaning(capsys):
    assert main(["--reference"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if row.endswith("|  |")] == []
