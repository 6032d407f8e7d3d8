"""What is recommended: seen for long before it is told, gone for long before it is told no more."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.api.resource import parse
from batchedllm.api.scaling import Scaling
from batchedllm.core.scaling import signs
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.recommendations import PATIENCE_SECONDS, Scene, found
from batchedllm.core.scaling.schedule import Bounds
from batchedllm.core.scaling.signs import Sign
from batchedllm.core.scaling.types import Decision, Fleet, ScalingState, SignalCandidate
from imagined_pods import ImaginedPod, load_of
from samples import load

LIKE_TEN_MINUTES = {"Cold": 600.0}


def scene(wanted: int = 3, *, bounds: Bounds = Bounds(1, 8), batching=None, mode="auto", fleet=None, **seen) -> Scene:  # noqa: B008 - a value
    candidates = seen.pop("candidates", ())
    limited_by, more = (
        seen.pop("limited_by", ()),
        {k: seen.pop(k) for k in ("late_without_queue", "given_up") if k in seen},
    )
    spec = parse(
        {"spec": {"model": {"id": "m"}, "scaling": {"mode": mode, "maxReplicas": 8}, "batching": batching or {}}}
    )
    decision = Decision(wanted, wanted, "hold", "", candidates, limited_by, bounds=bounds, **more)
    pods = fleet or Fleet(wanted, wanted, 0)
    return Scene(
        spec, pods, load(**{"reporting_replicas": wanted, "gpu_utilization_percent_mean": 95.0, **seen}), decision
    )


# What is seen


def test_a_fleet_that_is_busy_and_holds_its_slo_is_left_alone() -> None:
    assert found(scene()) == {}


def test_gpus_that_have_nothing_to_do_with_nothing_waiting_ask_for_fewer_replicas() -> None:
    words = found(scene(gpu_utilization_percent_mean=69.0))["GpuUnderused"]

    assert "the GPUs of 3 replicas are less than 70 % busy and nothing waits" in words
    assert "replicas are removed as the scale-down windows pass" in words
    assert "batching.maxNumSeqs, now the engine's default" in words
    set_one = found(scene(wanted=2, gpu_utilization_percent_mean=69.0, batching={"maxNumSeqs": 64}))["GpuUnderused"]
    assert "the GPUs of 2 replicas" in set_one
    assert "batching.maxNumSeqs, now 64" in set_one
    ten = {"wanted": 10, "gpu_utilization_percent_mean": 69.0, "bounds": Bounds(1, 20)}
    assert "GpuUnderused" in found(scene(queue_depth_total=1.0, **ten)), "a tenth of a request for each is no queue"
    assert "GpuUnderused" not in found(scene(queue_depth_total=1.1, **ten))


@pytest.mark.parametrize(
    "busy",
    [
        {"gpu_utilization_percent_mean": 70.0},
        {"gpu_utilization_percent_mean": None},
        {"queue_depth_total": 1.0},
        {"queue_depth_total": None},
        {"silent_pods": ("a",)},
        {"wanted": 1},
    ],
)
def test_gpus_are_not_called_idle_when_they_are_not_or_nobody_knows(busy) -> None:
    assert "GpuUnderused" not in found(scene(**{"gpu_utilization_percent_mean": 10.0, **busy}))


def test_where_the_minimum_keeps_idle_gpus_it_is_named() -> None:
    bounds = Bounds(3, 8, low_by="schedule:office")
    words = found(scene(gpu_utilization_percent_mean=10.0, bounds=bounds))["GpuUnderused"]

    assert words.endswith("but schedule:office keeps 3: lower it, fewer replicas with larger batches do")


def test_who_scales_himself_is_told_to_run_fewer() -> None:
    words = found(scene(gpu_utilization_percent_mean=10.0, mode="external", batching={"maxNumSeqs": 64}))[
        "GpuUnderused"
    ]

    assert words.endswith("run fewer; each takes up to batching.maxNumSeqs requests, now 64")


def test_late_requests_without_a_queue_ask_for_a_smaller_batch_and_not_for_replicas() -> None:
    words = found(scene(late_without_queue=True, batching={"maxNumBatchedTokens": 8192}))["LateWithoutQueue"]

    assert words.startswith("more requests are late than the SLO allows although few wait and the replicas have little")
    assert "more replicas would not help" in words
    assert "lower batching.maxNumBatchedTokens, now 8192 or set batching.goal: latency" in words


def test_a_load_beyond_the_maximum_asks_to_raise_what_bounds_it() -> None:
    candidates = (SignalCandidate("queueDepth", 12, ""), SignalCandidate("gpuUtilization", None, ""))
    words = found(scene(8, limited_by=("maxReplicas",), candidates=candidates))["MaxReplicasReached"]

    assert words == "more than the 8 replicas of maxReplicas are needed; 12 are asked for: raise it"
    held = found(scene(8, limited_by=("maxReplicas",), candidates=(SignalCandidate("queueDepth", 8, ""),)))
    assert held["MaxReplicasReached"] == "more than the 8 replicas of maxReplicas are needed: raise it"
    assert found(scene(8, limited_by=("maxReplicas",)))["MaxReplicasReached"] == held["MaxReplicasReached"]


def test_being_at_the_maximum_without_needing_more_is_no_news() -> None:
    assert "MaxReplicasReached" not in found(scene(8))


def test_replicas_without_a_node_ask_for_nodes_with_the_schedulers_words() -> None:
    waiting = Fleet(3, 1, 2, unschedulable=2, unschedulable_reason="0/3 nodes")

    assert found(scene(fleet=waiting))["NoNodeForReplicas"].endswith("what the cluster holds: 0/3 nodes")
    silent = found(scene(fleet=Fleet(3, 1, 2, unschedulable=2)))["NoNodeForReplicas"]
    assert silent.endswith("what the cluster holds: replicas find no node")
    assert found(scene(given_up="2 replicas found no node"))["NoNodeForReplicas"].endswith("2 replicas found no node")


def test_stalled_engines_are_named_a_few_of_them() -> None:
    words = found(scene(stalled_pods=("a", "b", "c", "d")))["EngineStalled"]

    assert words.startswith("requests wait in a, b, c and others, where neither tokens nor the GPU move")
    assert found(scene(stalled_pods=("a",)))["EngineStalled"] == (
        "requests wait in a, where neither tokens nor the GPU move; no replica is added for them. Look at "
        "the engine's log; deleting the pod starts a new one"
    )
    assert found(scene(stalled_pods=("a", "b", "c")))["EngineStalled"].startswith("requests wait in a, b, c, where")


def test_without_any_reading_nothing_is_recommended() -> None:
    assert found(replace(scene(), load=None)) == {}


# When it is told


def told(*looks: tuple[float, bool], start: tuple[Sign, ...] = ()) -> list[bool]:
    known, answers = start, []
    for at, is_seen in looks:
        known = signs.update(known, {"Cold": f"seen at {at}"} if is_seen else {}, at, LIKE_TEN_MINUTES)
        answers.append(any(sign.is_told for sign in known))
    return answers


def test_a_sign_is_told_once_it_was_seen_for_its_time() -> None:
    assert told((0, True), (599, True), (600, True)) == [False, False, True]


def test_a_short_interruption_does_not_count_and_a_longer_one_begins_anew() -> None:
    assert told((0, True), (300, True), (310, False), (359, True), (600, True))[-1]
    assert not told((0, True), (300, True), (360, False), (361, True), (600, True))[-1]


def test_what_is_told_stays_until_it_was_gone_for_as_long() -> None:
    assert told((0, True), (600, True), (700, False), (1199, False), (1200, False)) == [False, True, True, True, False]


def test_the_words_of_what_is_told_do_not_change() -> None:
    known = ()
    for at in (0.0, 600.0, 700.0):
        known = signs.update(known, {"Cold": f"seen at {at}"}, at, LIKE_TEN_MINUTES)

    assert [sign.message for sign in known] == ["seen at 600.0"]


def test_what_a_process_before_told_is_told_on_and_ends_like_any_other() -> None:
    adopted = signs.adopted((), {"Cold": "before"}, 5000.0)

    assert told((5000.0, False), (5599.0, False), (5600.0, False), start=adopted) == [True, True, False]
    assert adopted == (Sign("Cold", "before", 5000.0, 5000.0, is_told=True),)
    assert signs.adopted(adopted, {"Cold": "other"}, 6000.0) == adopted


def test_what_is_told_is_last_seen_when_it_was_and_signs_are_in_order() -> None:
    patience = {**LIKE_TEN_MINUTES, "Warm": 600.0}
    known = (Sign("Warm", "w", 0.0, 700.0, is_told=True), Sign("Cold", "c", 0.0, 650.0, is_told=True))

    assert signs.update(known, {"Warm": "again"}, 800.0, patience) == (
        Sign("Cold", "c", 0.0, 650.0, is_told=True),
        Sign("Warm", "w", 0.0, 800.0, is_told=True),
    )


def test_the_next_change_is_known_although_nothing_happens() -> None:
    waiting = (Sign("Cold", "", 100.0, 300.0),)
    assert signs.changes_in_seconds(waiting, 300.0, LIKE_TEN_MINUTES) == 400.0
    assert signs.changes_in_seconds(waiting, 310.0, LIKE_TEN_MINUTES) == 50.0, "the interruption is over first"
    assert signs.changes_in_seconds(waiting, 359.5, LIKE_TEN_MINUTES) == 0.5
    lasting = (Sign("Cold", "", 100.0, 800.0, is_told=True),)
    assert signs.changes_in_seconds(lasting, 800.0, LIKE_TEN_MINUTES) is None
    assert signs.changes_in_seconds(lasting, 900.0, LIKE_TEN_MINUTES) == 500.0


def test_signs_of_another_clock_are_dropped() -> None:
    assert signs.update((Sign("Cold", "", 9e9, 9e9),), {}, 0.0, LIKE_TEN_MINUTES) == ()


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 400), st.booleans()), max_size=60))
def test_nothing_flaps(steps) -> None:
    """Whatever is seen, two changes of what is told lie ten minutes apart."""
    at, looks = 0.0, []
    for gap, is_seen in steps:
        at += gap
        looks.append((at, is_seen))
    answers = told(*looks)
    changes = [
        time for (time, _), before, after in zip(looks[1:], answers, answers[1:], strict=False) if before != after
    ]

    assert all(later - earlier >= 600 for earlier, later in pairwise(changes) if later)


def test_a_stalled_engine_is_told_sooner_than_advice() -> None:
    assert PATIENCE_SECONDS["EngineStalled"] < min(
        seconds for kind, seconds in PATIENCE_SECONDS.items() if kind != "EngineStalled"
    )


# What decisions say


@pytest.mark.parametrize(("ttft_seconds", "expected"), [(9.0, True), (0.1, False)])
def test_a_decision_tells_that_requests_are_late_though_little_is_to_do(ttft_seconds: float, expected: bool) -> None:
    engine, state = ImaginedPod("a"), ScalingState(Scaling(max_replicas=9), Fleet(1, 1, 0), None)
    for second in range(0, 60, 2):
        reading = engine.did(float(second), finished=2, prompt_tokens=200, output_tokens=50, ttft_seconds=ttft_seconds)
        decision, state = decide(replace(state, load=load_of(reading)), float(second))

    assert decision.late_without_queue is expected
