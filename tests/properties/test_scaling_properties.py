"""What holds for every sequence of decisions, whatever the metrics say and whatever becomes of the replicas."""

import math
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.api.scaling import GpuUtilizationSignal, QueueDepthSignal, ScaleDown, ScaleUp, Scaling, Signals
from batchedllm.core.readings import FleetLoad
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.types import Decision, Fleet, Memory, ScalingState

ANY_NUMBER = st.one_of(
    st.none(),
    st.floats(0, 1e6),
    st.sampled_from([0.0, 1.0, 1e-300, 1e300, math.inf, -1.0, math.nan]),
)
SIGNALS = ["queueDepth", "tokenRate", "pastDemand", "kvCacheUsage", "latency", "gpuUtilization"]
PODS = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, max_size=3).map(tuple)


@st.composite
def policies(draw) -> Scaling:
    low = draw(st.integers(1, 20))
    return Scaling(
        mode=draw(st.sampled_from(["auto", "recommend"])),
        min_replicas=low,
        max_replicas=draw(st.integers(low, 40)),
        signals=Signals(
            queue_depth=QueueDepthSignal(per_replica=draw(st.integers(1, 100))),
            gpu_utilization=GpuUtilizationSignal(
                target=draw(st.integers(1, 100)), role=draw(st.sampled_from(["guard", "target", "off"]))
            ),
        ),
        scale_up=ScaleUp(
            max_step=draw(st.integers(1, 10)),
            period_seconds=draw(st.integers(1, 60)),
            stabilization_seconds=draw(st.integers(0, 60)),
        ),
        scale_down=ScaleDown(
            max_step=draw(st.integers(1, 10)),
            period_seconds=draw(st.integers(1, 60)),
            stabilization_seconds=draw(st.integers(0, 120)),
        ),
    )


@st.composite
def loads(draw) -> FleetLoad | None:
    """Adversarial: any numbers, contradicting each other."""
    if draw(st.integers(0, 9)) == 0:
        return None
    reporting = draw(st.integers(0, 40))
    return FleetLoad(
        reporting_replicas=reporting,
        silent_pods=draw(st.one_of(st.just(()), PODS)),
        queue_depth_total=draw(ANY_NUMBER),
        running_total=draw(ANY_NUMBER),
        kv_cache_usage_fraction_mean=draw(st.one_of(st.none(), st.floats(0, 1))),
        gpu_utilization_percent_mean=draw(st.one_of(st.none(), st.floats(0, 100))),
        tokens_per_second_total=draw(ANY_NUMBER),
        no_gpu_metrics=draw(st.booleans()),
        stalled_pods=draw(st.one_of(st.just(()), PODS)),
        full_batch=draw(st.one_of(st.none(), st.floats(0, 1e4))),
        running_max=draw(st.one_of(st.none(), st.floats(0, 1e4))),
    )


@dataclass(frozen=True)
class Look:
    """One decision of a run and what it was taken from."""

    at_seconds: float
    load: FleetLoad | None
    unschedulable: int
    decision: Decision


@st.composite
def runs(draw) -> tuple[Scaling, list[Look]]:
    """Decisions over time, each applied before the next; pods become ready or not as they please."""
    policy = draw(policies())
    wanted = draw(st.integers(policy.min_replicas, policy.max_replicas))
    state = ScalingState(policy, Fleet(wanted, wanted, 0), None, batch_limit=draw(st.sampled_from([None, 8, 256])))
    now, looks = draw(st.floats(0, 1e6)), []
    for load in draw(st.lists(loads(), min_size=1, max_size=25)):
        ready = draw(st.integers(0, wanted))
        stuck = draw(st.sampled_from([0, 0, 0, wanted - ready]))
        decision, state = decide(replace(state, fleet=Fleet(wanted, ready, wanted - ready, stuck), load=load), now)
        looks.append(Look(now, load, stuck, decision))
        wanted = decision.to_replicas
        now += draw(st.floats(0.1, 90))
    return policy, looks


@settings(deadline=None)
@given(runs())
def test_the_replicas_are_always_within_the_bounds(run) -> None:
    policy, looks = run
    assert all(policy.min_replicas <= look.decision.to_replicas <= policy.max_replicas for look in looks)


@settings(deadline=None)
@given(runs())
def test_the_steps_of_any_period_stay_within_their_limits(run) -> None:
    policy, looks = run
    changes = [(look.at_seconds, look.decision.to_replicas - look.decision.from_replicas) for look in looks]
    for limit, sign in ((policy.scale_up, 1), (policy.scale_down, -1)):
        for begins, _ in changes:
            within = [sign * by for at, by in changes if begins <= at < begins + limit.period_seconds - 1e-6]
            assert sum(by for by in within if by > 0) <= limit.max_step


