"""What lasting signs make of the status, the Events, and the next look."""

from dataclasses import replace
from datetime import timedelta

import pytest

from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Gathered, Now, Outcome
from samples import DEFAULTS, NOW, gathered, load, pod, resource, stored

IDLE = {"gpu_utilization_percent_mean": 20.0, "running_total": 2.0, "reporting_replicas": 2}
STALLED = {"stalled_pods": ("llama-1",), "queue_depth_total": 9.0, "stalled_queue_depth": 9.0}


def settled(mode: str = "auto", **seen) -> Gathered:
    cr = resource({"scaling": {"mode": mode, "minReplicas": 2, "maxReplicas": 5}})
    children = tuple(stored(one) for one in reconcile(gathered(cr), DEFAULTS, NOW).apply)
    pods = (pod("llama-1"), pod("llama-2"))
    return gathered(cr, children=children, pods=pods, load=load(**{"reporting_replicas": 2, **seen}))


def later(look: Gathered, outcome: Outcome, seconds: float, **changes) -> tuple[Gathered, Outcome]:
    """The look that follows what `outcome` wrote, and what comes of it `seconds` after the beginning."""
    status = outcome.status or look.resource["status"]
    look = replace(look, resource={**look.resource, "status": status}, memory=outcome.memory, **changes)
    now = Now(NOW.wall + timedelta(seconds=seconds), NOW.monotonic_seconds + seconds)
    return look, reconcile(look, DEFAULTS, now)


def condition(outcome: Outcome, kind: str) -> dict:
    return next(one for one in outcome.status["conditions"] if one["type"] == kind)


def test_a_recommendation_is_told_after_ten_minutes_in_the_status_and_once_as_an_event() -> None:
    look = settled(**IDLE)
    first = reconcile(look, DEFAULTS, NOW)
    look, told = later(look, first, 600)
    look, again = later(look, told, 900)

    assert "recommendations" not in first.status
    assert first.look_again_seconds <= 600
    (advice,) = told.status["recommendations"]
    assert (advice["kind"], advice["since"]) == ("GpuUnderused", "2026-01-02T03:14:05Z")
    assert "minReplicas keeps 2" in advice["message"]
    assert [(one.type, one.reason) for one in told.notices] == [("Normal", "GpuUnderused")]
    assert (again.status, again.notices) == (None, ())


def test_a_restarted_operator_tells_on_what_was_told_and_since_when() -> None:
    look = settled(**IDLE)
    look, told = later(look, reconcile(look, DEFAULTS, NOW), 600)
    restarted, outcome = later(look, replace(told, memory=reconcile(settled(), DEFAULTS, NOW).memory), 700)
    _, busy = later(restarted, outcome, 1299, load=load(reporting_replicas=2, gpu_utilization_percent_mean=99.0))
    _, over = later(restarted, outcome, 1300, load=load(reporting_replicas=2, gpu_utilization_percent_mean=99.0))

    assert outcome.status is None
    assert "recommendations" in (busy.status or restarted.resource["status"])
    assert "recommendations" not in over.status


def test_an_engine_that_stands_still_is_a_condition_and_an_event_with_what_to_do() -> None:
    look = settled(**STALLED)
    first = reconcile(look, DEFAULTS, NOW)
    look, told = later(look, first, 30)
    _, again = later(look, told, 60)

    assert condition(first, "EngineHealthy")["reason"] == "Healthy"
    healthy = condition(told, "EngineHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "EngineStalled")
    assert "deleting the pod starts a new one" in healthy["message"]
    assert [(one.type, one.reason) for one in told.notices] == [("Warning", "EngineStalled")]
    assert (again.status, again.notices) == (None, ())


def test_an_engine_that_moves_again_is_healthy_after_half_a_minute() -> None:
    look = settled(**STALLED)
    look, told = later(look, reconcile(look, DEFAULTS, NOW), 30)
    moving = load(reporting_replicas=2)
    look, soon = later(look, told, 59, load=moving)
    _, well = later(look, soon, 60, load=moving)

    assert condition(soon, "EngineHealthy")["reason"] == "EngineStalled"
    assert condition(well, "EngineHealthy")["reason"] == "Healthy"


@pytest.mark.parametrize("mode", ["recommend", "external"])
def test_where_others_scale_our_number_is_told_and_not_applied(mode) -> None:
    look = settled(mode, queue_depth_total=400.0, running_total=20.0)
    outcome = reconcile(look, DEFAULTS, NOW)

    assert [one for one in outcome.apply if one["kind"] == "Deployment" and one["spec"].get("replicas") != 2] == []
    assert outcome.status["recommendedReplicas"] == outcome.decision.to_replicas > 2
    assert [one.reason for one in outcome.notices] == ["Recommended"]
    assert outcome.notices[0].message.startswith(f"2 → {outcome.decision.to_replicas}: 400 requests queued")


def test_a_recommendation_of_a_version_that_knows_more_kinds_is_dropped() -> None:
    look = settled(gpu_utilization_percent_mean=99.0)
    advice = {"kind": "FromTheFuture", "message": "m", "since": "2026-01-01T00:00:00Z"}
    look = replace(look, resource={**look.resource, "status": {**look.resource["status"], "recommendations": [advice]}})

    assert "recommendations" not in reconcile(look, DEFAULTS, NOW).status
