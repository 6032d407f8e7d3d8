"""Decisions on the number of replicas, each with its words, over single looks and over time."""

import math
from dataclasses import replace

import pytest

from batchedllm.api.scaling import GpuUtilizationSignal, QueueDepthSignal, ScaleDown, ScaleUp, Scaling, Signals
from batchedllm.core.readings import FleetLoad
from batchedllm.core.scaling.capacity import Capacity, held_within
from batchedllm.core.scaling.decide import AGING_SECONDS, decide
from batchedllm.core.scaling.experience import Experience
from batchedllm.core.scaling.history import History
from batchedllm.core.scaling.levels import LEVELS
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.schedule import Bounds
from batchedllm.core.scaling.types import Decision, Fleet, Memory, ScalingState
from imagined_pods import ImaginedPod, load_of


def policy(minimum: int = 1, maximum: int = 10, *, mode="auto", up=None, down=None, gpu=None, per_replica: int = 4):
    return Scaling(
        mode=mode,
        min_replicas=minimum,
        max_replicas=maximum,
        scale_up=up or ScaleUp(),
        scale_down=down or ScaleDown(),
        signals=Signals(
            queue_depth=QueueDepthSignal(per_replica=per_replica), gpu_utilization=gpu or GpuUtilizationSignal()
        ),
    )


def load(reporting: int, queue: float = 0.0, running: float = 0.0, *, gpu: float | None = None, **more) -> FleetLoad:
    values = {"silent_pods": (), "kv_cache_usage_fraction_mean": 0.0, "tokens_per_second_total": 0.0, **more}
    return FleetLoad(
        reporting_replicas=reporting,
        queue_depth_total=queue,
        running_total=running,
        gpu_utilization_percent_mean=gpu,
        **{"no_gpu_metrics": gpu is None, **values},
    )


def state(rules: Scaling, wanted: int, seen: FleetLoad | None, *, ready: int | None = None, **more) -> ScalingState:
    ready = wanted if ready is None else ready
    fleet = Fleet(
        wanted, ready, max(0, wanted - ready), **{k: more.pop(k) for k in ("unschedulable", "failing") if k in more}
    )
    return ScalingState(rules, fleet, seen, **more)


def once(rules: Scaling, wanted: int, seen: FleetLoad | None, **more) -> Decision:
    return decide(state(rules, wanted, seen, **more), 1000.0)[0]


def waited(rules: Scaling, wanted: int, seen: FleetLoad | None, seconds: float = 301.0, **more) -> Decision:
    """The decision after the same state was seen for `seconds`."""
    _, after = decide(state(rules, wanted, seen, **more), 1000.0)
    return decide(after, 1000.0 + seconds)[0]


def said(decision: Decision, signal: str) -> str:
    return next(candidate.reason for candidate in decision.candidates if candidate.signal == signal)


# What the queue asks for


def test_a_burst_adds_the_replicas_that_hold_it_and_says_so_in_one_line() -> None:
    decision = once(policy(maximum=5), 3, load(3, queue=41, running=24))

    assert (decision.from_replicas, decision.to_replicas, decision.winner) == (3, 5, "queueDepth")
    assert decision.reason == (
        "3 → 5: 41 requests queued and 24 running on 3 replicas, 4 queued per replica are expected; "
        "limited by maxReplicas 5"
    )
    assert decision.limited_by == ("maxReplicas",)
    assert decision.candidates[0].replicas == 6


def test_a_queue_of_exactly_what_is_expected_adds_nothing() -> None:
    assert once(policy(), 3, load(3, queue=12, running=24)).to_replicas == 3
    assert once(policy(), 3, load(3, queue=13, running=24)).to_replicas == 4


def test_a_replica_counts_with_its_full_batch_and_not_only_with_its_queue() -> None:
    """41 queued beside 3 batches of 100 is one replica's work, not the ten that 41/4 would ask for."""
    assert once(policy(maximum=50), 3, load(3, queue=41, running=300)).to_replicas == 4


def test_the_first_scrape_of_a_burst_is_measured_by_the_batch_learned_before() -> None:
    seen = load(1, queue=200, running=1)
    forgetful = once(policy(maximum=100, up=ScaleUp(max_step=100)), 1, seen)
    knowing = once(policy(maximum=100, up=ScaleUp(max_step=100)), 1, seen, memory=Memory(full_batch=64.0))

    assert (forgetful.to_replicas, knowing.to_replicas) == (41, 3)


