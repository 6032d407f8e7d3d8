"""The life of the pod that reads a model's config."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from batchedllm.api import names
from batchedllm.api.conditions import Reason
from batchedllm.api.resource import parse
from batchedllm.core.manifests.identity import Owner
from batchedllm.core.planning.inspection import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, PATIENCE_SECONDS, inspect
from batchedllm.core.planning.inspection_pod import Subject, inspection_key, inspection_pod
from samples import resource

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FOUND = {"version": 1, "engineVersion": "0.32.0"}


def subject(spec=None, image="example.dev/engine:1"):
    return Subject(Owner("llama", "team", "uid-1"), parse(resource(spec or {})), image)


def at(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def lived(phase, *, attempt=1, status=None, created=NOW, of=None):
    """A pod of ours as the API server holds it."""
    pod = inspection_pod(of or subject(), attempt)
    metadata = {**pod["metadata"], "uid": f"pod-{attempt}", "creationTimestamp": at(created)}
    return {**pod, "metadata": metadata, "status": {"phase": phase, **(status or {})}}


def ended(message, *, attempt=1, finished=NOW, phase="Failed", reason="Error"):
    terminated = {"exitCode": 1, "reason": reason, "message": message, "finishedAt": at(finished)}
    state = {"containerStatuses": [{"name": "inspect", "state": {"terminated": terminated}}]}
    return lived(phase, attempt=attempt, status=state)


def test_without_a_result_a_pod_is_made():
    step = inspect(subject(), (), None, NOW)

    assert [one["kind"] for one in step.apply] == ["Pod"]
    assert (step.reason, step.is_over) == (Reason.INSPECTING, False)


def test_the_pod_takes_no_gpu_and_no_service_would_send_it_requests():
    made = inspection_pod(subject({"gpu": {"perReplica": 4, "product": "NVIDIA-H200"}}), 1)
    container = made["spec"]["containers"][0]

    assert "nvidia.com/gpu" not in json.dumps(container["resources"])
    assert "nodeSelector" not in made["spec"]
    assert names.LABEL_NAME not in made["metadata"]["labels"]
    assert "--tensor-parallel-size=4" in container["args"]


def test_the_pod_is_restricted_and_gone_with_its_resource():
    made = inspection_pod(subject(), 1)

    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert made["spec"]["securityContext"]["runAsNonRoot"]
    assert made["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert not made["spec"]["automountServiceAccountToken"]


def test_the_secret_is_a_file_of_the_pod_and_in_no_argument():
    source = {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "token"}}}
    made = inspection_pod(subject({"model": {"id": "org/gated", "source": source}}), 1)

    assert any(one.get("secret", {}).get("secretName") == "hf" for one in made["spec"]["volumes"])
    assert "token" not in " ".join(made["spec"]["containers"][0]["args"])


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"id": "org/other"}},
        {"model": {"id": "org/model", "revision": "abc"}},
        {"gpu": {"perReplica": 2}},
        {"memory": {"kvCacheDtype": "fp8"}},
        {"model": {"id": "org/model", "dtype": "float16"}},
        {"model": {"id": "org/model", "trustRemoteCode": True}},
    ],
)
def test_what_the_result_depends_on_has_a_key_of_its_own(change):
    plain = {"model": {"id": "org/model"}}

    assert inspection_key(subject(plain | change)) != inspection_key(subject(plain))


def test_another_image_is_another_inspection_and_another_batch_is_not():
    assert inspection_key(subject(image="example.dev/engine:2")) != inspection_key(subject())
    assert inspection_key(subject({"batching": {"maxModelLen": 4096}})) == inspection_key(subject())


def test_while_the_pod_runs_it_is_waited_for():
    step = inspect(subject(), (lived("Running"),), None, NOW)

    assert (step.apply, step.delete, step.is_over) == ((), (), False)
    assert step.look_again_seconds is not None


def test_what_the_pod_found_is_the_result_and_the_pod_stays_until_that_is_kept():
    pod = ended(json.dumps(FOUND), phase="Succeeded")

    found = inspect(subject(), (pod,), None, NOW)
    kept = inspect(subject(), (pod,), found.result, NOW)

    assert (found.result.document, found.delete) == (FOUND, ())
    assert [one.uid for one in kept.delete] == ["pod-1"]


def test_a_pod_for_earlier_settings_goes():
    other = lived("Running", of=subject({"model": {"id": "org/other"}}))

    step = inspect(subject(), (other,), None, NOW)

    assert len(step.delete) == 1
    assert len(step.apply) == 1


def test_an_error_is_told_in_its_own_words_and_tried_again_after_a_while():
    error = {"version": 1, "error": {"reason": "GatedModel", "message": "ask for access"}}
    pod = ended(json.dumps(error))

    early = inspect(subject(), (pod,), None, NOW + timedelta(seconds=10))
    late = inspect(subject(), (pod,), None, NOW + timedelta(seconds=FIRST_RETRY_SECONDS + 1))

    assert early.reason is Reason.INSPECTION_FAILED
    assert "GatedModel: ask for access" in early.message
    assert (early.is_over, early.apply) == (True, ())
    assert early.look_again_seconds == FIRST_RETRY_SECONDS - 10
    assert late.apply[0]["metadata"]["annotations"]["batchedllm.dev/attempt"] == "2"
    assert [one.uid for one in late.delete] == ["pod-1"]


def test_attempts_grow_rarer_up_to_one_an_hour():
    pod = ended("", attempt=40)

    step = inspect(subject(), (pod,), None, NOW)

    assert step.look_again_seconds == LONGEST_RETRY_SECONDS


def test_an_image_without_our_package_says_what_to_do():
    pod = ended("/usr/bin/python3: Error while finding module: No module named 'batchedllm_engine'")

    assert "model.configMap" in inspect(subject(), (pod,), None, NOW).message


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_that_cannot_be_pulled_does_not_hold_the_engine_back(reason):
    state = {"containerStatuses": [{"name": "inspect", "state": {"waiting": {"reason": reason, "message": "no"}}}]}

    step = inspect(subject(), (lived("Pending", status=state),), None, NOW)

    assert (step.is_over, step.reason) == (True, Reason.INSPECTION_FAILED)


def test_a_pod_that_finds_no_node_is_waited_for_only_so_long():
    unscheduled = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}
    pod = lived("Pending", status=unscheduled)

    soon = inspect(subject(), (pod,), None, NOW + timedelta(seconds=5))
    late = inspect(subject(), (pod,), None, NOW + timedelta(seconds=PATIENCE_SECONDS))

    assert not soon.is_over
    assert late.is_over
    assert "0/1 nodes" in late.message


@pytest.mark.parametrize("message", ["", "{", "[]", '{"version": 99}', "Traceback\nValueError: broken"])
def test_whatever_the_pod_ends_with_is_an_error_and_no_crash(message):
    step = inspect(subject(), (ended(message),), None, NOW)

    assert (step.result, step.reason) == (None, Reason.INSPECTION_FAILED)
    assert step.message