def is_number(value: float | None) -> bool:
    return value is not None and 0 <= value < math.inf


@settings(deadline=None)
@given(runs())
def test_nothing_is_removed_on_unknown_and_nothing_added_where_no_node_is_found(run) -> None:
    for look in run[1]:
        load = look.load
        unknown = (
            load is None
            or load.silent_pods
            or not (is_number(load.queue_depth_total) and is_number(load.running_total))
        )
        if unknown or not load.reporting_replicas:
            assert look.decision.to_replicas >= look.decision.from_replicas
        if look.unschedulable:
            assert look.decision.to_replicas <= look.decision.from_replicas


@settings(deadline=None)
@given(runs())
def test_every_decision_explains_itself(run) -> None:
    for look in run[1]:
        decision = look.decision
        assert decision.reason
        assert "\n" not in decision.reason
        assert [candidate.signal for candidate in decision.candidates] == SIGNALS
        assert decision.retry_seconds is None or decision.retry_seconds > 0
        if decision.changes:
            assert decision.winner != "hold"


@settings(deadline=None)
@given(policies(), loads(), st.integers(0, 60), st.integers(0, 60))
def test_the_same_state_and_time_give_the_same_decision(policy: Scaling, load, wanted: int, ready: int) -> None:
    state = ScalingState(policy, Fleet(wanted, ready, max(0, wanted - ready)), load)

    assert decide(state, 5.0) == decide(state, 5.0)


@settings(deadline=None)
@given(policies(), loads(), st.integers(0, 2000))
def test_bounds_hold_at_once_for_any_fleet_there_is(policy: Scaling, load, wanted: int) -> None:
    decision, _ = decide(ScalingState(policy, Fleet(wanted, wanted, 0), load), 0.0)

    assert policy.min_replicas <= decision.to_replicas <= policy.max_replicas


def idle(replicas: int) -> FleetLoad:
    return FleetLoad(replicas, (), 0.0, 0.0, 0.0, None, 0.0, no_gpu_metrics=True)


@settings(deadline=None)
@given(policies(), st.integers(1, 40))
def test_an_idle_fleet_reaches_the_minimum_within_the_window_and_its_steps(policy: Scaling, wanted: int) -> None:
    """Looked at again only when a decision says so: at rest nothing else wakes the operator."""
    wanted, now, memory = min(policy.max_replicas, max(policy.min_replicas, wanted)), 0.0, Memory()
    down = policy.scale_down
    steps = math.ceil((wanted - policy.min_replicas) / down.max_step)
    policy = policy.model_copy(update={"mode": "auto"})
    for _ in range(steps + 3):
        decision, state = decide(ScalingState(policy, Fleet(wanted, wanted, 0), idle(wanted), memory), now)
        wanted, memory = decision.to_replicas, state.memory
        if decision.retry_seconds is None:
            break
        now += decision.retry_seconds

    assert wanted == policy.min_replicas
    assert now <= down.stabilization_seconds + steps * (down.period_seconds + 0.2) + 0.2


@settings(deadline=None)
@given(policies(), st.booleans(), st.integers(1, 10_000))
def test_replicas_that_never_become_ready_are_no_runaway(policy: Scaling, noticed: bool, queue: int) -> None:
    """The first replica is overloaded for ever and no other ever answers: steps up to the maximum, and no further;
    none at all once the operator knows that they cannot start."""
    state = ScalingState(policy.model_copy(update={"mode": "auto", "min_replicas": 1}), Fleet(1, 1, 0), None)
    overloaded = FleetLoad(1, (), float(queue), 8.0, 1.0, 100.0, 0.0)
    wanted, most = 1, 1
    for tick in range(150):
        fleet = Fleet(wanted, 1, wanted - 1, failing=wanted - 1 if noticed else 0)
        decision, state = decide(replace(state, fleet=fleet, load=overloaded), tick * 2.0)
        wanted = decision.to_replicas
        most = max(most, wanted)

    assert most <= policy.max_replicas
    if noticed:
        assert most <= 1 + policy.scale_up.max_step


@settings(max_examples=20, deadline=None)
@given(policies(), st.lists(loads(), min_size=1, max_size=8))
def test_memory_does_not_grow_with_the_number_of_decisions(policy: Scaling, some: list[FleetLoad | None]) -> None:
    state, wanted, sizes = ScalingState(policy, Fleet(1, 1, 0), None), 1, []
    for tick in range(600):
        state = replace(state, fleet=Fleet(wanted, wanted, 0), load=some[tick % len(some)])
        decision, state = decide(state, tick * 0.2)
        wanted = decision.to_replicas
        sizes.append(len(state.memory.needs) + len(state.memory.low_needs) + len(state.memory.steps))

    assert max(sizes) <= 4 * (len(some) + 42) + 2 * 60