def test_the_configured_batch_stands_in_until_one_is_learned() -> None:
    assert once(policy(maximum=100), 1, load(1, queue=200, running=1), batch_limit=64).to_replicas == 3


def test_a_lasting_queue_teaches_what_a_full_replica_holds() -> None:
    _, after = decide(state(policy(), 2, load(2, queue=9, running=60, full_batch=30.0)), 0.0)
    assert after.memory.full_batch == 30.0

    _, after = decide(replace(after, load=load(2, running=70, running_max=36.0)), 2.0)
    assert after.memory.full_batch == 36.0

    _, after = decide(replace(after, load=load(2, running=4, running_max=2.0)), 4.0)
    assert after.memory.full_batch == 36.0


def test_pending_replicas_count_as_capacity() -> None:
    seen = load(1, queue=20, running=8)

    assert once(policy(), 1, seen).to_replicas == 3
    assert once(policy(), 3, seen, ready=1).to_replicas == 3


def test_silent_replicas_are_counted_as_needed_on_top_of_the_known_load() -> None:
    seen = load(2, queue=20, running=16, silent_pods=("c",))

    assert once(policy(), 3, seen).to_replicas == 4


def test_a_replica_that_has_just_become_ready_is_capacity_and_not_hidden_load() -> None:
    """Otherwise every replica that starts under a queue would bring another one along."""
    seen = load(1, queue=10, running=8, silent_pods=("b",), new_pods=("b",))

    assert once(policy(), 2, seen).to_replicas == 2


# Scale-down


def test_an_idle_fleet_reaches_the_minimum_one_step_per_period() -> None:
    now, wanted, sizes = 0.0, 5, []
    current = state(policy(minimum=2), wanted, load(wanted))
    while now <= 400:
        decision, current = decide(replace(current, fleet=Fleet(wanted, wanted, 0), load=load(wanted)), now)
        if decision.changes:
            sizes.append((now, decision.to_replicas))
        wanted, now = decision.to_replicas, now + (decision.retry_seconds or 1000)

    assert sizes == [(240.0, 4), (270.0, 3), (300.0, 2)]


def test_a_load_that_fits_into_80_percent_of_fewer_batches_removes_replicas() -> None:
    fits = load(4, running=76, kv_cache_usage_fraction_mean=0.2)
    too_much = load(4, running=77, kv_cache_usage_fraction_mean=0.2)

    assert waited(policy(), 4, fits, batch_limit=32).to_replicas == 3
    assert waited(policy(), 4, too_much, batch_limit=32).to_replicas == 4


def test_a_load_that_would_fill_the_kv_cache_of_fewer_keeps_the_replicas() -> None:
    assert waited(policy(), 2, load(2, running=4, kv_cache_usage_fraction_mean=0.4)).to_replicas == 1
    assert waited(policy(), 2, load(2, running=4, kv_cache_usage_fraction_mean=0.41)).to_replicas == 2


def test_with_no_limit_known_requests_keep_their_replicas() -> None:
    assert waited(policy(), 2, load(2, running=2, kv_cache_usage_fraction_mean=None)).to_replicas == 2


def test_a_need_within_the_window_keeps_the_replicas() -> None:
    _, after = decide(state(policy(), 4, load(4)), 0.0)
    _, after = decide(replace(after, load=load(4, running=4 * 20), batch_limit=32), 200.0)
    _, after = decide(replace(after, load=load(4)), 202.0)

    decision, after = decide(after, 241.0)
    assert (decision.to_replicas, decision.limited_by) == (4, ("scaleDown.stabilizationSeconds",))
    assert decision.retry_seconds == pytest.approx(201.0)
    assert decide(after, 442.0)[0].to_replicas == 3


def test_a_restarted_operator_removes_nothing_before_it_saw_a_whole_window() -> None:
    current = state(policy(), 4, load(4))
    for now in range(0, 240, 20):
        decision, current = decide(current, float(now))
        assert decision.to_replicas == 4

    assert decide(current, 240.0)[0].to_replicas == 3


def test_a_memory_from_another_clock_is_dropped() -> None:
    _, after = decide(state(policy(), 4, load(4)), 1e6)

    decision, after = decide(after, 5.0)

    assert decision.to_replicas == 4
    assert after.memory.observed_since_seconds == 5.0


# What is unknown


