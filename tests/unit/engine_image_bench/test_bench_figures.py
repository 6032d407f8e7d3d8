"""Rates and times of many requests, whoever measured them."""

import pytest

from batchedllm_engine.bench.asks import Ask
from batchedllm_engine.bench.figures import times_of
from batchedllm_engine.bench.load import Answer, figures, first_error
from batchedllm_engine.bench.vllm_bench import figures as figures_of_vllm

TOLD_BY_VLLM = {
    "duration": 4.0,
    "completed": 9,
    "total_input_tokens": 900,
    "total_output_tokens": 1800,
    **{
        f"{value}_{metric}_ms": number
        for metric in ("ttft", "tpot", "itl", "e2el")
        for value, number in (("mean", 10.0), ("median", 9.0), ("p95", 20.0), ("p99", 30.0))
    },
}
"""The fields of a result of `vllm bench serve` (0.26 to 0.32) that are read."""


def answer(sent, first, last, tokens, **differs):
    return Answer(Ask(100, tokens), sent, first, last, output_tokens=tokens, **differs)


def test_times_are_told_by_mean_and_quantiles():
    times = times_of([float(value) for value in range(1, 101)])

    assert (times.mean, times.median) == (50.5, 50.5)
    assert times.p95 == pytest.approx(95.05)


def test_nothing_took_no_time():
    assert times_of([]).p99 == 0


def test_a_client_counts_from_the_first_request_to_the_last_token():
    seen = figures([answer(0, 0.5, 2, 16), answer(1, 1.5, 4, 26)])

    assert seen.seconds == 4
    assert seen.output_tokens_per_second == pytest.approx(42 / 4)
    assert seen.tokens_per_second == pytest.approx(242 / 4)
    assert seen.time_to_first_token.mean == 0.5
    assert seen.per_token.mean == pytest.approx(0.1)
    assert seen.end_to_end.mean == 2.5


def test_failed_requests_count_as_such_and_for_nothing_else():
    answers = [answer(0, 0.5, 2, 16), answer(0, None, 9, 0, error="HTTP 503: overloaded")]

    assert (figures(answers).completed, figures(answers).failed, figures(answers).seconds) == (1, 1, 2)
    assert first_error(answers) == "HTTP 503: overloaded"


def test_what_vllm_tells_in_milliseconds_is_read_in_seconds():
    seen = figures_of_vllm(TOLD_BY_VLLM, 10)

    assert (seen.completed, seen.failed) == (9, 1)
    assert seen.output_tokens_per_second == 450
    assert seen.per_token.median == pytest.approx(0.009)
    assert seen.to_json()["timeToFirstTokenSeconds"]["p95"] == 0.02
