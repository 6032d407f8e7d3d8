"""What holds for every sequence of decisions, whatever the metrics say and whatever becomes of the replicas."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from adversarial_fleets import LyingFleet, bounds, loads, objectives, policies
from batchedllm.api.scaling import ScaleUp, Scaling
from batchedllm.core.readings import FleetLoad
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.experience import Experience, from_json
from batchedllm.core.scaling.levels import LEVELS
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.schedule import Bounds, policy_bounds
from batchedllm.core.scaling.types import Decision, Fleet, Memory, ScalingState, Wake
from imagined_pods import ImaginedPod, load_of

SIGNALS = ["queueDepth", "tokenRate", "pastDemand", "kvCacheUsage", "latency", "gpuUtilization"]


@dataclass(frozen=True)
class Look:
    """One decision of a run and what it was taken from."""

    at_seconds: float
    load: FleetLoad | None
    unschedulable: int
    bounds: Bounds
    decision: Decision


@st.composite
def runs(draw, lowest: int = 1) -> tuple[Scaling, list[Look]]:
    """Decisions over time, each applied before the next; pods say what they please and become ready as they please."""
    policy, chance = draw(policies(lowest)), Random(draw(st.integers(0, 2**32)))
    pods = LyingFleet(chance)
    wanted = draw(st.integers(policy.min_replicas, policy.max_replicas))
    state = ScalingState(
        policy,
        Fleet(wanted, wanted, 0),
        None,
        batch_limit=draw(st.sampled_from([None, 8, 256])),
        objective=draw(objectives()),
        wake=Wake(floor=draw(st.sampled_from([0, 0, 3]))),
    )
    startup = draw(st.sampled_from([None, -1.0, 0.0, 30.0, 1e9, math.inf, math.nan]))
    now, looks = draw(st.floats(0, 1e6)), []
    for load in draw(st.lists(loads(), min_size=1, max_size=25)):
        ready = draw(st.integers(0, wanted))
        stuck = draw(st.sampled_from([0, 0, 0, wanted - ready]))
        seen = load and replace(load, readings=pods.readings(now))
        fleet = Fleet(wanted, ready, wanted - ready, stuck, startup_seconds=startup)
        scheduled = draw(bounds(policy)) if lowest == 0 else None
        decision, state = decide(replace(state, fleet=fleet, load=seen, scheduled=scheduled), now)
        looks.append(Look(now, seen, stuck, scheduled or policy_bounds(policy), decision))
        wanted = decision.to_replicas
        now += draw(st.one_of(st.floats(0.1, 90), st.just(2.0)))
    return policy, looks


@settings(deadline=None)
@given(runs())
def test_the_replicas_are_always_within_the_bounds(run) -> None:
    policy, looks = run
    assert all(policy.min_replicas <= look.decision.to_replicas <= policy.max_replicas for look in looks)


@settings(deadline=None)
@given(runs(lowest=0))
def test_so_they_are_where_schedules_come_and_go_and_a_model_may_sleep(run) -> None:
    assert all(look.bounds.low <= look.decision.to_replicas <= look.bounds.high for look in run[1] if look.bounds.low)
    assert all(0 <= look.decision.to_replicas <= look.bounds.high for look in run[1])


@settings(deadline=None)
@given(runs())
def test_the_steps_of_any_period_stay_within_their_limits(run) -> None:
    policy, looks = run
    changes = [(look.at_seconds, look.decision.to_replicas - look.decision.from_replicas) for look in looks]
    limits = [(policy.scale_up, 1), (policy.scale_down, -1)]
    for limit, sign in limits if policy.scale_down.max_step is not None else limits[:1]:
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
    policy, looks = run
    asked = SIGNALS if policy.signals.gpu_power is None else [*SIGNALS, "gpuPower"]
    for look in looks:
        decision = look.decision
        assert decision.reason
        assert "\n" not in decision.reason
        assert [candidate.signal for candidate in decision.candidates] == asked
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
    most, window = down.max_step or 1, 300 if down.stabilization_seconds is None else down.stabilization_seconds
    steps = math.ceil((wanted - policy.min_replicas) / most)
    policy = policy.model_copy(update={"mode": "auto"})
    for _ in range(steps + 3):
        decision, state = decide(ScalingState(policy, Fleet(wanted, wanted, 0), idle(wanted), memory), now)
        wanted, memory = decision.to_replicas, state.memory
        if decision.retry_seconds is None:
            break
        now += decision.retry_seconds

    assert wanted == policy.min_replicas
    assert now <= window + steps * (down.period_seconds + 0.2) + 0.2


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


def sizes_of(memory: Memory) -> int:
    """Return how many entries the memory holds, in all."""
    watch = memory.watch
    lists = [memory.needs, memory.low_needs, memory.steps, watch.pods, watch.asked, watch.answered, watch.traffic.cells]
    lists += [part for pod in watch.pods.values() for part in (pod.arrivals, pod.peaks)]
    return sum(len(one) for one in lists)


@settings(max_examples=3, deadline=None)
@given(policies(), st.lists(loads(), min_size=1, max_size=8), st.integers(0, 2**32), st.sampled_from([0.2, 2.0]))
def test_memory_does_not_grow_with_the_number_of_decisions(
    policy: Scaling, some: list[FleetLoad | None], seed: int, every_seconds: float
) -> None:
    """Within the time that is looked back on (600 s of arrivals by cells of two seconds) it fills; then it stays."""
    pods, state, wanted, sizes = LyingFleet(Random(seed)), ScalingState(policy, Fleet(1, 1, 0), None), 1, []
    for tick in range(2000):
        now, load = tick * every_seconds, some[tick % len(some)]
        seen = load and replace(load, readings=pods.readings(now))
        decision, state = decide(replace(state, fleet=Fleet(wanted, wanted, 0), load=seen), now)
        wanted = decision.to_replicas
        sizes.append(sizes_of(state.memory))

    assert max(sizes) <= 4 * 42 + 2 * 60 + 320 + 180 + 301 + 9 * 310
    assert len(state.memory.watch.pods) <= 9


# What is learned


def is_sound(experience: Experience) -> bool:
    """Whether all that is remembered are numbers that an experience can have: else reading it again forgets it."""
    return experience == Experience() or from_json(experience.to_json()) != Experience()


@settings(max_examples=30, deadline=None)
@given(objectives(), st.integers(0, 2**32))
def test_lies_cannot_move_what_is_learned_out_of_bounds(objective, seed: int) -> None:
    pods, state = LyingFleet(Random(seed)), ScalingState(Scaling(max_replicas=50), Fleet(4, 4, 0), None)
    state = replace(state, objective=objective)
    for tick in range(200):
        load = replace(load_of(), reporting_replicas=4, readings=pods.readings(tick * 2.0))
        _, state = decide(replace(state, load=load), tick * 2.0)
        experience = state.memory.experience
        assert is_sound(experience)
        assert 0 < experience.capacity.tokens_per_second < 1e8
        shares = experience.capacity.late_shares(objective, 2.0)
        assert all(0 <= low <= high + 1e-9 <= 1 + 1e-6 for low, high in pairwise(shares))


def honest(seconds: int, requests: int) -> Memory:
    """What is remembered of one replica that does so many requests in each two seconds, and is in time."""
    pod, state = ImaginedPod(), ScalingState(Scaling(max_replicas=50), Fleet(1, 1, 0), None)
    for at in range(0, seconds, 2):
        load = load_of(pod.did(float(at), finished=requests))
        _, state = decide(replace(state, load=load), float(at))
    return state.memory


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_a_poisoned_reading_moves_a_learned_speed_by_little(seed: int, lies: int) -> None:
    chance, capacity = Random(seed), Experience().capacity
    for _ in range(30):
        capacity = capacity.with_full(20_000.0)
    for _ in range(lies):
        capacity = capacity.with_full(chance.choice([1e-9, 1.0, 1e7, 1e300]))

    assert 20_000 * (1 - 0.5 / 30) ** lies - 1 <= capacity.tokens_per_second <= 20_000 * (1 + 1 / 30) ** lies + 1


DOCUMENT = honest(60, 5).experience.to_json()


PLACES = [(part, one) for part in ("capacity", "history", "sizes") for one in (None, *DOCUMENT[part])]
"""Each field, and each part as a whole."""
SCALARS = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.floats(), st.integers())
JSON = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=3), SCALARS, max_size=3))


@settings(deadline=None)
@given(st.sampled_from(PLACES), JSON | st.just([1e300] * len(LEVELS)))
def test_whatever_a_kept_experience_says_a_decision_is_taken(place: tuple[str, str | None], value) -> None:
    part, name = place
    experience = from_json({**DOCUMENT, part: value if name is None else {**DOCUMENT[part], name: value}})
    pod, state = (
        ImaginedPod(),
        ScalingState(Scaling(max_replicas=9), Fleet(1, 1, 0), None, Memory(experience=experience)),
    )
    for at in (0.0, 2.0, 4.0):
        decision, state = decide(replace(state, load=load_of(pod.did(at, finished=5, queued=30))), at)

    assert 1 <= decision.to_replicas <= 9


# No runaway


@settings(deadline=None, max_examples=20)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.one_of(st.integers(1, 40), st.integers(1, 1200)),
    st.integers(1, 12),
    st.sampled_from([2.0, 5.0, 15.0]),
)
def test_steady_traffic_that_could_not_be_seen_for_a_while_asks_for_nothing(
    silent: int, heard: int, missed: int, requests: int, every_seconds: float
) -> None:
    """What came meanwhile is told at once when pods are read again, and is no burst."""
    pods = [ImaginedPod(f"pod-{index}") for index in range(silent + heard - 1)]
    state = ScalingState(Scaling(max_replicas=1000), Fleet(len(pods), len(pods), 0, startup_seconds=60.0), None)
    now, most = 0.0, []
    for count, deaf in ((300, ()), (missed, pods[:silent]), (60, ())):
        asked = []
        for _ in range(count):
            now += every_seconds
            readings = [pod.did(now, finished=requests, running=8) for pod in pods]
            told = [one for one, pod in zip(readings, pods, strict=True) if pod not in deaf]
            load = load_of(*told, silent_pods=tuple(pod.name for pod in deaf))
            decision, state = decide(replace(state, load=load), now)
            asked.append(decision.to_replicas)
        most.append(max(asked[-100:]))

    assert most[2] <= most[0] + (most[0] + 9) // 10


@settings(max_examples=15, deadline=None)
@given(
    objectives(),
    st.integers(0, 3),
    st.sampled_from([0.05, 3.0, 1000.0]),
    st.sampled_from([0.01, 1.0]),
    st.sampled_from([0, 400, 3000]),
)
@example(Objective(0.001, 0.0, 0.001, 0.98), 3, 0.05, 0.01, 400)
def test_demand_that_one_replica_holds_never_grows_the_fleet_for_ever(
    objective, requests: int, ttft_seconds: float, tpot_seconds: float, idle_seconds: int
) -> None:
    """Whatever the engines say of their latency, before and after a time without requests, with answers under way."""
    policy = Scaling(max_replicas=1000, scale_up=ScaleUp(max_step=1000))
    state, wanted, most, now = ScalingState(policy, Fleet(1, 1, 0), None, objective=objective), 1, 1, 0.0
    pod = ImaginedPod()
    phases = [(300, requests), (idle_seconds, 0), (200, requests)]
    for seconds, each in phases:
        for _ in range(0, seconds, 2):
            reading = pod.did(now, finished=each, running=each, ttft_seconds=ttft_seconds, tpot_seconds=tpot_seconds)
            state = replace(state, fleet=Fleet(wanted, 1, wanted - 1), load=load_of(reading))
            decision, state = decide(state, now)
            wanted, now = decision.to_replicas, now + 2
            most = max(most, wanted)

    assert most <= 6, "where even the least load is late: the demand, and what it may grow by, over that load"


@settings(max_examples=30, deadline=None)
@given(policies(), st.lists(st.sampled_from([2.0, 2.0, 0.0, -5.0, -1e6]), max_size=30), st.integers(0, 2**32))
def test_a_clock_that_stands_still_or_jumps_back_breaks_nothing(policy: Scaling, ticks, seed: int) -> None:
    pods, now, wanted = LyingFleet(Random(seed)), 1e6, policy.min_replicas
    state = ScalingState(policy, Fleet(wanted, wanted, 0), None)
    for tick in ticks:
        now += tick
        load = replace(load_of(*pods.readings(now)), reporting_replicas=4)
        decision, state = decide(replace(state, fleet=Fleet(wanted, wanted, 0), load=load), now)
        wanted = decision.to_replicas
        assert policy.min_replicas <= wanted <= policy.max_replicas