@pytest.mark.parametrize(
    "seen",
    [
        None,
        load(0, silent_pods=("a", "b", "c")),
        replace(load(3), queue_depth_total=None),
        load(2, silent_pods=("c",)),
        load(3, gpu=None, no_gpu_metrics=False),
    ],
    ids=["never scraped", "all silent", "no queue", "one silent", "gpu of some"],
)
def test_nothing_is_removed_on_unknown_however_long(seen) -> None:
    decision = waited(policy(), 3, seen, seconds=10_000.0)

    assert decision.to_replicas == 3
    assert decision.winner in ("hold", "queueDepth")


def test_an_unknown_moment_starts_the_scale_down_window_again() -> None:
    _, after = decide(state(policy(), 3, load(3)), 0.0)
    _, after = decide(replace(after, load=load(2, silent_pods=("c",))), 290.0)
    _, after = decide(replace(after, load=load(3)), 292.0)

    assert decide(after, 310.0)[0].to_replicas == 3
    assert decide(after, 592.0)[0].to_replicas == 2


def test_what_is_known_may_add_replicas_while_the_rest_is_silent() -> None:
    assert once(policy(), 3, load(1, queue=50, running=8, silent_pods=("b", "c"))).to_replicas == 7


def test_an_unknown_load_is_said_in_words() -> None:
    decision = once(policy(), 3, None)

    assert decision.winner == "hold"
    assert decision.reason.startswith("stays at 3: unknown: no ready replica reports its queue")


# GPU utilization


def test_the_guard_never_adds_a_replica() -> None:
    assert once(policy(), 3, load(3, gpu=100.0)).to_replicas == 3


def test_the_guard_keeps_replicas_while_the_gpus_are_above_the_target() -> None:
    busy = waited(policy(), 3, load(3, running=9, gpu=81.0))

    assert (busy.to_replicas, busy.winner) == (3, "gpuUtilization")
    assert busy.reason == "stays at 3: GPUs 81 % busy, guard 80 %: no replica is removed"
    assert waited(policy(), 3, load(3, running=9, gpu=80.0)).to_replicas == 2


def test_the_guard_does_not_believe_a_busy_gpu_where_fewer_batches_are_known_to_have_room() -> None:
    """NVML reads 100 % from a batch of two on, at a fortieth of the throughput."""
    knowing = Memory(full_batch=64.0)

    assert waited(policy(), 3, load(3, running=102, gpu=100.0), memory=knowing).to_replicas == 2
    assert waited(policy(), 3, load(3, running=103, gpu=100.0), memory=knowing).to_replicas == 3


@pytest.mark.parametrize(("percent", "replicas"), [(72.0, 4), (88.0, 4), (90.0, 5), (100.0, 5), (40.0, 3)])
def test_the_target_role_is_the_hpas_ratio_with_its_tolerance(percent: float, replicas: int) -> None:
    rules = policy(gpu=GpuUtilizationSignal(role="target", target=80))
    assert waited(rules, 4, load(4, gpu=percent)).to_replicas == replicas


def test_switched_off_gpu_utilization_neither_keeps_nor_adds() -> None:
    decision = waited(policy(gpu=GpuUtilizationSignal(role="off")), 3, load(3, gpu=100.0))

    assert decision.to_replicas == 2
    assert said(decision, "gpuUtilization") == "off: not read"


def test_a_fleet_without_gpu_metrics_scales_by_its_queue_and_says_that_they_are_left_out() -> None:
    decision = waited(policy(), 3, load(3))

    assert decision.to_replicas == 2
    assert said(decision, "gpuUtilization").startswith("left out: no replica reports it")


def test_a_stalled_engine_is_named_and_gets_no_replicas() -> None:
    stuck = load(1, queue=50, gpu=0.0, stalled_pods=("a",), stalled_queue_depth=50.0)

    decision = waited(policy(), 1, stuck)

    assert decision.to_replicas == 1
    assert "EngineStalled: 50 requests wait in a" in decision.reason


def test_a_stalled_replica_among_others_is_replaced_in_the_count_but_its_queue_is_not() -> None:
    seen = load(3, queue=60, running=16, stalled_pods=("a",), stalled_queue_depth=50.0)

    assert once(policy(), 3, seen).to_replicas == 4
    assert waited(policy(), 3, replace(seen, queue_depth_total=50.0, running_total=0.0)).to_replicas == 2


# Limits


