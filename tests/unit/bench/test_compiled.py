"""The judge's compiled simulator is made of the sources as they are now."""

import pytest

from bench import compiled


def test_every_module_that_is_compiled_is_there():
    assert [name for name in compiled.MODULES if not (compiled.SOURCES / "sim" / f"{name}.py").is_file()] == []


def test_a_changed_source_is_another_state(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "SOURCES", tmp_path)
    (tmp_path / "engine.py").write_text("STEPS = 1\n")
    before = compiled.state_of_sources()
    assert compiled.state_of_sources() == before
    (tmp_path / "engine.py").write_text("STEPS = 2\n")
    assert compiled.state_of_sources() != before


def test_without_a_compiler_the_sources_are_run_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "CACHE", tmp_path)
    monkeypatch.setattr(compiled.shutil, "which", lambda _name: None)
    assert compiled.compiled() == compiled.SOURCES.parent


def test_what_does_not_compile_says_why_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(compiled, "SOURCES", tmp_path / "batchedllm")
    monkeypatch.setattr(compiled, "MODULES", ("engine",))
    monkeypatch.setenv("CC", "true")
    (tmp_path / "batchedllm" / "sim").mkdir(parents=True)
    (tmp_path / "batchedllm" / "sim" / "engine.py").write_text("steps: int = 'one'\n")
    with pytest.raises(SystemExit, match=r"(?s)mypyc failed on a copy of .*Incompatible types"):
        compiled.compiled()
    assert list((tmp_path / "cache").iterdir()) == []
