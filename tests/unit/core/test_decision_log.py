"""Which decisions are recorded."""

from batchedllm.core.decision_log import MAX_DECISIONS, is_news, with_news
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