def test_steps_up_are_bounded_per_period() -> None:
    rules, seen = policy(maximum=50, up=ScaleUp(max_step=4)), load(1, queue=1000, running=10)
    first, after = decide(state(rules, 1, seen), 0.0)
    assert (first.to_replicas, first.limited_by, first.retry_seconds) == (5, ("scaleUp.maxStep",), 15.0)

    blocked, after = decide(replace(after, fleet=Fleet(5, 1, 4)), 5.0)
    assert (blocked.to_replicas, blocked.winner, blocked.retry_seconds) == (5, "hold", 10.0)

    assert decide(after, 15.0)[0].to_replicas == 9


def test_a_step_that_the_api_server_refused_uses_up_nothing() -> None:
    _, after = decide(state(policy(maximum=50, up=ScaleUp(max_step=4)), 1, load(1, queue=1000, running=10)), 0.0)

    assert decide(after, 1.0)[0].to_replicas == 5


def test_a_change_by_hand_counts_as_a_step() -> None:
    rules = policy(maximum=50, up=ScaleUp(max_step=4))
    _, after = decide(state(rules, 1, load(1)), 0.0)
    _, after = decide(replace(after, fleet=Fleet(4, 1, 3)), 1.0)

    assert decide(replace(after, load=load(1, queue=1000, running=10)), 2.0)[0].to_replicas == 5


def test_a_need_must_last_before_replicas_are_added_where_that_is_asked_for() -> None:
    rules = policy(up=ScaleUp(stabilization_seconds=10))
    burst, calm = load(1, queue=40, running=8), load(1)
    _, after = decide(state(rules, 1, calm), 0.0)
    first, after = decide(replace(after, load=burst), 20.0)
    assert (first.to_replicas, first.limited_by) == (1, ("scaleUp.stabilizationSeconds",))
    assert first.retry_seconds == pytest.approx(10.0)

    _, gone = decide(replace(after, load=calm), 25.0)
    assert decide(replace(gone, load=burst), 31.0)[0].to_replicas == 1
    assert decide(after, 30.0)[0].to_replicas == 4


def test_a_restarted_operator_waits_for_a_need_to_last_too() -> None:
    rules = policy(up=ScaleUp(stabilization_seconds=10))
    first, after = decide(state(rules, 1, load(1, queue=40, running=8)), 0.0)

    assert (first.to_replicas, first.limited_by) == (1, ("scaleUp.stabilizationSeconds",))
    assert decide(after, 10.0)[0].to_replicas == 4


def test_many_small_changes_by_hand_within_a_second_are_kept_as_one_step() -> None:
    _, current = decide(state(policy(maximum=50), 1, load(1)), 0.0)
    for wanted in (2, 3, 4):
        _, current = decide(replace(current, fleet=Fleet(wanted, 1, wanted - 1)), wanted / 10)

    assert [step.replicas for step in current.memory.steps] == [3]


def test_nothing_is_added_while_no_node_is_found() -> None:
    decision = once(policy(), 3, load(2, queue=50, running=8), ready=2, unschedulable=1)

    assert (decision.to_replicas, decision.limited_by) == (3, ("unschedulableReplicas",))
    assert "nothing is added while no node is found for 1 replica(s)" in decision.reason


def test_nothing_is_added_while_replicas_cannot_start() -> None:
    decision = once(policy(), 3, load(2, queue=50, running=8), ready=2, failing=1)

    assert (decision.to_replicas, decision.limited_by) == (3, ("failingReplicas",))


def test_replicas_that_cannot_start_may_still_be_removed() -> None:
    """They hold no request: a minute without a need for them is enough, and no step holds them."""
    assert waited(policy(), 3, load(1), ready=1, unschedulable=2, seconds=59.0).to_replicas == 3
    assert waited(policy(), 3, load(1), ready=1, unschedulable=2, seconds=61.0).to_replicas == 1


def test_replicas_that_serve_are_given_up_a_tenth_at_a_time() -> None:
    assert waited(policy(maximum=50), 3, load(3)).to_replicas == 2
    assert waited(policy(maximum=50), 40, load(40)).to_replicas == 36


