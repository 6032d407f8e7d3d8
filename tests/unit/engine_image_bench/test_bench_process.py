"""The benchmark as a process: it measures a simulated engine, stops in time, and ends with a code that says why."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "batchedllm_engine", "bench"]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'engine_image'}"}


def benched(*arguments, timeout=120):
    return subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False
    )


def test_an_engine_is_started_measured_and_ended(tmp_path):
    output, message, picture = tmp_path / "profile.json", tmp_path / "message", tmp_path / "curve.svg"
    ended = benched(
        *("--batches=1,4,16", "--prompt-tokens=32", "--output-tokens=16", "--budget-seconds=20"),
        *("--static-output-tokens=4,32", "--inter-token-limit-ms=1000", f"--output={output}"),
        *(f"--termination-message={message}", f"--picture={picture}", "--rates=20", "--arrivals=gamma:2"),
        *("--", "org/model", "--sim-startup-seconds=0", "--max-num-seqs=4"),
    )
    assert ended.returncode == 0, ended.stderr
    profile = json.loads(output.read_text())
    assert [one["batch"] for one in profile["curve"]] == [1, 4]
    assert "above the engine's max-num-seqs" in profile["leftOut"][0]
    assert profile["gpu"] == "NVIDIA H200"
    assert profile["sweetSpot"]["batch"] == 4
    assert 0.004 < profile["knots"][0][1] < 0.006  # the simulated H200's step, by the engine's own clock
    assert all(0 < one["stepSeconds"] < one["seconds"] for one in profile["prefill"])
    assert [one["tokens"] for one in profile["prefill"]] == [512, 2048, 8192]
    assert profile["static"]["ratio"] > 0.9
    assert profile["streams"][0]["arrivals"] == "gamma 2"
    assert len(message.read_bytes()) <= 4096
    assert picture.read_text().startswith("<svg")


def test_a_short_engine_is_measured_with_shorter_requests(tmp_path):
    output = tmp_path / "profile.json"
    engine = ("--", "org/model", "--sim-startup-seconds=0", "--max-model-len=64")
    ended = benched("--parts=curve", "--batches=1,2", "--budget-seconds=10", f"--output={output}", *engine)

    assert ended.returncode == 0, ended.stderr
    assert (json.loads(output.read_text())["promptTokens"], json.loads(output.read_text())["outputTokens"]) == (32, 16)


def test_a_small_budget_ends_it_in_time_and_tells_what_was_left_out(tmp_path):
    output, begin = tmp_path / "profile.json", time.monotonic()
    ended = benched(
        *("--budget-seconds=6", "--output-tokens=64", f"--output={output}"),
        *("--", "org/model", "--sim-startup-seconds=0"),
    )

    assert time.monotonic() - begin < 60
    if ended.returncode == 0:
        assert json.loads(output.read_text())["leftOut"]
    else:
        assert ended.returncode == 17


def test_sigterm_ends_the_engine_too_and_is_told(tmp_path):
    message = tmp_path / "message"
    command = [*COMMAND, f"--termination-message={message}", "--", "org/model", "--sim-startup-seconds=0"]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("measuring"):
                break
        engines = children_of(process.pid)
        process.terminate()

        assert process.wait(60) == 143
    assert json.loads(message.read_text())["error"]["reason"] == "Ended"
    assert engines
    assert not any(Path(f"/proc/{one}").exists() for one in engines)


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--batches=none", "--base-url=http://127.0.0.1:9"], 2, "whole number"),
        (["--base-url=http://127.0.0.1:9", "--startup-seconds=1"], 31, "did not serve within 1 s"),
        (["--", "org/model", "--sim-failure=crash"], 30, "ended with code 1"),
        (["--budget-seconds=2", "--", "org/model", "--sim-startup-seconds=0", "--sim-failure=stall"], 32, "in time"),
        (["--client=vllm", "--", "org/model", "--sim-startup-seconds=0"], 2, "use --client own"),
    ],
)
def test_a_failure_has_a_code_and_a_sentence(tmp_path, arguments, code, words):
    message = tmp_path / "message"
    ended = benched(f"--termination-message={message}", *arguments)

    assert ended.returncode == code, ended.stderr
    assert words in json.loads(message.read_text())["error"]["message"]
