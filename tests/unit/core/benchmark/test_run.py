"""The life of a benchmark: it runs once, takes nothing from replicas, and tells how it went."""

import json
from datetime import UTC, datetime

import pytest

from batchedllm.api import names
from batchedllm.api.conditions import Reason
from batchedllm.api.resource import parse
from batchedllm.core.benchmark.pod import Subject, benchmark_pod
from batchedllm.core.benchmark.run import asked_by, benchmark
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.scaling.types import Fleet
from profiles import document
from samples import gathered, resource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONCE = {"tuning": {"benchmark": "once"}}
ALL_ANSWER = Fleet(wanted=2, ready=2, pending=0)


def wanted(spec=None, value=None):
    annotations = {} if value is None else {names.ANNOTATION_BENCHMARK: value}
    return resource(ONCE if spec is None else spec, annotations=annotations)


def subject_of(cr):
    spec = parse(cr)
    return Subject(owner_of(cr), spec, spec, "engine:1", asked_by(cr))


def step(cr, *, pods=(), children=(), fleet=ALL_ANSWER, may_begin=True):
    look = gathered(cr, children=children, benchmarks=pods)
    return benchmark(look, subject_of(cr), fleet, NOW, may_begin=may_begin)


def lived(cr, **status):
    pod = benchmark_pod(subject_of(cr))
    metadata = {**pod["metadata"], "uid": "pod-1", "creationTimestamp": "2026-01-02T03:00:00Z"}
    return {**pod, "metadata": metadata, "status": {"phase": "Running", **status}}


def ended(cr, message, phase="Succeeded"):
    terminated = {"exitCode": 0, "reason": "Completed", "message": message, "finishedAt": "2026-01-02T03:04:00Z"}
    return lived(cr, phase=phase, containerStatuses=[{"name": "benchmark", "state": {"terminated": terminated}}])


def told(made):
    return made.condition.status, made.condition.reason


def test_nothing_is_measured_unless_it_is_asked_for():
    made = step(wanted({}))

    assert (made.condition, made.apply, made.record) == (None, (), None)


def test_once_all_replicas_answer_a_pod_is_made():
    made = step(wanted())

    assert [one["kind"] for one in made.apply] == ["Pod"]
    assert told(made) == ("Unknown", Reason.BENCHMARK_RUNNING)


@pytest.mark.parametrize(
    "fleet",
    [Fleet(wanted=2, ready=1, pending=1), Fleet(wanted=0, ready=0, pending=0), Fleet(wanted=3, ready=2, pending=0)],
)
def test_it_takes_no_gpu_before_the_replicas_that_are_wanted(fleet):
    made = step(wanted(), fleet=fleet)

    assert made.apply == ()
    assert told(made) == ("Unknown", Reason.BENCHMARK_WAITING)


def test_a_spec_that_is_held_back_is_not_measured():
    assert step(wanted(), may_begin=False).apply == ()


def test_it_gives_way_to_a_replica_without_a_node():
    cr = wanted()
    made = step(cr, pods=(lived(cr),), fleet=Fleet(wanted=3, ready=2, pending=1, unschedulable=1))

    assert [one.uid for one in made.delete] == ["pod-1"]
    assert "gave way" in made.condition.message


def test_a_pod_without_a_node_just_waits():
    cr = wanted()
    refused = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: insufficient nvidia.com/gpu"}]
    made = step(cr, pods=(lived(cr, phase="Pending", conditions=refused),))

    assert (made.apply, made.delete) == ((), ())
    assert "insufficient nvidia.com/gpu" in made.condition.message


def test_what_it_found_is_kept_and_the_pod_goes_once_it_is_kept():
    cr = wanted()
    pod = ended(cr, json.dumps(document()))

    first = step(cr, pods=(pod,))
    second = step(cr, pods=(pod,), children=(first.record,))

    assert told(first) == ("True", Reason.MEASURED)
    assert first.delete == ()
    assert [one.uid for one in second.delete] == ["pod-1"]
    assert second.profile == first.profile
    assert second.apply == ()


def test_what_is_kept_is_a_gpu_profile_for_simulate():
    cr = wanted()
    record = step(cr, pods=(ended(cr, json.dumps(document())),)).record
    kept = json.loads(next(iter(record["data"].values())))

    assert kept["knots"] == document()["knots"]
    assert kept["at"] == "2026-01-02T03:04:05Z"


def measured(cr):
    return step(cr, pods=(ended(cr, json.dumps(document())),)).record


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"id": "org/other"}},
        {"gpu": {"product": "NVIDIA-L4"}},
        {"batching": {"maxNumSeqs": 12}},
        {"memory": {"kvCacheDtype": "fp8"}},
    ],
)
def test_it_runs_again_for_another_model_gpu_or_batch(change):
    made = step(wanted(ONCE | change), children=(measured(wanted()),))

    assert len(made.apply) == 1
    assert made.profile is None


def test_it_does_not_run_again_for_what_it_does_not_depend_on():
    made = step(wanted(ONCE | {"scaling": {"maxReplicas": 9}}), children=(measured(wanted()),))

    assert made.apply == ()
    assert made.profile is not None


def test_the_annotation_asks_for_one_run_and_a_new_value_for_another():
    first = wanted({}, "monday")
    kept = measured(first)

    assert len(step(first).apply) == 1
    assert step(first, children=(kept,)).apply == ()
    assert len(step(wanted({}, "tuesday"), children=(kept,)).apply) == 1
    assert step(wanted({}), children=(kept,)).apply == ()


def test_while_it_is_measured_again_the_earlier_profile_holds():
    made = step(wanted({}, "tuesday"), children=(measured(wanted({}, "monday")),))

    assert made.profile is not None


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('{"version":1,"error":{"reason":"EngineEnded","message":"it ended"}}', "EngineEnded: it ended"),
        ("/usr/bin/python3: No module named batchedllm_engine", "use an image of ours"),
        (json.dumps(document(curve=[])), "told what no engine can be like"),
    ],
)
def test_a_failure_is_told_and_not_tried_again(message, words):
    cr = wanted()
    made = step(cr, pods=(ended(cr, message, "Failed"),))

    assert told(made) == ("False", Reason.BENCHMARK_FAILED)
    assert words in made.condition.message
    assert (made.apply, made.delete) == ((), ())


def test_pods_of_what_is_not_asked_for_any_more_go():
    cr = wanted()

    assert [one.uid for one in step(wanted({}), pods=(lived(cr),)).delete] == ["pod-1"]
    assert [one.uid for one in step(wanted(ONCE | {"model": {"id": "org/b"}}), pods=(lived(cr),)).delete] == ["pod-1"]
