"""What the demo computes from what it sees."""

import pytest

from demo.burst import Served, percentile
from demo.chart import Run, decisions, latency_curve, write
from demo.trace import SLICE, Arrival, as_dense_as, densify, read
from demo.watch import from_status, is_ready

STATUS = {
    "readyReplicas": 1,
    "wantedReplicas": 3,
    "load": {"queueDepth": 12, "running": 64, "gpuUtilization": 100},
    "decisions": [{"reason": "1 → 3: 12 requests queued"}],
    "conditions": [{"type": "Ready", "status": "True", "message": "the model answers requests"}],
    "failures": [{"pod": "a", "message": "no image"}],
}


def test_the_slice_is_the_busiest_three_minutes_of_the_trace():
    arrivals = read(SLICE.read_text().splitlines())

    assert len(arrivals) == 1409
    assert arrivals[0].at_seconds == 0
    assert 178 < arrivals[-1].at_seconds < 180


def test_a_denser_trace_has_the_same_requests_earlier():
    arrivals = [Arrival(0, 1, 1), Arrival(10, 2, 2), Arrival(40, 3, 3)]

    assert densify(arrivals, factor=4, duration_seconds=10) == [Arrival(0, 1, 1), Arrival(2.5, 2, 2)]


def test_what_the_operator_does_not_know_stays_unknown():
    seen = from_status(STATUS, at_seconds=5)

    assert (seen.ready, seen.wanted, seen.queue, seen.kv_percent) == (1, 3, 12, None)
    assert seen.decision == "1 → 3: 12 requests queued"
    assert seen.failures == ("a: no image",)
    assert is_ready(seen)
    assert not is_ready(from_status({}, 0))


def test_a_percentile_is_one_of_the_values():
    values = [float(one) for one in range(1, 101)]

    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50, 99, 100)
    assert percentile([3.0], 99) == 3
    assert percentile([], 50) is None


def test_latency_is_told_by_when_requests_were_sent_and_failures_have_none():
    served = [Served(1, 0.5, 2, 3), Served(6, 2.0, 4, 3), Served(7, None, 1, 0, "HTTP 503")]

    assert latency_curve(served) == ([5.0, 10.0], [0.5, 2.0])


def test_the_chart_is_a_picture_and_a_page_with_the_decisions(tmp_path):
    looks = [from_status({}, 0), from_status(STATUS, 5), from_status(STATUS, 6)]

    picture, page = write(Run("run", looks, [Served(1, 0.5, 2, 3)]), tmp_path)

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert page.read_text().count("12 requests queued") == 1
    assert decisions(looks) == [(5, "1 → 3: 12 requests queued")]


def test_a_trace_is_played_as_fast_as_asks_for_the_wanted_tokens():
    recorded = [Arrival(float(second), 10, 20) for second in range(1000)]  # 20 tokens/s as recorded

    played = as_dense_as(recorded, 100, 30)

    assert sum(one.output_tokens for one in played) / 30 == pytest.approx(100, rel=0.05)


def test_a_trace_that_is_too_short_is_played_as_fast_for_less_time():
    recorded = [Arrival(float(second), 10, 20) for second in range(61)]

    played = as_dense_as(recorded, 200, 30)

    assert len(played) == len(recorded)
    assert sum(one.output_tokens for one in played) / played[-1].at_seconds == pytest.approx(200, rel=0.05)
    assert as_dense_as(recorded, 1e9, 30)[-1].at_seconds < 1
