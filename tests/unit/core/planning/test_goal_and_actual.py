"""What a goal chooses and keeps, and what is made of the engines' own numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from batchedllm.core.memory.correction import CorrectionKey, learn
from batchedllm.core.memory.plan_types import Correction
from batchedllm.core.readings import PodReading
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Defaults
from samples import NOW, gathered, load, pod, resource, stored

CONFIG = json.loads((Path(__file__).parents[3] / "data/model_configs/llama-3.1-8b.json").read_text())
DEFAULTS = Defaults("batchedllm.dev/engine:test", {"org/llama": {"config": CONFIG, "weightsBytes": 16_060_522_496}})
GPU = {"gpu": {"product": "NVIDIA-H200"}}
KEY = CorrectionKey("batchedllm.dev/engine:test", "NVIDIA-H200", "llama")


def condition(outcome, kind="MemoryPlanned"):
    return next((one for one in outcome.status["conditions"] if one["type"] == kind), None)


def arguments(outcome):
    deployment = next(one for one in outcome.apply if one["kind"] == "Deployment")
    return deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def chosen(outcome):
    return {one["setting"]: one["value"] for one in outcome.status["plan"].get("chosen", [])}


def reconciled(spec, **rest):
    return reconcile(gathered(resource(GPU | spec), **rest), DEFAULTS, NOW)


def test_without_a_goal_nothing_is_chosen():
    outcome = reconciled({"batching": {"maxModelLen": "auto"}})

    assert chosen(outcome) == {}
    assert "--max-model-len=auto" in arguments(outcome)
    assert not any(one.startswith("--max-num-seqs") for one in arguments(outcome))


def test_a_goal_fills_in_what_is_open_and_leaves_what_is_set():
    outcome = reconciled({"batching": {"goal": "latency", "maxNumSeqs": 7, "maxModelLen": "auto"}})

    assert "batching.maxNumSeqs" not in chosen(outcome)
    assert "--max-num-seqs=7" in arguments(outcome)
    assert f"--max-model-len={chosen(outcome)['batching.maxModelLen']}" in arguments(outcome)
    assert f"--max-num-batched-tokens={chosen(outcome)['batching.maxNumBatchedTokens']}" in arguments(outcome)


def test_throughput_takes_larger_batches_than_latency():
    latency = chosen(reconciled({"batching": {"goal": "latency", "maxModelLen": 8192}}))
    throughput = chosen(reconciled({"batching": {"goal": "throughput", "maxModelLen": 8192}}))

    assert int(throughput["batching.maxNumSeqs"]) > int(latency["batching.maxNumSeqs"])
    assert int(throughput["batching.maxNumBatchedTokens"]) > int(latency["batching.maxNumBatchedTokens"])


def test_what_was_chosen_stays_while_the_spec_does_whatever_is_learned():
    spec = GPU | {"batching": {"goal": "throughput", "maxModelLen": "auto"}}
    first = reconcile(gathered(resource(spec)), DEFAULTS, NOW)
    cr = resource(spec)
    cr["status"] = first.status
    corrections = {KEY: Correction(activation_bytes=3 * 2**30, starts=4, name=str(KEY))}

    second = reconcile(gathered(cr, corrections=corrections), DEFAULTS, NOW)

    assert arguments(second) == arguments(first)
    assert any("Corrected by" in one for one in second.status["plan"]["notes"])


def running(spec, labels, start_log="", terms=(), *, digest="", beside=(), **rest):
    """A look at a replica that runs with these settings, tells of its cache, and has told of its start.

    `terms` is what its image's metric says of its memory; `start_log` of None: the log was not read.
    """
    first = reconciled(spec)
    children = tuple(stored(one) for one in first.apply)
    template = next(one for one in first.apply if one["kind"] == "Deployment")["spec"]["template"]
    replica = pod("llama-1", state={"imageID": digest})
    replica["metadata"]["annotations"] = template["metadata"]["annotations"]
    reading = PodReading("llama-1", 1000.0, memory_bytes=tuple(terms))
    fleet = load(cache_labels=(("llama-1", tuple(labels.items())),), readings=(reading,))
    starts = {} if start_log is None else {"llama-1": start_log}
    return reconciled(spec, children=children, pods=(replica, *beside), load=fleet, start_logs=starts, **rest)


SPEC = {"batching": {"maxModelLen": 8192}}


def labels(tokens):
    return {
        "num_gpu_blocks": str(tokens // 16),
        "block_size": "16",
        "kv_cache_size_tokens": str(tokens),
        "kv_cache_max_concurrency": f"{tokens / 8192:.2f}",
    }


def test_the_engines_numbers_stand_beside_the_plans():
    planned = reconciled(SPEC).status["plan"]["kvCache"]["tokens"]

    outcome = running(SPEC, labels(planned))

    assert outcome.status["actual"] == {
        "kvCacheTokens": planned,
        "blockSize": 16,
        "blocks": planned // 16,
        "driftPercent": "0.00",
    }
    assert condition(outcome)["reason"] == "Fits"


@pytest.mark.parametrize(("factor", "reason"), [(1.02, "Fits"), (0.95, "PlanDrifted"), (1.05, "PlanDrifted")])
def test_a_drift_of_more_than_three_percent_is_told_with_both_numbers(factor, reason):
    planned = reconciled(SPEC).status["plan"]["kvCache"]["tokens"]
    actual = int(planned * factor) // 16 * 16

    told = condition(running(SPEC, labels(actual)))

    assert (told["status"], told["reason"]) == ("True", reason)
    if reason == "PlanDrifted":
        assert str(planned) in told["message"]
        assert str(actual) in told["message"]


def test_a_start_teaches_the_next_plan():
    planned = reconciled(SPEC).status["plan"]["kvCache"]["tokens"]
    actual = int(planned * 0.997) // 16 * 16
    lesson = running(SPEC, labels(actual)).lesson

    corrections = {lesson.key: learn(None, lesson.planned, lesson.actual, lesson.key)}
    second = reconciled(SPEC, corrections=corrections).status["plan"]["kvCache"]["tokens"]

    assert lesson.key == KEY
    assert abs(second - actual) < abs(planned - actual) / 2


OLD, NEW = (f"registry.example/engine@sha256:{digit * 64}" for digit in "12")


def test_a_start_teaches_for_the_digest_that_ran():
    planned = reconciled(SPEC).status["plan"]["kvCache"]["tokens"]

    assert running(SPEC, labels(planned), digest=OLD).lesson.key == replace(KEY, image_digest=OLD)


def test_after_the_tag_has_moved_the_plan_is_no_longer_corrected_by_the_old_digest():
    planned = reconciled(SPEC).status["plan"]["kvCache"]["tokens"]
    taught = {replace(KEY, image_digest=OLD): Correction(activation_bytes=2**30, starts=1, name="old")}

    before = reconciled(SPEC, corrections=taught).status["plan"]
    on_old = running(SPEC, labels(planned), digest=OLD, corrections=taught).status["plan"]
    on_new = running(SPEC, labels(planned), digest=NEW, corrections=taught).status["plan"]

    assert before["kvCache"]["tokens"] == on_old["kvCache"]["tokens"] < planned
    assert on_new["kvCache"]["tokens"] == planned
    assert [any("Corrected by" in note for note in one["notes"]) for one in (before, on_old, on_new)] == [
        True,
        True,
        False,
    ]


def test_while_both_run_the_younger_counts_and_the_older_teaches_nothing():
    planned = reconciled(SPEC).status["plan"]["kvCache"]["tokens"]
    younger = pod("llama-2", state={"imageID": NEW})
    younger["metadata"]["creationTimestamp"] = "2026-01-02T03:00:00Z"

    outcome = running(SPEC, labels(int(planned * 0.9) // 16 * 16), digest=OLD, beside=(younger,))

    assert outcome.lesson is None
    assert condition(outcome)["reason"] == "Fits"


def test_an_unknown_plan_is_not_compared_and_learns_nothing():
    packed = SPEC | {"memory": {"kvCacheDtype": "int8_per_token_head"}}
    guessed = reconciled(packed).status["plan"]
    assert guessed["verdict"] == "Unknown"

    outcome = running(packed, labels(int(guessed["kvCache"]["tokens"] * 0.95) // 16 * 16), START)

    assert condition(outcome)["reason"] == "PlanUnknown"
    assert "driftPercent" not in outcome.status["actual"]
    assert outcome.lesson is None


START = """\
INFO [model_runner.py:423] Model loading took 15.0 GiB memory and 3.1 seconds
INFO [gpu_worker.py:740] Available KV cache memory: 110.95 GiB
INFO [gpu_worker.py:980] Graph capturing finished in 12 secs, took 0.99 GiB
"""


def test_the_start_of_a_replica_is_read_before_anything_is_learned_from_it():
    planned = reconciled(SPEC).status["plan"]["kvCache"]["tokens"]

    before = running(SPEC, labels(planned), None)
    after = running(SPEC, labels(planned), START)

    assert (before.wants_start_log_of, before.lesson) == ("llama-1", None)
    assert after.wants_start_log_of == ""
    assert after.lesson is not None


TERMS = (("kv_cache", 110.95 * 2**30), ("weights", 15.0 * 2**30), ("cuda_graphs", 0.99 * 2**30), ("of_tomorrow", 7.0))


def test_an_image_that_tells_its_memory_as_a_metric_has_its_log_left_unread():
    planned = reconciled(SPEC).status["plan"]["kvCache"]["tokens"]

    by_metric = running(SPEC, labels(planned), None, TERMS)
    by_log = running(SPEC, labels(planned), START)

    assert by_metric.wants_start_log_of == ""
    assert by_metric.status["actual"] == by_log.status["actual"]
    assert by_metric.lesson == by_log.lesson


def test_each_term_that_the_engine_tells_stands_beside_the_planned_one():
    planned = reconciled(SPEC).status["plan"]["kvCache"]["tokens"]

    actual = running(SPEC, labels(planned), START).status["actual"]

    assert actual["bytes"]["weights"] == 15 * 2**30
    assert actual["bytes"]["cudaGraphs"] == pytest.approx(0.99 * 2**30, rel=0.001)
    assert "weights: 15.00 GiB planned, 15.00 GiB actual" in actual["drifts"]


def test_replicas_of_an_earlier_version_teach_nothing():
    first = reconciled(SPEC)
    children = tuple(stored(one) for one in first.apply)
    old = pod("llama-1")
    old["metadata"]["annotations"] = {"batchedllm.dev/template": "another"}
    fleet = load(cache_labels=(("llama-1", tuple(labels(16000).items())),))

    outcome = reconciled(SPEC, children=children, pods=(old,), load=fleet)

    assert outcome.lesson is None
    assert "actual" not in outcome.status


KV_TOO_SMALL = """\
INFO gpu_worker.py: Available KV cache memory: 0.88 GiB
ValueError: To serve at least one request with the model's max seq len (8192), (1.0 GiB KV cache is needed, which is \
larger than the available KV cache memory (0.88 GiB). Based on the available memory, the estimated maximum model \
length is 7200. Try increasing `gpu_memory_utilization`
"""


OUT_OF_MEMORY = """\
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 24.00 GiB of \
which 512.00 MiB is free.
"""
SMALL_GPU = {"gpu": {"memory": "20Gi"}, "batching": {"maxModelLen": 8192}}


def after_the_end(spec, *, log="", last_words=""):
    """A look at a replica whose engine ended: its log was read, or the kubelet kept the end of it in the status."""
    first = reconciled(spec)
    assert first.status["plan"]["verdict"] == "Fits"
    children = tuple(stored(one) for one in first.apply)
    ended = {"exitCode": 1, "reason": "Error", "finishedAt": "2026-01-02T03:04:00Z", "message": last_words}
    state = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}
    failed = pod("llama-1", ready=False, state=state)
    template = next(one for one in first.apply if one["kind"] == "Deployment")["spec"]["template"]
    failed["metadata"]["annotations"] = template["metadata"]["annotations"]
    return reconciled(spec, children=children, pods=(failed,), log_tails={"llama-1": log} if log else {})


@pytest.mark.parametrize("where", ["log", "last_words"])
def test_an_engine_that_had_less_than_planned_is_told_with_both_numbers_and_what_would_fit(where):
    outcome = after_the_end(SMALL_GPU, **{where: KV_TOO_SMALL})

    told = condition(outcome)
    assert (told["status"], told["reason"]) == ("False", "KVCacheTooSmall")
    assert "it had 0.88 GiB for its KV cache" in told["message"]
    assert "batching.maxModelLen 8192 ->" in told["message"]
    assert outcome.lesson.actual.kv_cache == pytest.approx(0.88 * 2**30, rel=0.01)


@pytest.mark.parametrize("log", [OUT_OF_MEMORY, "torch.AcceleratorError: CUDA error: out of memory"])
def test_an_engine_that_ran_out_of_gpu_memory_is_told_what_would_fit(log):
    outcome = after_the_end({"gpu": {"memory": "24Gi"}, "batching": {"maxModelLen": 8192}}, log=log)

    told = condition(outcome)
    assert (told["status"], told["reason"]) == ("False", "OutOfGpuMemory")
    assert "Smallest changes that fit: memory.gpuUtilization 0.92 ->" in told["message"]
    assert outcome.lesson is None, "what ran out beside the cache tells nothing of the terms"


def test_where_no_single_change_would_do_that_is_said():
    outcome = after_the_end(SMALL_GPU, log=OUT_OF_MEMORY)

    assert condition(outcome)["message"].endswith("No single change makes it fit")


def test_an_engine_that_ended_of_something_else_leaves_the_plan_as_it_is():
    assert condition(after_the_end(SMALL_GPU, log="RuntimeError: NCCL error"))["reason"] == "Fits"
