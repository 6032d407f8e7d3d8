"""What is learned outlives the operator, in a ConfigMap that is written seldom and only for news."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.core.learned import MATERIAL, differs
from batchedllm.core.readings import LatencyHistogram, PodReading
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Now
from batchedllm.core.scaling.experience import from_json
from batchedllm.core.scaling.types import Memory, Spending
from samples import DEFAULTS, NOW, gathered, load, pod, resource, stored

SCALING = {"maxReplicas": 9, "prediction": "seasonal"}
BUSY = {"queue_depth_total": 60.0, "running_total": 20.0}


def at(seconds: float) -> Now:
    return Now(NOW.wall + timedelta(seconds=seconds), NOW.monotonic_seconds + seconds)


class Operator:
    """Reconciles one model, and carries out what comes of it."""

    def __init__(self, **spec) -> None:
        cr = resource({"scaling": SCALING, **spec})
        children = tuple(stored(one) for one in reconcile(gathered(cr), DEFAULTS, NOW).apply)
        self.look = gathered(cr, children=children, pods=(pod("llama-1"),))
        self.writes = 0

    def round(self, seconds: float, **fleet):
        outcome = reconcile(replace(self.look, load=load(**fleet)), DEFAULTS, at(seconds))
        children = {(one["kind"], one["metadata"]["name"]): one for one in self.look.children}
        for one in outcome.apply:
            self.writes += one["kind"] == "ConfigMap"
            if one["kind"] == "ConfigMap":
                children[one["kind"], one["metadata"]["name"]] = stored(one)
        for one in outcome.delete:
            del children[one.kind, one.name]
        status = outcome.status or self.look.resource["status"]
        cr = {**self.look.resource, "status": status}
        self.look = replace(self.look, resource=cr, children=tuple(children.values()), memory=outcome.memory)
        return outcome

    def restart(self) -> None:
        self.look = replace(self.look, memory=Memory())

    def change(self, **spec) -> None:
        cr = self.look.resource
        self.look = replace(self.look, resource={**cr, "spec": {**cr["spec"], **spec}})

    def without_config_map(self) -> None:
        self.look = replace(self.look, children=tuple(one for one in self.look.children if one["kind"] != "ConfigMap"))

    def config_map(self) -> dict:
        return next((one for one in self.look.children if one["kind"] == "ConfigMap"), {})


def test_nothing_is_kept_before_there_is_anything_to_keep() -> None:
    operator = Operator()
    operator.round(0)

    assert operator.writes == 0


def test_what_was_learned_is_kept_with_what_it_was_learned_of_and_goes_with_the_model() -> None:
    operator = Operator()
    operator.round(0, **BUSY)

    kept = operator.config_map()
    assert kept["metadata"]["name"] == "llama-learned"
    assert kept["metadata"]["ownerReferences"][0]["kind"] == "BatchedLLM"
    assert '"id":"org/llama"' in kept["data"]["of.json"]
    assert '"seasons":[[' in kept["data"]["learned.json"]


def test_a_write_is_no_news_for_anybody() -> None:
    outcome = Operator().round(0, **BUSY)

    assert "ConfigMap" not in "".join(one.message for one in outcome.notices)
    assert all("ConfigMap" not in one["message"] for one in outcome.status["conditions"])


def test_a_restarted_operator_knows_what_was_learned() -> None:
    operator = Operator()
    operator.round(0, **BUSY)
    before = operator.look.memory.seasons
    operator.restart()
    operator.round(10)

    assert operator.look.memory.seasons == before != ()
    assert operator.writes == 1


def test_what_a_budget_was_spent_on_is_kept_whatever_is_served_since() -> None:
    operator, wall = Operator(scaling={**SCALING, "budget": {"replicaHoursPerDay": 48}}), NOW.wall.timestamp()
    operator.look = replace(operator.look, memory=Memory(spending=Spending(((int(wall // 3600), 3.0),), wall)))
    operator.round(0, **BUSY)
    operator.restart()
    operator.change(engine={"image": "another"})

    assert operator.round(10).decision.spent_replica_hours == pytest.approx(24 + 3, abs=0.1)
    assert operator.round(20).decision.spent_replica_hours == pytest.approx(24 + 3, abs=0.1)


def test_it_is_written_for_news_and_at_most_every_five_minutes() -> None:
    operator = Operator()
    for seconds in range(0, 3600, 30):
        operator.round(seconds, queue_depth_total=60.0 + seconds / 10, running_total=20.0)

    assert 6 <= operator.writes <= 12


def test_the_last_news_is_written_once_they_may_be_and_then_no_more() -> None:
    operator = Operator()
    operator.round(0, **BUSY)
    operator.round(100, queue_depth_total=160.0, running_total=20.0)
    assert operator.writes == 1
    operator.round(300)
    operator.round(900)

    assert operator.writes == 2


@pytest.mark.parametrize(
    "change", [{"batching": {"maxNumSeqs": 8}}, {"model": {"id": "org/other"}}, {"engine": {"image": "other"}}]
)
def test_what_was_learned_of_something_else_does_not_count_and_makes_place_for_what_is_learned_now(change) -> None:
    operator = Operator()
    operator.round(0, **BUSY)
    before = operator.config_map()["data"]
    operator.change(**change)
    operator.round(400)

    assert operator.look.memory.seasons == ()
    assert operator.config_map()["data"] == before
    operator.round(1000, **BUSY)
    assert operator.config_map()["data"]["of.json"] != before["of.json"]


def test_a_change_that_is_taken_back_costs_nothing_of_what_was_learned() -> None:
    operator = Operator()
    operator.round(0, **BUSY)
    before = operator.look.memory.seasons
    operator.change(batching={"maxNumSeqs": 8})
    operator.round(400)
    operator.change(batching={})
    operator.round(410)

    assert operator.look.memory.seasons == before


def test_where_the_model_comes_from_and_how_it_scales_changes_nothing_of_it() -> None:
    operator = Operator()
    operator.round(0, **BUSY)
    before = operator.look.memory.seasons
    operator.change(
        model={"id": "org/llama", "source": {"pvc": {"claimName": "a"}}}, scaling={**SCALING, "maxReplicas": 5}
    )
    operator.round(10)

    assert operator.look.memory.seasons == before


def test_deleting_the_config_map_makes_the_running_operator_forget() -> None:
    operator = Operator()
    operator.round(0, **BUSY)
    operator.round(10)
    operator.without_config_map()
    operator.round(20)

    assert operator.look.memory.seasons == ()
    assert operator.config_map() == {}


def test_a_config_map_that_cannot_be_read_is_replaced() -> None:
    operator = Operator()
    operator.round(0, **BUSY)
    operator.config_map()["data"]["learned.json"] = "{oops"
    operator.restart()
    operator.round(10)
    operator.round(20, **BUSY)

    assert operator.config_map()["data"]["learned.json"].startswith('{"experience"')


def test_while_scaling_is_off_what_is_kept_stays() -> None:
    operator = Operator()
    operator.round(0, **BUSY)
    before = operator.config_map()["data"]
    operator.change(scaling={"mode": "off"})
    operator.round(400)
    operator.round(800)

    assert operator.config_map()["data"] == before
    assert operator.writes == 1


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, False),
        ({"a": 100}, {"a": 109}, False),
        ({"a": 100}, {"a": 112}, True),
        ({"a": 1}, {"b": 1}, True),
        ([1, 2], [1, 2, 3], True),
        ([[5, "x"]], [[5, "y"]], True),
        ({"a": None}, {"a": 0}, True),
        ({"a": True}, {"a": False}, True),
        ({"a": [1.0]}, {"a": {"b": 1.0}}, True),
    ],
)
def test_what_is_material(before, after, expected) -> None:
    assert differs(before, after) is expected


@settings(deadline=None)
@given(st.floats(1e-6, 1e9), st.floats(-MATERIAL / 2, MATERIAL / 2))
def test_noise_is_never_material_at_any_scale(value: float, noise: float) -> None:
    assert not differs({"capacity": [value]}, {"capacity": [value * (1 + noise)]})


def seen(seconds: float, requests: float) -> dict:
    """One pod that has answered so many requests since its start, all at once."""
    first = LatencyHistogram((0.5,), (requests, requests))
    reading = PodReading(
        "llama-1",
        NOW.monotonic_seconds + seconds,
        queue_depth=0.0,
        running=0.0,
        prompt_tokens_total=requests * 100,
        generation_tokens_total=requests * 50,
        finished_total=requests,
        time_to_first_token=first,
        time_per_output_token=first,
    )
    return {"readings": (reading,), "tokens_per_second_total": 0.0}


def test_at_rest_nothing_is_written_though_what_was_learned_fades() -> None:
    operator = Operator()
    for second in range(0, 600, 10):
        operator.round(second, **{**seen(second, second * 2.0), "running_total": 3.0})
    busy = operator.writes
    operator.round(900, **seen(900, 1200.0))
    settled = operator.writes
    learned = operator.look.memory.experience
    for second in range(960, 4 * 3600, 60):
        operator.round(second, **seen(second, 1200.0))

    assert busy >= 1
    assert operator.writes == settled <= busy + 1
    assert operator.look.memory.experience != learned, "it fades"


def test_capacity_is_kept_as_well() -> None:
    operator = Operator(scaling={"maxReplicas": 9})
    for second in range(0, 700, 10):
        operator.round(second, **{**seen(second, second * 2.0), "running_total": 3.0})
    kept = from_json(json.loads(operator.config_map()["data"]["learned.json"])["experience"])
    operator.restart()
    operator.round(700)

    assert sum(kept.capacity.answered) > 0
    assert operator.look.memory.experience.capacity.answered == kept.capacity.answered
