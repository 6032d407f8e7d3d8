"""The process: it becomes vLLM, or ends before it with an exit code of its own and one line that says what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from batchedllm_engine.inspect.failures import EXIT_CODES as MODEL_EXIT_CODES
from batchedllm_engine.inspect.failures import Reason as ModelReason
from batchedllm_engine.start import __main__ as process

ENGINE_IMAGE = Path(__file__).parents[3] / "engine_image"


def run(tmp_path, *arguments, **environment):
    """Run it as a pod does, with a `vllm` that prints its arguments."""
    vllm = tmp_path / "bin/vllm"
    vllm.parent.mkdir(exist_ok=True)
    vllm.write_text('#!/bin/sh\necho "$BATCHEDLLM_ENGINE_PREFLIGHT_SECONDS"\nprintf "%s\\n" "$$" "$@"\n')
    vllm.chmod(0o755)
    return subprocess.Popen(
        [sys.executable, "-m", "batchedllm_engine", "serve", *arguments],
        env={
            "PYTHONPATH": str(ENGINE_IMAGE), "PATH": str(vllm.parent),
            "BATCHEDLLM_ENGINE_TERMINATION_LOG": str(tmp_path / "end"), **environment,
        },
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_start_that_can_succeed_becomes_vllm_with_the_very_arguments(tmp_path):
    started = run(tmp_path, "s3://bucket/model", "--served-model-name", "a b", "--port=8000")
    out, _ = started.communicate(timeout=60)
    seconds, process_id, *arguments = out.splitlines()
    assert float(seconds) > 0
    assert int(process_id) == started.pid
    assert arguments == ["serve", "s3://bucket/model", "--served-model-name", "a b", "--port=8000"]
    assert started.returncode == 0
    assert not (tmp_path / "end").exists()


def test_a_start_that_cannot_ends_with_its_code_and_its_line(tmp_path):
    started = run(tmp_path, str(tmp_path / "none"))
    out, log = started.communicate(timeout=60)
    line = (tmp_path / "end").read_text()
    assert started.returncode == MODEL_EXIT_CODES[ModelReason.NO_SUCH_MODEL] == 11
    assert line.startswith("preflight: NoSuchModel: there is no folder ")
    assert "\n" not in line
    assert line in log
    assert out == ""


def test_no_token_is_ever_told(tmp_path):
    started = run(tmp_path, str(tmp_path / "secret-name"), HF_TOKEN="secret-name")
    _, log = started.communicate(timeout=60)
    assert "secret-name" not in (tmp_path / "end").read_text() + log


def test_the_checks_can_be_left_out(tmp_path):
    started = run(tmp_path, str(tmp_path / "none"), BATCHEDLLM_ENGINE_PREFLIGHT="off")
    out, _ = started.communicate(timeout=60)
    assert out.splitlines()[2:] == ["serve", str(tmp_path / "none")]


def test_checks_that_fail_themselves_keep_nothing_from_starting(monkeypatch, capsys):
    def broken(*_):
        raise TypeError("a bug, with hf_0123456789 in it")

    monkeypatch.setattr(process, "look", broken)
    assert process.attempted_preflight(["org/model"], {}) is None
    told = capsys.readouterr().err
    assert "preflight failed, so nothing was checked" in told
    assert "hf_0123456789" not in told


@pytest.mark.parametrize(("plugins", "warned"), [("batchedllm,lora", False), ("lora", True)])
def test_plugins_that_leave_ours_out_are_told(tmp_path, plugins, warned):
    _, log = run(tmp_path, "s3://bucket/model", VLLM_PLUGINS=plugins).communicate(timeout=60)
    assert ("VLLM_PLUGINS leaves out batchedllm" in log) is warned


def test_an_image_without_vllm_says_so(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "batchedllm_engine", "serve", "s3://bucket/model"],
        env={"PYTHONPATH": str(ENGINE_IMAGE), "PATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "there is no program `vllm` here" in ended.stderr


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["nonsense"], 2), (["--help"], 0)])
def test_the_commands_are_listed(arguments, code):
    ended = subprocess.run(
        [sys.executable, "-m", "batchedllm_engine", *arguments],
        env={"PYTHONPATH": str(ENGINE_IMAGE)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == code
    assert all(name in ended.stderr for name in ("serve", "inspect", "gpu"))


def test_inspect_is_a_command_too():
    ended = subprocess.run(
        [sys.executable, "-m", "batchedllm_engine", "inspect", "--model=/none", "--output=-"],
        env={"PYTHONPATH": str(ENGINE_IMAGE)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 11
