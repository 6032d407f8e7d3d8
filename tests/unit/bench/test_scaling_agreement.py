"""Replicas on a cluster against those in the simulator: what agrees, what is played, what is told."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.api.resource import parse
from batchedllm.sim.traces.readers import read_trace
from batchedllm.sim.workload import TraceRequest
from bench import scaling_agreement
from bench.agreement import simulated, traffic
from bench.agreement.curves import Curve, Tolerance, agreement, best_constant
from bench.agreement.lived import Lived, Start, starts
from bench.agreement.report import Compared
from bench.agreement.simulated import Simulated
from bench.agreement.traffic import Phase
from bench.operator_report import filled

TOLERANCE = Tolerance(replicas=1, seconds=10.0)
BURST = Curve(((0.0, 1), (20.0, 6), (80.0, 1)))

curves = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 9)), min_size=1, max_size=8).map(
    lambda steps: Curve(tuple(sorted(steps)))
)


def later(curve: Curve, seconds: float) -> Curve:
    return Curve(tuple((at + seconds, replicas) for at, replicas in curve.steps))


# Curves


def test_a_curve_is_made_of_a_start_and_changes():
    curve = Curve.of_changes(2, [(10.0, 3), (30.0, -4)])

    assert [curve.at(at) for at in (-5, 0, 9.9, 10, 29.9, 30, 500)] == [2, 2, 2, 5, 5, 1, 1]
    assert curve.between(5, 15) == (2, 5)
    assert curve.between(31, 40) == (1, 1)
    assert curve.most == 5


@settings(deadline=None)
@given(curves)
def test_every_curve_agrees_with_itself(curve: Curve):
    assert agreement(curve, curve, 100, Tolerance(0, 0)) == 1.0


@settings(deadline=None)
@given(curves, curves)
def test_who_is_compared_with_whom_does_not_matter(one: Curve, other: Curve):
    assert agreement(one, other, 100, TOLERANCE) == agreement(other, one, 100, TOLERANCE)


def test_what_comes_some_seconds_later_or_is_one_off_agrees_and_no_more():
    assert agreement(BURST, later(BURST, 9), 100, TOLERANCE) == 1.0
    assert agreement(BURST, later(BURST, 20), 100, TOLERANCE) == pytest.approx(0.6, abs=0.02)
    assert agreement(BURST, Curve(((0.0, 1), (20.0, 7), (80.0, 2))), 100, TOLERANCE) == 1.0
    assert agreement(BURST, Curve(((0.0, 1), (20.0, 8), (80.0, 1))), 100, TOLERANCE) == pytest.approx(0.4, abs=0.02)


def test_a_curve_that_jumps_about_does_not_agree_with_a_calm_one():
    jumping = Curve(tuple((float(at), 1 if at % 2 else 6) for at in range(100)))

    assert agreement(jumping, Curve(((0.0, 6),)), 100, TOLERANCE) <= 0.5


def test_a_number_that_never_changes_gets_what_the_longest_level_gives():
    assert best_constant(BURST, 100, TOLERANCE) == pytest.approx(0.6, abs=0.02)
    assert best_constant(Curve(((0.0, 3),)), 100, TOLERANCE) == 1.0


# Traffic


def test_the_trace_is_played_at_the_speed_of_each_phase_and_begins_anew():
    every_second = [TraceRequest(float(at), 10 + at, 5) for at in range(10)]
    requests = traffic.played(every_second, (Phase(4, 0.0), Phase(4, 0.5), Phase(5, 2.0)))

    assert [round(one.offset_seconds, 1) for one in requests][:4] == [4.0, 6.0, 8.0, 8.5]
    assert len(requests) == 13
    assert [one.prompt_tokens for one in requests][-4:] == [19, 10, 11, 12]
    assert all(one.offset_seconds < 13 for one in requests)
    assert traffic.duration_seconds((Phase(4, 0.0), Phase(4, 0.5))) == 8


def test_the_recorded_slice_is_what_the_simulator_reads():
    requests = traffic.played(traffic.recorded(), scaling_agreement.PHASES)
    read = read_trace(traffic.as_csv(requests).splitlines(), "csv", "trace").requests

    assert [(one.prompt_tokens, one.output_tokens) for one in read] == [
        (one.prompt_tokens, one.output_tokens) for one in requests
    ]
    assert all(before.offset_seconds <= after.offset_seconds for before, after in pairwise(read))


# The two runs


def test_the_simulator_takes_the_manifest_and_the_start_up_time(tmp_path):
    parse(scaling_agreement.MANIFEST)
    requests = traffic.played(traffic.recorded(), (Phase(6, 0.4), Phase(20, 2.5), Phase(20, 0.1)))
    quick, slow = (simulated.run(scaling_agreement.MANIFEST, requests, startup, 2, tmp_path) for startup in (4.0, 30.0))

    assert [one.wanted.at(0) for one in quick] == [1, 1]
    assert all(one.wanted.most > 3 for one in quick)
    assert next(reason for _, reason in quick[0].decisions).startswith("1 → ")
    assert quick[0].decisions != slow[0].decisions


def test_a_start_goes_from_the_change_of_the_deployment_to_the_ready_pod():
    def pod(is_ready, told=None):
        return SimpleNamespace(is_ready=is_ready, told_startup_seconds=told)

    pods = SimpleNamespace(
        history={
            "late": [(30.1, pod(False)), (36.0, pod(True, 5.0))],
            "first": [(0.0, pod(True, 4.0))],
            "told before its change": [(19.9, pod(False)), (27.0, pod(True, 6.0))],
            "never ready": [(30.2, pod(False))],
        }
    )
    history = [(0.0, 1), (20.0, 2), (30.0, 4), (60.0, 1)]

    assert starts(history, pods) == (Start(pytest.approx(7.0), 6.0), Start(pytest.approx(6.0), 5.0))


def test_the_page_tells_shares_starts_and_replicas():
    lived = Lived(BURST, (Start(6.5, 6.0), Start(9.0, None)), 1200, ("HTTP 500",), {}, "")
    runs = [Simulated(later(BURST, delay), ()) for delay in (5, 15, 20)]
    found = Compared(lived, runs, 7.75, 100)

    assert found.shares == pytest.approx([1.0, 0.8, 0.6], abs=0.02)
    assert "| cluster and simulator, within 1 replica and 10 s | 80% | 60% |" in found.figures()
    assert "never changes, within 1 replica and 10 s | 60% | 60% |" in found.figures()
    assert "2 replicas started in 6.5 to 9.0 s, median 7.8 s" in found.starts()
    assert "Of 1,200 requests 1 failed" in found.starts()
    assert "| 30 | 6 | 1 | 1 to 6 |" in found.replicas()


def test_the_page_has_a_place_for_the_tables():
    page = scaling_agreement.DOCUMENT.read_text(encoding="utf-8")

    assert "figures of another run" in filled(page, {scaling_agreement.PART: "figures of another run"})