def test_how_long_a_lower_need_must_last_follows_from_the_time_that_a_start_takes() -> None:
    def after(seconds: float, startup_seconds: float | None) -> int:
        fleet = Fleet(3, 3, 0, startup_seconds=startup_seconds)
        _, later = decide(replace(state(policy(), 3, load(3)), fleet=fleet), 1000.0)
        return decide(later, 1000.0 + seconds)[0].to_replicas

    assert (after(74, 30.0), after(76, 30.0)) == (3, 2)
    assert (after(239, None), after(241, None)) == (3, 2)
    assert (after(59, 1.0), after(61, 1.0)) == (3, 2)
    assert (after(599, 3000.0), after(601, 3000.0)) == (3, 2)


@pytest.mark.parametrize("seen", [None, load(3), load(3, queue=500, running=9)])
@pytest.mark.parametrize(
    ("wanted", "to", "winner"), [(0, 2, "minReplicas"), (1, 2, "minReplicas"), (9, 4, "maxReplicas")]
)
def test_the_bounds_hold_at_once_whatever_is_known(wanted: int, to: int, winner: str, seen) -> None:
    decision = once(policy(2, 4), wanted, seen)

    if winner == "maxReplicas" or seen is None or not seen.queue_depth_total:
        assert (decision.to_replicas, decision.winner) == (to, winner)
    assert 2 <= decision.to_replicas <= 4


def test_the_minimum_is_named_where_less_would_do() -> None:
    assert waited(policy(3), 3, load(3)).limited_by == ("minReplicas",)
    assert waited(policy(1), 1, load(1)).limited_by == ()


# Modes


def test_switched_off_nothing_is_decided_and_only_what_was_learned_is_remembered() -> None:
    learned = Experience(Capacity(full_tokens_per_second=900.0, full_samples=30.0))
    remembered = Memory(full_batch=3.0, experience=learned)
    decision, after = decide(state(policy(mode="off"), 3, load(3, queue=500), memory=remembered), 0.0)

    assert (decision.to_replicas, decision.winner, decision.changes) == (3, "off", False)
    assert (decision.reason, decision.candidates, decision.limited_by) == (
        "scaling is off: spec.replicas, or minReplicas, is kept",
        (),
        (),
    )
    assert after.memory == Memory(experience=learned)


@pytest.mark.parametrize("mode", ["recommend", "external"])
def test_a_recommendation_is_decided_as_in_auto_and_stays_the_same_while_nobody_follows_it(mode) -> None:
    rules, seen = policy(maximum=50, mode=mode, up=ScaleUp(max_step=4)), load(1, queue=1000, running=10)
    current, wished = state(rules, 1, seen), []
    for now in range(0, 60, 2):
        decision, current = decide(current, float(now))
        wished.append(decision.to_replicas)

    assert set(wished) == {5}


def test_at_rest_nothing_needs_to_be_looked_at_again() -> None:
    decision = waited(policy(), 1, load(1))

    assert (decision.changes, decision.retry_seconds, decision.winner) == (False, None, "queueDepth")


# What is remembered


def test_what_the_present_asks_for_is_remembered_as_the_load_that_it_will_serve() -> None:
    held = held_within(Capacity().late_shares(Objective(), 2.5), Objective().late_share)
    asking, after = decide(state(policy(maximum=5), 3, load(3, queue=41, running=24)), 1000.0)
    assert asking.candidates[0].replicas == 6
    assert after.memory.watch.asked == ((1000.0, 6 * held),)

    _, blind = decide(state(policy(), 3, None), 1000.0)
    assert blind.memory.watch.asked == ((1000.0, 0.0),)


def test_a_fleet_that_serves_well_is_left_as_it_is_when_it_is_first_seen() -> None:
    """Five large GPUs do 54,000 tokens per second, each more than is assumed of one."""
    pods, at_first = [ImaginedPod(f"pod-{index}") for index in range(5)], []
    now_state = state(policy(maximum=100), 5, None)
    for look in range(30):
        readings = [pod.did(2.0 * look, finished=18, running=20) for pod in pods]
        decision, now_state = decide(replace(now_state, load=load_of(*readings)), 2.0 * look)
        at_first.append(decision.to_replicas)

    assert set(at_first) == {5}


def test_a_clock_that_began_anew_forgets_what_was_seen_by_the_old_one_and_not_what_was_learned() -> None:
    learned = Experience(Capacity(full_tokens_per_second=5_000.0, full_samples=30.0))
    remembered = Memory(needs=((900.0, 9),), full_batch=30.0, busy_at_seconds=900.0, experience=learned)
    _, after = decide(state(policy(), 2, load(2, running=4), memory=remembered), 10.0)

    assert after.memory.needs[0][0] == 10.0
    assert (after.memory.full_batch, after.memory.busy_at_seconds) == (30.0, 10.0)
    assert after.memory.experience.capacity.full_tokens_per_second == 5_000.0


