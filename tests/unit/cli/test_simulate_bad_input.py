"""Bad input of `batchedllm simulate`: one sentence, exit status 1, nothing on the output."""

import io
import json

import pytest
import yaml

from batchedllm.cli.main import main

GOOD = "0,10,10\n1,10,10\n"


def _refused(capsys, monkeypatch, *arguments, stdin=GOOD):
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    try:
        status = main(["simulate", *arguments])
    except SystemExit as ended:
        status = ended.code
    captured = capsys.readouterr()
    assert (status, captured.out) == (1, "")
    assert len(captured.err.strip().splitlines()) == 1
    return captured.err


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        ("", "is empty, expected requests in the format azure, mooncake or csv"),
        ("what is this\n", "its first line tells no format, expected --format azure, mooncake or csv"),
        ("t_s,input_tokens,output_tokens\n", "holds no request"),
        ("t_s,input_tokens,output_tokens\n2,1,1\n1,1,1\n", "line 3 is 1 s before the line above"),
        ("t_s,input_tokens,output_tokens\n2,-1,1\n", "line 2 has -1 tokens"),
        ('{"timestamp": 0, "input_length": 900000, "output_length": 1}', "no request of - fits into 131,072 tokens"),
    ],
)
def test_traces(capsys, monkeypatch, stdin, sentence):
    assert sentence in _refused(capsys, monkeypatch, "--trace", "-", stdin=stdin)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--trace", "-", "--format", "parquet"), "format is 'parquet', expected one of azure, mooncake, csv"),
        (("--trace", "/nowhere.csv"), "/nowhere.csv: cannot be read"),
        (("--trace", "synthetic:sine"), "synthetic:sine is not known, expected one of step"),
        (("--trace", "-", "--format", "csv", "--rate-scale", "0"), "--rate-scale"),
        (("--trace", "-", "--format", "csv", "--rate-scale", "1e9"), "expected a smaller rate scale"),
        (("--trace", "synthetic:step", "--rate-scale", "1e9"), "rate scale is 1e+09"),
        (("--trace", "-", "--policy", "kubernetes"), "--policy: is 'kubernetes', expected names"),
        (("--trace", "-", "--seeds", "0"), "--seeds"),
        (("--trace", "-", "--startup-seconds", "-1"), "--startup-seconds"),
        (("--trace", "-", "--slo-ttft", "fast"), "--slo-ttft: is 'fast', expected a time such as 2s+0.5ms/token"),
        (("--trace", "-", "--slo-itl", "200"), "--slo-itl"),
        (("--trace", "-", "--require", "B>=1"), "--require: is 'B>=1', expected bounds such as"),
        (("--trace", "-", "--plot", "run.svg"), "--plot is run.svg, expected a name in .html or .png"),
        (("--trace", "-", "--gpu-profile", "b200"), "--gpu-profile is b200, expected one of h200-llama-8b"),
        (("--trace", "-", "-f", "a", "--compare", "a", "b"), "-f and --compare"),
        ((), "--trace"),
    ],
)
def test_arguments(capsys, monkeypatch, arguments, sentence):
    assert sentence in _refused(capsys, monkeypatch, *arguments)


@pytest.mark.parametrize(
    "profile",
    [
        {},
        [],
        {"knots": [[1, 0.1]], "kvCacheTokens": 1000},
        {"knots": [[2, 0.1], [1, 0.2]], "kvCacheTokens": 1000},
        {"knots": [[1, 0.1], [2, 0.2]], "kvCacheTokens": 1},
        {"knots": [[1, 0.1], [2, 0.2]], "kvCacheTokens": 1000, "secondsPerSequence": -1},
        {"knots": [[1, 0.1], [2, 0.2]], "kvCacheTokens": 1000, "version": 2},
    ],
)
def test_profiles(capsys, monkeypatch, tmp_path, profile):
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps(profile))
    error = _refused(capsys, monkeypatch, "--trace", "-", "--format", "csv", "--gpu-profile", str(path))
    assert "is not understood" in error
    assert "kvCacheTokens" in error


@pytest.fixture
def refused(capsys, monkeypatch):
    """Run a command that has to be refused; return its one line."""
    return lambda *arguments: _refused(capsys, monkeypatch, *arguments)


def _written(tmp_path, *specs):
    path = tmp_path / "all.yaml"
    found = [
        {
            "apiVersion": "batchedllm.dev/v1alpha1",
            "kind": "BatchedLLM",
            "metadata": {"name": f"m{index}"},
            "spec": {"model": {"id": "a/b"}, **spec},
        }
        for index, spec in enumerate(specs)
    ]
    path.write_text(yaml.safe_dump_all(found))
    return str(path)


@pytest.mark.parametrize(
    ("specs", "more", "sentence"),
    [
        (({}, {}), (), "holds several BatchedLLMs (m0, m1), expected one: give --name"),
        (({},), ("--name", "x"), "holds no BatchedLLM x"),
        (({"scaling": {"mode": "off"}},), (), "m0: spec.scaling.mode is off, in which nothing is decided"),
        (({"scaling": {"minReplicas": -1}},), (), "spec.scaling.minReplicas"),
        (({"batching": {"maxModelLen": 5_000_000}},), (), "the engine would not start"),
        (({},), ("--max-replicas", "3"), "--max-replicas is given"),
    ],
)
def test_resources(refused, tmp_path, specs, more, sentence):
    path = _written(tmp_path, *specs)
    assert sentence in refused("--trace", "-", "--format", "csv", "-f", path, *more)


def test_a_picture_that_cannot_be_written(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("t_s,input_tokens,output_tokens\n0,10,10\n1,10,10\n"))
    assert main(["simulate", "--trace", "-", "--policy", "static:1", "--seeds", "1", "--plot", "/nowhere/a.html"]) == 1
    assert "--plot /nowhere/a.html: cannot be written" in capsys.readouterr().err
