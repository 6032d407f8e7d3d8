"""A host with several GPUs: each engine takes free shares of as many as it needs, which are free again when it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from gpu import host
from gpu.in_pod import sitecustomize
from gpu.in_pod.sitecustomize import SHARES, VISIBLE, choose, gpus_needed, make, take

SERVE = ["python3", "-m", "batchedllm_engine", "serve", "/models/a"]
IN_POD = Path(sitecustomize.__file__).parent


def engine(folder, *, parallel=1):
    """Start a process that chooses as an engine's does when its Python starts, and tells what it may see."""
    words = f"import os, sys; print(os.environ.get({VISIBLE!r}), flush=True); sys.stdin.read()"
    arguments = [sys.executable, "-c", words, "batchedllm_engine", "serve", f"--tensor-parallel-size={parallel}"]
    environment = {SHARES: str(folder), "PYTHONPATH": str(IN_POD)}
    process = subprocess.Popen(arguments, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def end(process):
    process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (SERVE, 1),
        ([*SERVE, "--tensor-parallel-size=4"], 4),
        ([*SERVE, "--tensor-parallel-size=2", "--pipeline-parallel-size=2"], 4),
        (["/srv/bin/vllm", "serve", "/models/a"], 1),
        (["python3", "-m", "batchedllm_engine", "inspect"], 0),
        (["python3", "-c", "print('serve')"], 0),
    ],
)
def test_only_an_engine_takes_gpus_and_as_many_as_its_ranks(arguments, needed):
    assert gpus_needed(arguments) == needed


def test_shares_of_the_first_gpu_are_taken_first_and_those_of_an_engine_that_ended_again(tmp_path):
    make(tmp_path, gpus=2, shares=2)
    one, first = engine(tmp_path)
    two, second = engine(tmp_path)
    three, third = engine(tmp_path)
    end(one)
    four, fourth = engine(tmp_path)
    for process in (two, three, four):
        end(process)

    assert (first, second, third, fourth) == ("0", "0", "1", "0")


def test_an_engine_of_two_ranks_gets_two_gpus_and_none_where_there_is_one(tmp_path):
    make(tmp_path, gpus=2, shares=1)
    one, first = engine(tmp_path, parallel=2)

    assert first == "0,1"
    assert take(tmp_path, 1) == []
    end(one)
    assert take(tmp_path, 3) == [], "there are only two"
    assert choose({SHARES: str(tmp_path)}, SERVE) == "0", "and what was locked in vain is free again"


def test_fewer_shares_than_in_an_earlier_run_leave_none_of_its_files(tmp_path):
    make(tmp_path, gpus=2, shares=4)
    make(tmp_path, gpus=2, shares=1)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["0-0", "1-0"]


@pytest.mark.parametrize("environment", [{}, {SHARES: "/no/such/folder", VISIBLE: "3"}])
def test_without_shares_or_where_the_gpus_are_told_nothing_is_chosen(environment):
    assert choose(environment, SERVE) == ""


def test_engine_pods_look_for_a_share_only_where_there_are_several_gpus(tmp_path):
    one, several = (host.overlay(tmp_path, tmp_path, tmp_path, several=flag) for flag in (False, True))

    assert SHARES not in one.environment
    assert several.folders[several.environment[SHARES]] == str(tmp_path / "shares")
    assert several.environment["PYTHONPATH"].startswith(next(name for name in several.folders if "in-pod" in name))