def test_bounds_that_sleep_or_waking_set_hold_for_this_decision_only() -> None:
    given = Bounds(0, 8, changes_in_seconds=60.0)
    _, after = decide(state(policy(0, 8), 1, load(1, running=1), scheduled=given), 1000.0)

    assert after.scheduled == given


# Numbers that no fleet can have


@pytest.mark.parametrize("number", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["stalled_queue_depth", "stalled_running", "queue_depth_total", "running_total"])
def test_a_number_that_no_fleet_can_have_is_unknown(name: str, number: float) -> None:
    decision = waited(policy(), 3, replace(load(3, queue=500, running=30), **{name: number}))

    assert decision.to_replicas == 3
    assert said(decision, "queueDepth") == "unknown: no ready replica reports its queue"


# Lateness that no replica helps


def answered_late(replicas: int = 1, queued: float = 0.0) -> ScalingState:
    """The state after each replica answered ten short requests in two seconds, each after 30 s, for two minutes."""
    pods = [ImaginedPod(f"pod-{index}") for index in range(replicas)]
    after = state(policy(), replicas, None)
    did = {"finished": 10, "prompt_tokens": 10, "output_tokens": 10, "ttft_seconds": 30, "queued": queued}
    for at in range(0, 120, 2):
        seen = load_of(*[pod.did(float(at), **did) for pod in pods])
        _, after = decide(replace(after, load=seen), float(at))
    return after


def late_answers(queued: float = 0.0) -> Decision:
    return decide(answered_late(queued=queued), 119.0)[0]


def test_late_requests_on_a_replica_with_little_to_do_are_told_to_who_recommends() -> None:
    assert late_answers().late_without_queue
    assert late_answers().to_replicas == 1


def test_late_requests_beside_a_queue_are_the_queues_matter() -> None:
    assert not late_answers(queued=5).late_without_queue


def test_lateness_keeps_replicas_for_its_minute_and_not_until_something_new_is_seen() -> None:
    """An idle fleet is decided on anew when a decision asks for it, or once a minute. Answers ended at 118 s."""
    after, now = answered_late(2, queued=5), 130.0
    fleet = Fleet(2, 2, 0, startup_seconds=10.0)
    after = replace(after, load=replace(after.load, queue_depth_total=0.0), fleet=fleet)
    decision, after = decide(after, now)
    assert said(decision, "latency").endswith("late, 2% may be: no replica is removed")

    while decision.to_replicas == 2:
        now += min(60.0, decision.retry_seconds or 60.0)
        decision, after = decide(after, now)

    minute, hold_seconds = 60.0, 60.0
    assert (decision.to_replicas, now) == (1, pytest.approx(118.0 + minute + hold_seconds, abs=AGING_SECONDS))


@pytest.mark.parametrize(
    ("fewest", "wanted", "running", "again_seconds"),
    [
        (1, 3, 64, AGING_SECONDS),
        (2, 3, 64, AGING_SECONDS),
        (3, 3, 64, None),
        (1, 4, 64, AGING_SECONDS),
        (0, 1, 1, 600.0),
    ],
)
def test_only_what_keeps_replicas_that_are_there_is_soon_looked_at_again(
    fewest: int, wanted: int, running: int, again_seconds: float | None
) -> None:
    busy = load(wanted, running=running)
    assert once(policy(fewest), wanted, busy, batch_limit=32).retry_seconds == again_seconds


def test_what_asks_for_more_than_there_are_is_not_soon_looked_at_again() -> None:
    assert once(policy(), 1, load(1, queue=13, running=24)).retry_seconds is None


def test_what_the_past_half_hour_keeps_says_the_same_a_minute_later() -> None:
    burst = Experience(history=History(unmet=tuple(100.0 * (level > 80_000) for level in LEVELS)))
    pods = [ImaginedPod(f"pod-{index}") for index in range(3)]
    _, after = decide(
        state(policy(), 3, load_of(*[pod.did(0.0) for pod in pods]), memory=Memory(experience=burst)), 0.0
    )
    kept, _ = decide(replace(after, load=load_of(*[pod.did(2.0) for pod in pods])), 2.0)

    assert (kept.winner, kept.to_replicas, kept.retry_seconds) == ("pastDemand", 3, None)
