"""Reading a stored BatchedLLM into types."""

from typing import Any

import pytest
from hypothesis import given

from batchedllm.api.reserved import RESERVED
from batchedllm.api.resource import MAX_VALUE_LENGTH, InvalidSpec, parse
from valid_specs import valid_specs


def with_model(**spec: Any) -> dict[str, Any]:
    return {"spec": {"model": {"id": "org/model"}, **spec}}


def with_schedule(**fields: str) -> dict[str, Any]:
    office = {"name": "office", "timeZone": "Europe/Berlin", "start": "0 8 * * 1-5", "end": "0 18 * * *"}
    return with_model(scaling={"schedules": [{**office, "minReplicas": 1, **fields}]})


def test_four_words_are_a_whole_resource():
    spec = parse(with_model())

    assert spec.model.id == "org/model"
    assert (spec.scaling.min_replicas, spec.scaling.max_replicas, spec.gpu.per_replica) == (1, 1, 1)


@given(valid_specs)
def test_nothing_that_was_asked_for_is_lost(spec: dict[str, Any]):
    assert parse({"spec": spec}).model_dump(by_alias=True, exclude_unset=True) == spec


REFUSED = [
    pytest.param({}, "spec", "model.id", id="no spec"),
    pytest.param({"spec": None}, "spec", "model.id", id="spec is null"),
    pytest.param({"spec": {}}, "spec.model", "required", id="no model"),
    pytest.param({"spec": {"model": {"id": ""}}}, "spec.model.id", "at least 1", id="empty id"),
    pytest.param(with_model(gpux=1), "spec.gpux", "no field", id="unknown field"),
    pytest.param(with_model(batching={"maxNumSeqs": "12"}), "spec.batching.maxNumSeqs", "integer", id="wrong type"),
    pytest.param(with_model(batching={"maxModelLen": "8k"}), "spec.batching.maxModelLen", "'auto'", id="union"),
    pytest.param(with_model(batching={"maxModelLen": 0}), "spec.batching.maxModelLen", "greater than 0", id="bound"),
    pytest.param(
        with_model(scaling={"minReplicas": 3, "maxReplicas": 2}), "spec.scaling.minReplicas", "(2)", id="replicas"
    ),
    pytest.param(
        with_model(pod={"env": [{"name": "A"}]}), "spec.pod.env[0]", "either value or valueFrom", id="environment"
    ),
    pytest.param(with_model(rollout={"maxSurge": 0}), "spec.rollout.maxUnavailable", "greater than 0", id="rollout"),
    pytest.param(
        with_model(engine={"resources": {"requests": {"nvidia.com/gpu": 1}}}),
        "spec.engine.resources.requests.nvidia.com/gpu",
        "'cpu', 'memory'",
        id="unknown resource",
    ),
    pytest.param(
        with_schedule(timeZone="Mars/Phobos"), "spec.scaling.schedules[0].timeZone", "Europe/Berlin", id="time zone"
    ),
    pytest.param(with_schedule(timeZone="Europe"), "spec.scaling.schedules[0].timeZone", "IANA", id="half a zone"),
    pytest.param(
        with_schedule(start="0 25 * * *"), "spec.scaling.schedules[0].start", "bad hour", id="hour 25 of a cron"
    ),
    pytest.param(
        with_schedule(end="0 8 30 2 *"), "spec.scaling.schedules[0].end", "bad day-of-month", id="30th of February"
    ),
    pytest.param(
        with_schedule(end="0 8 31 2,4 *"), "spec.scaling.schedules[0].end", "bad day-of-month", id="31st of April"
    ),
    pytest.param(
        with_schedule(end="0 0 */29 2 1#5"), "spec.scaling.schedules[0].end", "never comes", id="fifth Monday, the 1st"
    ),
    pytest.param(
        with_model(priority={"classes": [{"name": "a", "rank": 0, "maxQueueSeconds": 0}]}),
        "spec.priority.classes[0].maxQueueSeconds",
        "greater than or equal to 1",
        id="bound within a list",
    ),
]


@pytest.mark.parametrize(("resource", "path", "expected"), REFUSED)
def test_a_refusal_names_the_field_and_what_is_expected(resource: dict[str, Any], path: str, expected: str):
    with pytest.raises(InvalidSpec) as refusal:
        parse(resource)

    assert refusal.value.field_path == path
    assert expected in refusal.value.expected


def test_a_refusal_repeats_the_value():
    with pytest.raises(InvalidSpec, match=r'spec\.batching\.maxNumSeqs: "12": '):
        parse(with_model(batching={"maxNumSeqs": "12"}))


def test_a_long_value_is_cut():
    with pytest.raises(InvalidSpec) as refusal:
        parse(with_model(gpu=["x" * 10_000]))

    assert len(str(refusal.value)) < MAX_VALUE_LENGTH + 100


@pytest.mark.parametrize("path", RESERVED)
def test_every_reserved_field_is_refused_with_what_to_do_instead(path: str):
    resource: dict[str, Any] = with_model()
    here: Any = resource
    *parents, last = path.split(".")
    for part in parents:
        if part.endswith("[]"):
            here[part[:-2]] = [{"name": "a", "rank": 0}]
            here = here[part[:-2]][0]
        else:
            here = here.setdefault(part, {})
    here[last] = {}

    with pytest.raises(InvalidSpec) as refusal:
        parse(resource)

    assert refusal.value.field_path == path.replace("[]", "[0]")
    assert RESERVED[path].instead in refusal.value.expected
