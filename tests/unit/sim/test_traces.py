"""Traces are read as they are; what cannot be used is refused in one sentence, what cannot fit is counted."""

from pathlib import Path

import pytest

from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.randomness import Randomness
from batchedllm.sim.traces import Trace, TraceError
from batchedllm.sim.traces.generators import SHAPES, generated
from batchedllm.sim.traces.readers import format_of, format_of_header, read_trace
from batchedllm.sim.traces.scaling import at_rate_scale, at_speed, cut_to, halves, per_second, what_fits
from batchedllm.sim.workload import TraceRequest

DATA = Path(__file__).parents[2] / "data" / "traces"


def _read(name, form):
    with (DATA / name).open() as lines:
        return read_trace(lines, form, name)


@pytest.mark.parametrize(
    ("name", "form", "count", "first"),
    [
        ("azure_conv.csv", "azure", 400, TraceRequest(0.0, 374, 44)),
        ("azure_code.csv", "azure", 400, TraceRequest(0.0, 4808, 10)),
        ("mooncake_form.jsonl", "mooncake", 30, TraceRequest(0.0, 900, 5)),
    ],
)
def test_recorded_traces(name, form, count, first):
    trace = _read(name, form)
    assert (len(trace.requests), trace.requests[0], trace.skipped) == (count, first, ())
    assert format_of_header((DATA / name).read_text().splitlines()[0]) == form


def test_plain_csv_counts_from_its_first_request():
    trace = read_trace(["t_s,input_tokens,output_tokens", "10.5,3,4", "", "12,5,6"], "csv")
    assert trace.requests == (TraceRequest(0.0, 3, 4), TraceRequest(1.5, 5, 6))
    assert trace.duration_seconds == 1.5


@pytest.mark.parametrize(
    "at", ["2024-05-12 00:00:02.5+00:00", "2024-05-12 02:00:02.5000000+02:00", "2024-05-12T00:00:02.5Z"]
)
def test_azure_times_may_name_their_zone(at):
    assert read_trace(["2024-05-12 00:00:00,1,1", f"{at},1,1"], "azure").requests[1].offset_seconds == 2.5


def test_requests_without_tokens_are_counted():
    assert read_trace(["0,1,1", "1,0,5", "2,5,0"], "csv").skipped == (("no prompt or no output tokens", 2),)


@pytest.mark.parametrize(
    ("lines", "form", "sentence"),
    [
        ([], "csv", "trace holds no request, expected t_s,"),
        (["t_s,input_tokens,output_tokens"], "csv", "holds no request"),
        (["0,0,0"], "csv", "holds no request"),
        (["1,1,1", "0.5,1,1"], "csv", "trace line 2 is 0.5 s before the line above, expected ascending times"),
        (["1,-1,1"], "csv", "trace line 1 has -1 tokens, expected 0 or more"),
        (["1,1,-7"], "csv", "trace line 1 has -7 tokens"),
        (["1,1,1000000000"], "csv", "expected at most 100,000,000"),
        (["nan,1,1"], "csv", "trace line 1 is 'nan,1,1', expected t_s,"),
        (["1,1"], "csv", "trace line 1 is '1,1'"),
        (["1,1,1,1"], "csv", "trace line 1"),
        (["yesterday,1,1"], "azure", "expected TIMESTAMP,ContextTokens,GeneratedTokens such as"),
        (["[1]"], "mooncake", "expected an object a line such as"),
        (['{"timestamp": 1}'], "mooncake", "expected an object a line"),
        (['{"timestamp": 1, "input_length": 1.5, "output_length": 1}'], "mooncake", "expected an object a line"),
        (['{"timestamp": "1", "input_length": 1, "output_length": 1}'], "mooncake", "expected an object a line"),
        (['{"timestamp": 1e999, "input_length": 1, "output_length": 1}'], "mooncake", "expected an object a line"),
        (["x" * 500], "mooncake", "…', expected"),
        (["1,1,1"], "parquet", "format is 'parquet', expected one of azure, mooncake, csv"),
    ],
)
def test_bad_input_is_one_sentence(lines, form, sentence):
    with pytest.raises(TraceError) as refused:
        read_trace(lines, form)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_too_long_a_trace_is_refused_before_memory_ends():
    with pytest.raises(TraceError, match="more than 2 requests"):
        read_trace(["0,1,1"] * 3, "csv", most_requests=2)
    with pytest.raises(TraceError, match="4 times as many are more than 3"):
        at_rate_scale(Trace("t", (TraceRequest(0, 1, 1),)), 4, Randomness(0), most_requests=3)


