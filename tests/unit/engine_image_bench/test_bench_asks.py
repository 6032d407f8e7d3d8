"""The requests of a measurement: their lengths and times."""

import itertools
from random import Random
from statistics import mean, pstdev

import pytest

from batchedllm_engine.bench.asks import TOKEN_IDS, Ask, TraceFileError, at_rate, mixed, prompt, read_trace, stream

AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2225670,9000,55
2023-11-16 18:15:52.6805900,91,0
"""


def gaps(asks):
    return [right.at_seconds - left.at_seconds for left, right in itertools.pairwise(asks)]


def test_prompts_are_of_tokens_that_every_vocabulary_has_and_never_the_same():
    first, second = prompt(64, Random(1)), prompt(64, Random(2))

    assert first != second
    assert TOKEN_IDS[0] <= min(first) <= max(first) < TOKEN_IDS[1]


def test_mixed_answers_have_every_magnitude_alike():
    lengths = [ask.output_tokens for ask in mixed(4000, 10, 16, 512, Random(1))]

    assert min(lengths) >= 16
    assert max(lengths) <= 512
    assert sum(length < 64 for length in lengths) / len(lengths) == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("variation", [0.5, 1.0, 2.0])
def test_a_stream_has_the_rate_and_the_variation_that_is_asked_for(variation):
    between = gaps(stream(20_000, 5.0, variation, (8, 8), Random(1)))

    assert mean(between) == pytest.approx(0.2, rel=0.05)
    assert pstdev(between) / mean(between) == pytest.approx(variation, rel=0.05)


def test_a_trace_is_read_from_its_first_request_on_without_what_the_engine_cannot_hold(tmp_path):
    (tmp_path / "trace.csv").write_text(AZURE)

    asks = read_trace(tmp_path / "trace.csv", 4096)

    assert [(ask.prompt_tokens, ask.output_tokens) for ask in asks] == [(374, 44), (396, 109)]
    assert asks[1].at_seconds == pytest.approx(4.314579)


def test_a_trace_is_played_at_a_rate_for_some_seconds():
    asks = [Ask(1, 1, float(second)) for second in range(101)]

    played = at_rate(asks, 10.1, 5)

    assert len(played) == 51
    assert played[-1].at_seconds == pytest.approx(5.0)


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "t_s,input_tokens,output_tokens\nsoon,1,2\n", "t_s,input_tokens,output_tokens\n0,99999,2\n"],
)
def test_what_is_no_trace_says_where_and_what_was_expected(tmp_path, text):
    (tmp_path / "trace.csv").write_text(text)

    with pytest.raises(TraceFileError, match=r"trace\.csv"):
        read_trace(tmp_path / "trace.csv", 4096)
