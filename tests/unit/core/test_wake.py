"""From what a BatchedLLM's metadata and spec say to who wants it awake, and what the status tells of it."""

from dataclasses import replace

import pytest

from batchedllm.api.resource import parse
from batchedllm.core.reconcile import reconcile
from batchedllm.core.scaling.types import Wake
from batchedllm.core.wake import MAX_LENGTH, wake
from samples import DEFAULTS, NOW, gathered, resource, stored

SLEEPER = {"scaling": {"minReplicas": 0, "maxReplicas": 3}}


def asleep(**metadata):
    """A model that has scaled to zero, as the API server holds it."""
    cr = resource(SLEEPER, **metadata)
    cr["status"] |= {"wantedReplicas": 0, "wokenBy": "monday"}
    return cr


def look(cr):
    children = tuple(stored(one) for one in reconcile(gathered(cr), DEFAULTS, NOW).apply)
    for child in children:
        if child["kind"] == "Deployment":
            child["spec"]["replicas"] = 0
    return gathered(cr, children=children)


@pytest.mark.parametrize(
    ("annotation", "expected"), [(None, False), ("", False), ("monday", False), ("tuesday", True), ("x" * 999, True)]
)
def test_a_new_value_of_the_annotation_wakes(annotation, expected) -> None:
    annotations = {} if annotation is None else {"batchedllm.dev/wake": annotation}

    assert wake(asleep(annotations=annotations), parse(asleep())) == Wake(0, is_new=expected)


def test_a_long_value_is_new_only_once() -> None:
    cr = asleep(annotations={"batchedllm.dev/wake": "x" * 999})
    cr["status"]["wokenBy"] = "x" * MAX_LENGTH

    assert not wake(cr, parse(cr)).is_new


def test_a_model_that_was_just_made_is_awake() -> None:
    outcome = reconcile(gathered(resource(SLEEPER)), DEFAULTS, NOW)

    deployment = next(one for one in outcome.apply if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 1


def test_asleep_it_is_ready_and_says_how_to_wake_it() -> None:
    outcome = reconcile(look(asleep()), DEFAULTS, NOW)

    conditions = {one["type"]: (one["status"], one["reason"], one["message"]) for one in outcome.status["conditions"]}
    assert outcome.apply == ()
    assert conditions["Ready"][:2] == conditions["ScalingActive"][:2] == ("True", "ScaledToZero")
    assert conditions["EngineHealthy"][:2] == ("Unknown", "ScaledToZero")
    assert conditions["ScalingLimited"][0] == "False"
    assert 'kubectl annotate --overwrite batchedllm NAME batchedllm.dev/wake="$(date)"' in conditions["Ready"][2]


def test_a_wake_up_is_done_and_told_once() -> None:
    first = look(asleep(annotations={"batchedllm.dev/wake": "tuesday"}))
    outcome = reconcile(first, DEFAULTS, NOW)
    told = replace(first, resource={**first.resource, "status": outcome.status}, memory=outcome.memory)

    (deployment,) = (one for one in outcome.apply if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert outcome.status["wokenBy"] == "tuesday"
    assert [one.reason for one in outcome.notices if one.reason == "Scaled"] == ["Scaled"]
    assert not wake(told.resource, parse(told.resource)).is_new


def test_replicas_in_the_spec_are_the_fewest_there_are() -> None:
    cr = asleep()
    cr["spec"]["replicas"] = 2
    outcome = reconcile(look(cr), DEFAULTS, NOW)

    assert outcome.decision.to_replicas == 2
