"""What a profile is used for: where scaling starts, what a goal chooses, and what the status tells."""

import json
from pathlib import Path

import pytest

from batchedllm.api.profile_status import Profile as ProfileStatus
from batchedllm.api.resource import parse
from batchedllm.core.benchmark.pod import benchmark_key
from batchedllm.core.benchmark.profile import read_profile
from batchedllm.core.benchmark.record import Found, profile_record
from batchedllm.core.benchmark.start import begun
from batchedllm.core.benchmark.status import profile_status
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Defaults, Refusal
from batchedllm.core.scaling import experience
from batchedllm.core.scaling.capacity import UNKNOWN_TOKENS_PER_SECOND
from batchedllm.core.scaling.types import Memory
from profiles import document
from samples import NOW, gathered, pod, resource, stored

CONFIG = json.loads((Path(__file__).parents[3] / "data/model_configs/llama-3.1-8b.json").read_text())
DEFAULTS = Defaults("batchedllm.dev/engine:test", {"org/llama": {"config": CONFIG, "weightsBytes": 16_060_522_496}})
AT = "2026-01-02T03:04:05Z"


def profile(at=AT, **differs):
    return read_profile(document(**differs), at=at, asked_by="", image=DEFAULTS.engine_image)


def kept(cr, at=AT, **differs):
    found = {benchmark_key(parse(cr), DEFAULTS.engine_image): Found(document(**differs), profile(at, **differs))}
    return stored(profile_record(owner_of(cr), found, next(iter(found))))


def looked(goal, **differs):
    cr = resource({"gpu": {"product": "NVIDIA-H200"}, "batching": {"goal": goal, "maxModelLen": 8192}})
    return cr, reconcile(gathered(cr, children=(kept(cr, **differs),)), DEFAULTS, NOW)


def max_num_seqs(outcome):
    chosen = outcome.status["plan"]["chosen"]
    return next(int(one["value"]) for one in chosen if one["setting"] == "batching.maxNumSeqs")


def test_scaling_starts_from_the_measured_speed():
    memory = begun(Memory(), profile(), 64)

    assert memory.experience.capacity.tokens_per_second == pytest.approx(
        profile().tokens_per_second(1000, 200, 64), rel=1e-3
    )
    assert not memory.experience.capacity.is_known


def test_without_a_profile_it_starts_as_ever():
    assert begun(Memory(), None, 64).experience.capacity.tokens_per_second == UNKNOWN_TOKENS_PER_SECOND


def test_what_was_learned_outweighs_the_profile():
    capacity = Memory().experience.capacity
    for _ in range(20):
        capacity = capacity.with_full(3000.0)
    learned = begun(Memory(experience=experience.Experience(capacity=capacity)), profile(), None)

    assert learned.experience.capacity.tokens_per_second == pytest.approx(3000)


def test_an_experience_with_a_measured_start_is_read_again_and_one_from_before_too():
    told = begun(Memory(), profile(), None).experience.to_json()
    older = {**told, "capacity": {k: v for k, v in told["capacity"].items() if k != "assumed_tokens_per_second"}}

    assert experience.from_json(told).capacity.assumed_tokens_per_second > UNKNOWN_TOKENS_PER_SECOND
    assert experience.from_json(older).capacity == experience.Experience().capacity


@pytest.mark.parametrize(("goal", "batch"), [("latency", 32), ("balanced", 128), ("throughput", 256)])
def test_a_goal_goes_by_the_measured_curve(goal, batch):
    _, outcome = looked(goal)

    assert max_num_seqs(outcome) == batch


def test_latency_goes_by_the_users_limit():
    _, outcome = looked("latency", sweetSpot={"interTokenLimitSeconds": 0.006, "batch": 16})

    assert max_num_seqs(outcome) == 16


def test_what_was_chosen_stays_until_there_is_another_profile():
    cr, first = looked("balanced")
    cr = {**cr, "status": first.status}

    same = reconcile(gathered(cr, children=(kept(cr),)), DEFAULTS, NOW)
    measured_again = kept(cr, "2026-02-02T03:04:05Z", knee={"batch": 64, "isReached": True})
    newer = reconcile(gathered(cr, children=(measured_again,)), DEFAULTS, NOW)

    assert same.status is None or same.status["plan"]["chosen"] == first.status["plan"]["chosen"]
    assert max_num_seqs(newer) == 64


def test_the_status_tells_the_profile_in_the_form_of_its_schema():
    _, outcome = looked("balanced")

    told = ProfileStatus.model_validate(outcome.status["profile"], strict=True)
    assert (told.knee, told.gpu, len(told.curve)) == (128, "NVIDIA H200", 4)
    assert profile_status(profile()) == outcome.status["profile"]


def test_a_profile_of_other_settings_is_kept_and_not_told():
    cr, _ = looked("balanced")
    other = resource({"gpu": {"product": "NVIDIA-H200"}, "batching": {"maxNumSeqs": 3, "maxModelLen": 8192}})
    outcome = reconcile(gathered(other, children=(kept(cr),)), DEFAULTS, NOW)

    assert "profile" not in outcome.status
    assert outcome.delete == ()


def told_of(cr, **rest):
    return reconcile(gathered(cr, **rest), DEFAULTS, NOW)


def test_a_benchmark_is_a_condition_only_where_it_is_asked_for():
    asked = told_of(resource({"tuning": {"benchmark": "once"}})).status["conditions"]
    not_asked = told_of(resource()).status["conditions"]

    assert [one["status"] for one in asked if one["type"] == "Benchmarked"] == ["Unknown"]
    assert not any(one["type"] == "Benchmarked" for one in not_asked)


def test_the_end_of_a_benchmark_is_an_event_once():
    cr = resource({"tuning": {"benchmark": "once"}})
    first = told_of(cr, children=(kept(cr),))
    second = told_of({**cr, "status": first.status}, children=(kept(cr),))

    assert [one.reason for one in first.notices if one.reason == "Measured"] == ["Measured"]
    assert not any(one.reason == "Measured" for one in second.notices)


def test_a_pod_that_a_quota_refuses_is_told_and_stalls_nothing():
    cr = resource({"tuning": {"benchmark": "once"}, "scaling": {"minReplicas": 1, "maxReplicas": 1}})
    children = tuple(stored(one) for one in told_of(cr).apply)
    refusal = Refusal("Pod", "llama-benchmark-12345678", 403, "exceeded quota: gpus")
    outcome = told_of(cr, children=children, pods=(pod("llama-1"),), refusals=(refusal,))
    conditions = {one["type"]: one for one in outcome.status["conditions"]}

    assert conditions["Benchmarked"]["reason"] == "BenchmarkFailed"
    assert "exceeded quota: gpus" in conditions["Benchmarked"]["message"]
    assert "Stalled" not in conditions
    assert any(one["kind"] == "Pod" for one in outcome.apply)


def test_the_pod_of_a_benchmark_is_applied_with_the_children():
    cr = resource({"tuning": {"benchmark": "once"}, "scaling": {"minReplicas": 1, "maxReplicas": 1}})
    children = tuple(stored(one) for one in told_of(cr).apply)
    made = told_of(cr, children=children, pods=(pod("llama-1"),))

    assert next(one["metadata"]["name"] for one in made.apply if one["kind"] == "Pod").startswith("llama-benchmark-")
