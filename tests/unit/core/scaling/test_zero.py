"""Scaling to zero after a time without a request, and waking again when somebody asks."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.api.scaling import ScaleDown, Scaling
from batchedllm.core.readings import FleetLoad
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.schedule import Bounds
from batchedllm.core.scaling.types import Decision, Fleet, Memory, ScalingState, Wake

POLICY = Scaling(
    min_replicas=0, max_replicas=3, idle_seconds=600, scale_down=ScaleDown(stabilization_seconds=60, period_seconds=10)
)
IDLE = FleetLoad(1, (), 0.0, 0.0, 0.0, None, 0.0, no_gpu_metrics=True)
BUSY = replace(IDLE, running_total=1.0, tokens_per_second_total=50.0)


class Model:
    """A model whose pods follow what is decided."""

    def __init__(self, wanted: int = 1, policy: Scaling = POLICY) -> None:
        self.now, self.wanted, self.ready = 1000.0, wanted, wanted
        self.state = ScalingState(policy, Fleet(0, 0, 0), None)

    def look(self, seconds: float = 0.0, load: FleetLoad | None = IDLE, **changes) -> Decision:
        self.now += seconds
        if self.wanted == 0:
            load = None
        fleet = Fleet(self.wanted, min(self.ready, self.wanted), max(0, self.wanted - self.ready))
        state = replace(self.state, fleet=fleet, load=load, wake=Wake(), **changes)
        decision, self.state = decide(state, self.now)
        self.wanted = decision.to_replicas
        return decision


def test_after_its_time_without_a_request_no_replica_is_left() -> None:
    model = Model()
    model.look()

    assert model.look(599).to_replicas == 1
    decision = model.look(1)
    assert (decision.to_replicas, decision.winner, decision.limited_by) == (0, "idle", ("idle",))
    assert decision.reason.endswith("no request for 600 s, so no replica is kept")
    assert not decision.is_capped


def test_the_end_of_the_time_is_looked_for_although_nothing_happens() -> None:
    model = Model()

    assert model.look().retry_seconds == 600
    assert model.look(450).retry_seconds == 150
    assert model.look(150).retry_seconds is None


@pytest.mark.parametrize(
    "load",
    [
        BUSY,
        replace(IDLE, queue_depth_total=1.0),
        replace(IDLE, tokens_per_second_total=0.1),
        replace(IDLE, tokens_per_second_total=None),
        replace(IDLE, running_total=None),
        replace(IDLE, silent_pods=("llama-2",)),
        None,
    ],
    ids=["running", "queued", "answered between two looks", "tokens unknown", "batch unknown", "silent", "no reading"],
)
def test_a_request_or_anything_unknown_begins_the_time_anew(load) -> None:
    model = Model(policy=POLICY.model_copy(update={"max_replicas": 1}))
    model.look()
    model.look(599, load)

    assert model.look(599).to_replicas == 1
    assert model.look(1).to_replicas == 0


def test_a_replica_that_starts_is_waited_for_and_then_has_the_whole_time() -> None:
    model = Model()
    model.ready = 0
    model.look(0, None)
    model.look(5000, None)
    model.ready = 1

    assert model.look(1).to_replicas == 1
    assert model.look(599).to_replicas == 0


def test_asleep_it_stays_asleep_also_for_an_operator_that_has_just_started() -> None:
    model = Model(wanted=0)

    assert [model.look(at).to_replicas for at in (0, 10_000)] == [0, 0]
    assert model.look().retry_seconds is None


def test_a_restarted_operator_does_not_put_to_sleep_what_it_has_not_watched() -> None:
    assert Model().look().to_replicas == 1


def test_woken_it_has_one_replica_for_its_time() -> None:
    model = Model(wanted=0)
    model.look()
    model.state = replace(model.state, wake=Wake(is_new=True))
    decision, model.state = decide(replace(model.state, fleet=Fleet(0, 0, 0)), model.now)
    model.wanted = decision.to_replicas

    assert (decision.to_replicas, decision.winner) == (1, "wake")
    assert decision.reason.endswith("awake until 600 s have passed without a request")
    model.ready = 1
    assert [model.look(at).to_replicas for at in (599, 1)] == [1, 0]


def test_the_scale_subresource_keeps_replicas_until_it_lets_go() -> None:
    model = Model(wanted=0)
    kept, state = decide(replace(model.state, fleet=Fleet(0, 0, 0), wake=Wake(floor=2)), 0.0)
    later, _ = decide(replace(state, fleet=Fleet(2, 2, 0), load=replace(IDLE, reporting_replicas=2)), 90_000.0)
    too_many, _ = decide(replace(model.state, fleet=Fleet(0, 0, 0), wake=Wake(floor=9)), 0.0)

    assert (kept.to_replicas, kept.winner, later.to_replicas) == (2, "spec.replicas", 2)
    assert too_many.to_replicas == 3


def test_a_schedule_keeps_it_awake() -> None:
    office = Bounds(1, 3, low_by="schedule:office")
    decision, _ = decide(ScalingState(POLICY, Fleet(0, 0, 0), None, scheduled=office), 0.0)

    assert (decision.to_replicas, decision.winner) == (1, "schedule:office")


def test_awake_it_scales_as_any_other() -> None:
    model = Model()

    assert model.look(0, replace(BUSY, queue_depth_total=90.0)).to_replicas == 3


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0.5, 700), st.sampled_from([IDLE, BUSY, None])), max_size=30))
def test_it_sleeps_only_when_all_was_known_to_be_idle_for_the_whole_time(looks) -> None:
    model, idle_since = Model(), None
    for seconds, load in looks:
        before = model.wanted
        decision = model.look(seconds, load)
        if load is not IDLE or before == 0:
            idle_since = None
        elif idle_since is None:
            idle_since = model.now
        if before > 0 and decision.to_replicas == 0:
            assert load is IDLE
            assert model.state.memory.busy_at_seconds <= model.now - 600 + 1e-6


def test_with_a_minimum_nothing_of_this_matters() -> None:
    model = Model(policy=POLICY.model_copy(update={"min_replicas": 1}))
    model.look()

    assert model.look(10_000).to_replicas == 1
    assert model.state.memory == replace(model.state.memory, busy_at_seconds=1000.0)
    assert isinstance(model.state.memory, Memory)
