"""What the live objects say about the replicas."""

from batchedllm.core.manifests.pod_template import ANNOTATION_TEMPLATE
from batchedllm.core.observed import observe
from samples import NOW, gathered, pod, resource

UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
CRASHED = {"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "message": "ValueError: x"}}}
SILENT = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:00:00Z"}


def deployment(replicas, *conditions):
    return {
        "kind": "Deployment",
        "metadata": {"name": "llama"},
        "spec": {"replicas": replicas},
        "status": {"conditions": list(conditions)},
    }


def fleet(replicas, *pods, conditions=()):
    look = gathered(resource(), children=(deployment(replicas, *conditions),), pods=pods)
    return observe(look, NOW).fleet


def of_template(name, template, *, ready=True):
    one = pod(name, ready=ready)
    one["metadata"]["annotations"] = {ANNOTATION_TEMPLATE: template}
    return one


def test_what_is_asked_for_and_does_not_answer_yet_is_pending():
    found = fleet(3, pod("a"), pod("b", ready=False))

    assert (found.wanted, found.ready, found.pending) == (3, 1, 2)


def test_a_pod_that_is_being_deleted_is_no_replica():
    leaving = pod("b")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert fleet(1, pod("a"), leaving).ready == 1
    assert fleet(2, pod("a"), leaving).pending == 1


def test_a_pod_that_its_node_gave_up_is_no_replica():
    look = gathered(resource(), children=(deployment(1),), pods=(pod("a"), pod("b", ready=False, phase="Failed")))

    assert [one.pod for one in observe(look, NOW).replicas] == ["a"]


def test_the_surplus_replicas_of_a_rollout_do_not_count_as_capacity():
    found = fleet(2, pod("a"), pod("b"), pod("c"), pod("d", ready=False))

    assert (found.ready, found.pending) == (2, 0)


def test_pods_without_a_node_and_pods_that_fail_are_told_apart():
    found = fleet(4, pod("a"), pod("b", ready=False, conditions=[UNSCHEDULABLE]), pod("c", ready=False, state=CRASHED))

    assert (found.pending, found.unschedulable, found.failing) == (3, 1, 1)


def test_a_replica_that_is_too_busy_to_answer_says_nothing_against_more_of_them():
    busy = pod("b", ready=False, state={"state": {"running": {}}, "started": True}, conditions=[SILENT])

    found = fleet(2, pod("a"), busy)

    assert (found.pending, found.failing) == (1, 0)


def test_pods_that_cannot_even_be_made_find_no_place_either():
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}

    assert fleet(3, pod("a"), conditions=(refused,)).unschedulable == 2


def test_a_deleted_deployment_asks_for_what_it_had():
    cr = resource()
    cr["status"]["wantedReplicas"] = 5

    assert observe(gathered(cr), NOW).fleet.wanted == 5
    assert observe(gathered(resource()), NOW).fleet.wanted == 0


def test_replicas_are_told_apart_by_the_template_they_were_made_from():
    look = gathered(resource(), pods=(of_template("a", "old"), of_template("b", "new"), pod("c", ready=False)))

    found = observe(look, NOW)

    assert found.ready_of("new") == 1
    assert found.has_others("new")
    assert not observe(gathered(resource(), pods=(of_template("b", "new"), pod("c"))), NOW).has_others("new")


def test_only_logs_that_would_tell_more_are_asked_for():
    look = gathered(resource(), pods=(pod("a"), pod("b", ready=False, state=CRASHED)))

    assert observe(look, NOW).wants_logs_of == ("b",)


def of_misconfigured(*pods, spec=None):
    cr = resource({"admission": {"apiKeys": {"secretRef": {"name": "clients", "key": "keys.yaml"}}}, **(spec or {})})
    names = tuple(one["metadata"]["name"] for one in pods)
    return observe(gathered(cr, children=(deployment(len(pods)),), pods=pods, misconfigured_pods=names), NOW)


def test_a_pod_that_cannot_use_its_keys_serves_on_and_is_told_of_with_the_secrets_name():
    (failure,) = of_misconfigured(pod("a")).failures

    assert failure.reason == "AdmissionConfigurationInvalid"
    assert "what it had before still holds" in failure.message
    assert "keys.yaml of the Secret clients" in failure.message
    assert "kubectl logs a " in failure.message


def test_a_pod_that_cannot_start_admitting_is_not_merely_silent():
    silent = pod("a", ready=False, state={"started": True, "state": {"running": {}}}, conditions=[SILENT])

    (failure,) = of_misconfigured(silent).failures

    assert failure.reason == "AdmissionConfigurationInvalid"
    assert "answers 503 until that is mended" in failure.message


def test_a_pod_that_fails_otherwise_is_told_of_by_that():
    (failure,) = of_misconfigured(pod("a", ready=False, state=CRASHED)).failures

    assert failure.reason == "Crashed"


def test_without_keys_only_the_operators_own_file_can_be_meant():
    (failure,) = of_misconfigured(pod("a"), spec={"admission": {}}).failures

    assert "ConfigMap llama-admission" in failure.message
    assert "Secret" not in failure.message


def test_replicas_that_cannot_use_their_keys_are_no_reason_to_add_no_others():
    assert of_misconfigured(pod("a"), pod("b", ready=False)).fleet.failing == 0
