"""The command line of the benchmark."""

from pathlib import Path

import pytest

from batchedllm_engine.bench.engine import flag_of, headers_of
from batchedllm_engine.bench.failures import BenchError, Reason
from batchedllm_engine.bench.request import parse


def test_an_engine_is_found_or_started():
    assert parse(["--base-url=http://127.0.0.1:8000/"]).base_url == "http://127.0.0.1:8000"
    assert parse(["--", "org/model", "--max-num-seqs=8"]).engine_arguments == ("org/model", "--max-num-seqs=8")


@pytest.mark.parametrize(
    ("text", "variation", "trace"),
    [("poisson", 1.0, None), ("gamma:2.5", 2.5, None), ("trace:a.csv", 1.0, Path("a.csv"))],
)
def test_arrivals_are_poisson_gamma_or_a_trace(text, variation, trace):
    request = parse(["--base-url=http://x", f"--arrivals={text}"])

    assert (request.variation, request.trace) == (variation, trace)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--base-url=http://x", "--", "org/model"],
        ["--base-url=http://x", "--batches=0,2"],
        ["--base-url=http://x", "--batches=1,many"],
        ["--base-url=http://x", "--budget-seconds=-1"],
        ["--base-url=http://x", "--budget-seconds=nan"],
        ["--base-url=http://x", "--parts=curve,latency"],
        ["--base-url=http://x", "--arrivals=gamma:0"],
        ["--base-url=http://x", "--arrivals=uniform"],
        ["--base-url=http://x", "--unknown"],
    ],
)
def test_what_cannot_be_measured_is_refused(arguments):
    with pytest.raises(BenchError) as refused:
        parse(arguments)

    assert refused.value.reason is Reason.BAD_ARGUMENTS


@pytest.mark.parametrize(
    "arguments", [["m", "--max-num-seqs=8"], ["m", "--max-num-seqs", "8"], ["m", "--max_num_seqs=8"]]
)
def test_a_flag_of_the_engine_is_read_however_it_is_written(arguments):
    assert flag_of(arguments, "--max-num-seqs") == 8


def test_a_flag_that_is_not_there_or_no_number_is_not_guessed():
    assert flag_of(["m"], "--max-num-seqs") is None
    assert flag_of(["m", "--max-num-seqs=8k"], "--max-num-seqs") is None


def test_an_engine_with_a_key_is_asked_with_it():
    assert headers_of({"VLLM_API_KEY": "k"}) == {"Authorization": "Bearer k"}
    assert headers_of({}) == {}