def test_format_by_name():
    assert (format_of("a.jsonl"), format_of("a.csv")) == ("mooncake", None)
    assert (format_of_header("t_s,input_tokens,output_tokens"), format_of_header("a,b")) == ("csv", None)


def test_requests_that_can_never_fit_are_counted():
    engine = EngineSettings(max_model_len=100, num_gpu_blocks=50)
    trace = Trace("t", (TraceRequest(0, 90, 10), TraceRequest(1, 91, 10)), (("before", 1),))
    kept = what_fits(trace, engine)
    assert kept.requests == trace.requests[:1]
    assert kept.skipped == (("before", 1), ("longer than the 100 tokens that one request may have", 1))
    with pytest.raises(TraceError, match="no request of t fits into 100 tokens"):
        what_fits(Trace("t", trace.requests[1:]), engine)


def test_rate_scale_multiplies_requests_and_keeps_the_time():
    trace = _read("azure_conv.csv", "azure")
    scaled = at_rate_scale(trace, 2.5, Randomness(1))
    assert len(scaled.requests) == pytest.approx(1000, abs=40)
    assert scaled.duration_seconds == pytest.approx(trace.duration_seconds, abs=1)
    assert list(scaled.requests) == sorted(scaled.requests, key=lambda one: one.offset_seconds)
    assert at_rate_scale(trace, 1, Randomness(1)) is trace
    assert at_rate_scale(trace, 2, Randomness(1)) == at_rate_scale(trace, 2, Randomness(1))


def test_speed_shortens_the_time():
    trace = _read("azure_conv.csv", "azure")
    assert at_speed(trace, 6).duration_seconds == pytest.approx(trace.duration_seconds / 6)
    assert at_speed(trace, 1) is trace
    assert cut_to(trace, 10).duration_seconds <= 10
    assert sum(per_second(trace).values()) == 400


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_factors_above_zero(factor):
    trace = Trace("t", (TraceRequest(0, 1, 1),))
    with pytest.raises(TraceError, match="expected a number above 0"):
        at_rate_scale(trace, factor, Randomness(0))
    with pytest.raises(TraceError, match="expected a number above 0"):
        at_speed(trace, factor)
    with pytest.raises(TraceError, match="expected one above 0"):
        generated("step", Randomness(0), factor)


def test_scales_that_leave_nothing():
    with pytest.raises(TraceError, match="leaves no request"):
        at_rate_scale(Trace("t", (TraceRequest(0, 1, 1),)), 1e-9, Randomness(0))
    with pytest.raises(TraceError, match="leaves no request"):
        generated("step", Randomness(0), 1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_generated_traffic(shape):
    trace = generated(shape, Randomness(3), 0.1)
    average = sum(SHAPES[shape](second) for second in range(3600)) / 3600
    assert len(trace.requests) / 3600 == pytest.approx(0.1 * average, rel=0.15)
    assert list(trace.requests) == sorted(trace.requests, key=lambda one: one.offset_seconds)
    assert trace == generated(shape, Randomness(3), 0.1)


def test_generated_shapes_follow_one_another():
    trace = generated("step,ramp", Randomness(3), 0.01)
    assert 3600 < trace.duration_seconds <= 7200
    with pytest.raises(TraceError, match="synthetic:steps is not known, expected one of step, ramp"):
        generated("steps", Randomness(0))


def test_random_numbers_are_the_reference_ones():
    """First numbers of splitmix64.c for the seed 1234567."""
    randomness = Randomness(1234567)
    assert [randomness.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_random_numbers_are_spread():
    randomness = Randomness(1)
    units = [randomness.unit() for _ in range(100_000)]
    assert (min(units) >= 0, max(units) < 1) == (True, True)
    assert sum(units) / 100_000 == pytest.approx(0.5, abs=0.003)
    assert {randomness.below(3) for _ in range(100)} == {0, 1, 2}
    assert sum(randomness.exponential(2) for _ in range(10_000)) / 10_000 == pytest.approx(2, rel=0.05)
    assert sorted(randomness.lognormal(5, 1) for _ in range(9_999))[5000] == pytest.approx(5, rel=0.1)


def test_halves_are_of_equal_time_and_each_begins_at_zero():
    trace = Trace("t", tuple(TraceRequest(float(at), 1 + at, 1) for at in (0, 1, 2, 9, 10)))
    first, second = halves(trace)
    assert [one.offset_seconds for one in first.requests] == [0, 1, 2]
    assert [one.offset_seconds for one in second.requests] == [4, 5]
    assert [one.prompt_tokens for one in (*first.requests, *second.requests)] == [1, 2, 3, 10, 11]
