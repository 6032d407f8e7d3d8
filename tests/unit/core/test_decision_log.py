"""Which decisions are recorded."""

from dataclasses import replace
from datetime import timedelta

import pytest

from batchedllm.core.decision_log import MAX_DECISIONS, SETTLED_SECONDS, is_news, with_news
from batchedllm.core.scaling.schedule import Bounds
from batchedllm.core.scaling.types import Decision, SignalCandidate
from samples import NOW


def decision(before, after, *limited_by, winner="queueDepth"):
    candidates = (SignalCandidate("queueDepth", 7, "28 waiting / 4"), SignalCandidate("gpuUtilization", None, "off"))
    return Decision(before, after, winner, "28 requests wait", candidates, limited_by)


def status_with(*records, **more):
    return {"decisions": list(records), **more}


def record(before, after, *limited_by):
    return with_news(decision(before, after, *limited_by), "auto", {}, NOW.wall)[0]


def test_a_change_is_recorded_with_all_that_led_to_it():
    (made,) = with_news(decision(2, 5, "maxReplicas"), "auto", {}, NOW.wall)

    assert made == {
        "at": "2026-01-02T03:04:05Z",
        "from": 2,
        "to": 5,
        "winner": "queueDepth",
        "reason": "28 requests wait",
        "candidates": [
            {"signal": "queueDepth", "replicas": 7, "reason": "28 waiting / 4"},
            {"signal": "gpuUtilization", "reason": "off"},
        ],
        "limitedBy": ["maxReplicas"],
    }


def test_the_newest_stands_first_and_the_oldest_is_dropped():
    status = {}
    for number in range(25):
        status = status_with(*with_news(decision(number, number + 1), "auto", status, NOW.wall))

    assert [one["to"] for one in status["decisions"]] == list(range(25, 5, -1))
    assert len(status["decisions"]) == MAX_DECISIONS == 20


def test_rest_is_no_news():
    assert not is_news(decision(2, 2), "auto", {})
    assert not is_news(decision(2, 2, "scaleDown.stabilizationSeconds"), "auto", {})
    assert not is_news(decision(2, 2, "minReplicas"), "auto", {})


def test_why_the_number_cannot_change_is_recorded_once():
    status = status_with(record(2, 2, "unschedulableReplicas"))

    assert is_news(decision(2, 2, "unschedulableReplicas"), "auto", {})
    assert not is_news(decision(2, 2, "unschedulableReplicas"), "auto", status)
    assert not is_news(decision(2, 2, "scaleUp.maxStep", "unschedulableReplicas"), "auto", status)
    assert not is_news(decision(2, 2), "auto", status)
    assert is_news(decision(2, 2, "maxReplicas"), "auto", status)


def test_a_change_that_does_not_get_through_is_recorded_once():
    assert not is_news(decision(2, 5), "auto", status_with(record(2, 5)))
    assert is_news(decision(2, 6), "auto", status_with(record(2, 5)))


def test_the_same_change_after_its_reverse_is_recorded_again():
    assert is_news(decision(2, 5), "auto", status_with(record(5, 2), record(2, 5)))


def test_a_recommendation_is_recorded_when_it_changes_not_as_long_as_nobody_follows_it():
    assert is_news(decision(1, 4), "recommend", {})
    assert not is_news(decision(1, 4), "recommend", {"recommendedReplicas": 4})
    assert is_news(decision(1, 3), "recommend", {"recommendedReplicas": 4})
    assert not is_news(decision(1, 1), "recommend", {})


def kept(number, low=1, limited_by=(), **asked):
    """A number that stays, and what each signal asks for."""
    candidates = tuple(SignalCandidate(signal, replicas, signal) for signal, replicas in asked.items())
    return Decision(number, number, "hold", "stays", candidates, limited_by, bounds=Bounds(low, 9))


def later(seconds):
    return NOW.wall + timedelta(seconds=seconds)


FULL = kept(2, limited_by=("maxReplicas",), queueDepth=7, pastDemand=1)
AFTERWARDS = kept(2, queueDepth=1, pastDemand=2)


def told_after(*decisions):
    """Decisions that are taken a settled time after one another, as the status has them in the end."""
    status = {}
    for number, one in enumerate(decisions):
        status = status_with(*with_news(one, "auto", status, later(number * SETTLED_SECONDS)))
    return status["decisions"]


def test_what_keeps_the_number_long_after_the_burst_is_told_in_place_of_the_burst():
    newest, *others = told_after(decision(1, 2), kept(2, queueDepth=2, pastDemand=1), AFTERWARDS)

    assert [one["replicas"] for one in newest["candidates"]] == [1, 2]
    assert [(one["from"], one["to"]) for one in others] == [(1, 2)], "the change stays in the list"


def test_a_limit_that_is_over_no_longer_stands_first():
    newest, limit = told_after(FULL, AFTERWARDS)

    assert "limitedBy" not in newest
    assert limit["limitedBy"] == ["maxReplicas"]


def test_it_is_told_only_after_a_while_and_only_if_it_is_another_signal():
    status = status_with(*with_news(FULL, "auto", {}, NOW.wall))

    assert len(with_news(AFTERWARDS, "auto", status, later(SETTLED_SECONDS - 1))) == 1
    assert len(with_news(AFTERWARDS, "auto", status, later(SETTLED_SECONDS))) == 2
    same = kept(2, queueDepth=2, pastDemand=1)
    assert len(with_news(same, "auto", status, later(SETTLED_SECONDS))) == 1


def test_that_nothing_asks_for_the_number_any_more_is_told_as_well():
    newest, _ = told_after(FULL, kept(2, queueDepth=1, pastDemand=None))

    assert newest["candidates"][0]["replicas"] == 1


@pytest.mark.parametrize("mode", ["recommend", "external"])
def test_nothing_of_it_is_told_where_somebody_else_scales(mode):
    status = status_with(*with_news(FULL, "auto", {}, NOW.wall), recommendedReplicas=2)

    assert len(with_news(AFTERWARDS, mode, status, later(600))) == 1


def test_at_the_lower_bound_nobody_asks_who_keeps_it():
    at_rest = replace(AFTERWARDS, bounds=Bounds(2, 9))

    assert told_after(decision(1, 2), at_rest) == told_after(decision(1, 2))


def test_limits_that_come_and_go_push_no_change_out_of_the_list():
    told = told_after(decision(1, 2), *[FULL, AFTERWARDS] * MAX_DECISIONS)

    assert [one["from"] for one in told] == [2, 2, 1]
