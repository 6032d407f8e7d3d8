"""What one reconciliation does about a BatchedLLM."""

from dataclasses import replace
from datetime import timedelta

import pytest

from batchedllm.core.manifests.pod_template import ANNOTATION_TEMPLATE
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Now, Refusal
from batchedllm.core.scaling.types import Decision, Memory, Supply
from samples import DEFAULTS, NOW, gathered, load, pod, resource, stored
from server_side_apply import edit

PULL = {"reason": "ImagePullBackOff", "message": "no such image"}
KINDS = {"ServiceAccount", "Service", "PodDisruptionBudget", "Deployment"}


def conditions(status):
    return {one["type"]: one for one in status["conditions"]}


def settled(cr, *, pods=(), fleet=None, now=NOW):
    """The look after what the first reconciliation asked for was done."""
    outcome = reconcile(gathered(cr), DEFAULTS, now)
    children = tuple(stored(one) for one in outcome.apply)
    return gathered(cr, children=children, pods=pods, load=fleet)


def test_the_first_thing_ever_said_is_that_ready_is_unknown():
    cr = resource()
    del cr["status"]

    outcome = reconcile(gathered(cr), DEFAULTS, NOW)

    assert outcome.apply == ()
    assert conditions(outcome.status)["Ready"]["status"] == "Unknown"
    assert outcome.status["observedGeneration"] == 1
    assert outcome.look_again_seconds == 0


def test_a_new_resource_gets_all_its_children_with_the_smallest_number_of_replicas():
    outcome = reconcile(gathered(resource({"scaling": {"minReplicas": 2, "maxReplicas": 5}})), DEFAULTS, NOW)

    assert {one["kind"] for one in outcome.apply} == KINDS
    deployment = next(one for one in outcome.apply if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert [one.reason for one in outcome.notices] == ["Created"]


def test_nothing_is_done_once_the_resource_is_being_deleted():
    outcome = reconcile(gathered(resource(deletionTimestamp="2026-01-01T00:00:00Z")), DEFAULTS, NOW)

    assert (outcome.apply, outcome.delete, outcome.status, outcome.notices) == ((), (), None, ())


def test_at_rest_nothing_is_written():
    look = settled(resource(), pods=(pod("llama-1"),), fleet=load())
    first = reconcile(look, DEFAULTS, NOW)
    assert first.apply == ()

    later = Now(NOW.wall + timedelta(hours=1), NOW.monotonic_seconds + 3600)
    second = reconcile(replace(look, resource={**look.resource, "status": first.status}), DEFAULTS, later)

    assert (second.apply, second.delete, second.status, second.notices) == ((), (), None, ())


def test_a_restarted_operator_takes_nothing_back_before_it_could_ask_the_pods():
    look = settled(resource(), pods=(pod("llama-1"),), fleet=load())
    told = replace(look, resource={**look.resource, "status": reconcile(look, DEFAULTS, NOW).status})

    begin = reconcile(replace(told, load=None, load_is_new=True), DEFAULTS, NOW)
    in_vain = reconcile(replace(told, load=None), DEFAULTS, NOW)
    heard = reconcile(told, DEFAULTS, NOW)

    assert (begin.status, begin.notices, begin.look_again_seconds) == (None, (), 1.0)
    assert conditions(in_vain.status)["ScalingActive"]["reason"] == "NoFreshMetrics"
    assert heard.status is None


@pytest.mark.parametrize("news", ["another spec", "the first ready replica"])
def test_news_is_told_at_once_though_the_pods_were_not_asked_yet(news):
    look = settled(resource(), pods=(pod("llama-1"),), fleet=load())
    status = reconcile(look, DEFAULTS, NOW).status
    if news == "another spec":
        cr = {**look.resource, "metadata": {**look.resource["metadata"], "generation": 2}, "status": status}
    else:
        cr = {**look.resource, "status": {**status, "readyReplicas": 0}}

    outcome = reconcile(replace(look, resource=cr, load=None, load_is_new=True), DEFAULTS, NOW)

    assert outcome.status["readyReplicas"] == 1


def test_replicas_given_up_for_want_of_a_node_are_told_with_the_schedulers_words():
    look = settled(resource({"scaling": {"maxReplicas": 5}}), pods=(pod("llama-1"),), fleet=load())
    nodes = Supply(
        ceiling=1, retry_at_seconds=1300.0, pause_seconds=300.0, failures=1, given_up=2, reason="no node: 0/3 nodes"
    )

    outcome = reconcile(replace(look, memory=Memory(supply=nodes)), DEFAULTS, NOW)

    limited = conditions(outcome.status)["ScalingLimited"]
    assert (limited["status"], limited["reason"]) == ("True", "Unschedulable")
    assert limited["message"].endswith(
        "2 replicas found no node within 600 s and are given up for 300 s: no node: 0/3 nodes"
    )


def test_a_deleted_child_is_made_again():
    look = settled(resource(), pods=(pod("llama-1"),), fleet=load())
    without = tuple(one for one in look.children if one["kind"] != "Service")

    outcome = reconcile(replace(look, children=without), DEFAULTS, NOW)

    assert [one["kind"] for one in outcome.apply] == ["Service"]


def test_a_child_that_somebody_edited_is_repaired():
    look = settled(resource(), pods=(pod("llama-1"),), fleet=load())
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "engine", "image": "evil"}]}}}}
    edited = tuple(edit(one, patch, "kubectl") if one["kind"] == "Deployment" else one for one in look.children)

    outcome = reconcile(replace(look, children=edited), DEFAULTS, NOW)

    assert [one["kind"] for one in outcome.apply] == ["Deployment"]
    (notice,) = (one for one in outcome.notices if one.reason == "Repaired")
    assert "containers.engine.image was changed or removed by kubectl" in notice.message


def test_a_resource_that_cannot_be_served_stalls_and_its_children_stay():
    look = settled(resource(), pods=(pod("llama-1"),), fleet=load())
    broken = {**look.resource, "spec": {"model": {"id": "org/llama"}, "scaling": {"minReplicas": 9, "maxReplicas": 2}}}

    outcome = reconcile(replace(look, resource=broken), DEFAULTS, NOW)

    assert (outcome.apply, outcome.delete) == ((), ())
    stalled = conditions(outcome.status)["Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec")
    assert "spec.scaling.minReplicas: 9" in stalled["message"]


def test_a_service_of_the_same_name_that_belongs_to_another_is_never_overwritten():
    look = settled(resource())
    for child in look.children:
        if child["kind"] == "Service":
            child["metadata"]["ownerReferences"] = [{"kind": "Other", "name": "x", "uid": "z", "controller": True}]

    outcome = reconcile(look, DEFAULTS, NOW)

    assert outcome.apply == ()
    stalled = conditions(outcome.status)["Stalled"]
    assert stalled["reason"] == "ChildNotOurs"
    assert "Service llama belongs to the Other x" in stalled["message"]


def test_what_the_api_server_refuses_is_quoted():
    look = replace(settled(resource()), refusals=(Refusal("Deployment", "llama", 422, "spec.x: bad"),))
    look = replace(look, children=tuple(one for one in look.children if one["kind"] != "Deployment"))

    outcome = reconcile(look, DEFAULTS, NOW)

    assert [one["kind"] for one in outcome.apply] == ["Deployment"]
    assert [one.reason for one in outcome.notices] == ["Stalled"]
    stalled = conditions(outcome.status)["Stalled"]

    assert stalled["reason"] == "ApplyRefused"
    assert "spec.x: bad" in stalled["message"]


def test_a_configuration_that_is_not_wanted_stays_until_no_pod_mounts_it():
    """A pod of the version before could not start again without it, should the rollout be stuck."""
    before = settled(resource({"admission": {"mode": "middleware"}}))
    old = pod("llama-1")
    old["spec"]["volumes"] = [{"name": "admission", "configMap": {"name": "llama-admission"}}]
    without = replace(before, resource=resource())

    rolling = reconcile(replace(without, pods=(old, pod("llama-2"))), DEFAULTS, NOW)
    rolled = reconcile(replace(without, pods=(pod("llama-2"),)), DEFAULTS, NOW)

    assert rolling.delete == ()
    assert [(one.kind, one.name) for one in rolled.delete] == [("ConfigMap", "llama-admission")]


def test_a_change_of_a_limit_writes_the_configuration_and_makes_no_new_version_of_the_pods():
    before = settled(resource({"admission": {"maxRunningRequests": 5}}), pods=(pod("llama-1"),), fleet=load())
    changed = resource({"admission": {"maxRunningRequests": 6}})
    changed["status"] = reconcile(before, DEFAULTS, NOW).status

    outcome = reconcile(replace(before, resource=changed), DEFAULTS, NOW)

    (config_map, deployment) = outcome.apply
    (was,) = [one for one in before.children if one["kind"] == "Deployment"]
    assert config_map["metadata"]["name"] == "llama-admission"
    assert deployment["spec"]["template"]["metadata"] == was["spec"]["template"]["metadata"]


def test_children_of_ours_that_are_not_wanted_are_deleted_by_uid():
    look = settled(resource())
    extra = stored({**look.children[0], "metadata": {**look.children[0]["metadata"], "name": "old"}})

    outcome = reconcile(replace(look, children=(*look.children, extra)), DEFAULTS, NOW)

    assert [(one.kind, one.name, one.uid) for one in outcome.delete] == [
        ("ServiceAccount", "old", "uid-ServiceAccount")
    ]


def test_a_ready_replica_makes_the_model_ready_and_ends_reconciling():
    status = reconcile(settled(resource(), pods=(pod("llama-1"),), fleet=load()), DEFAULTS, NOW).status

    found = conditions(status)
    assert found["Ready"]["status"] == "True"
    assert "Reconciling" not in found
    assert "Stalled" not in found
    assert status["load"] == {
        "reportingReplicas": 1,
        "queueDepth": 0,
        "running": 0,
        "gpuUtilization": 0,
        "gpuMetricsSource": "engine",
        "kvCacheUsage": 0,
        "tokensPerSecond": 0,
    }


def test_a_burst_adds_replicas_and_says_why_without_touching_ready():
    cr = resource({"scaling": {"minReplicas": 1, "maxReplicas": 5}})
    look = settled(cr, pods=(pod("llama-1"),), fleet=load(queue_depth_total=40.0, running_total=64.0))

    outcome = reconcile(look, DEFAULTS, NOW)

    (deployment,) = outcome.apply
    assert deployment["kind"] == "Deployment"
    assert deployment["spec"]["replicas"] > 1
    found = conditions(outcome.status)
    assert found["Ready"]["status"] == "True"
    assert "Reconciling" not in found
    (record,) = outcome.status["decisions"]
    assert (record["from"], record["winner"]) == (1, "queueDepth")
    assert [one.reason for one in outcome.notices] == ["Scaled"]
    assert outcome.memory != Memory()


def test_recommend_says_the_number_and_leaves_the_deployment_alone():
    cr = resource({"scaling": {"mode": "recommend", "minReplicas": 1, "maxReplicas": 5}})
    look = settled(cr, pods=(pod("llama-1"),), fleet=load(queue_depth_total=40.0, running_total=64.0))

    outcome = reconcile(look, DEFAULTS, NOW)

    assert outcome.apply == ()
    assert outcome.status["recommendedReplicas"] > 1
    assert outcome.status["wantedReplicas"] == 1


def test_load_alone_is_written_only_now_and_then():
    look = settled(resource(), pods=(pod("llama-1"),), fleet=load(running_total=1.0))
    status = reconcile(look, DEFAULTS, NOW).status
    managed = [{"manager": "batchedllm-status", "time": "2026-01-02T03:04:04Z"}]
    cr = {**look.resource, "status": status}
    cr["metadata"] = {**cr["metadata"], "managedFields": managed}

    outcome = reconcile(replace(look, resource=cr, load=load(running_total=2.0)), DEFAULTS, NOW)

    assert outcome.status is None
    assert outcome.look_again_seconds == pytest.approx(4.0)


def test_what_is_unknown_is_left_out_of_the_load():
    fleet = load(gpu_utilization_percent_mean=None, no_gpu_metrics=True, gpu_metrics_source="none")

    status = reconcile(settled(resource(), pods=(pod("llama-1"),), fleet=fleet), DEFAULTS, NOW).status

    assert "gpuUtilization" not in status["load"]
    assert status["load"]["gpuMetricsSource"] == "none"
    assert "no GPU utilization is reported" in conditions(status)["MetricsContract"]["message"]


@pytest.mark.parametrize("source", ["dcgm-exporter", "mixed"])
def test_who_tells_of_the_gpus_is_told_where_it_is_not_the_engine(source):
    fleet = load(gpu_metrics_source=source)

    status = reconcile(settled(resource(), pods=(pod("llama-1"),), fleet=fleet), DEFAULTS, NOW).status

    assert status["load"]["gpuMetricsSource"] == source
    assert "the nodes' dcgm-exporter" in conditions(status)["MetricsContract"]["message"]


def test_spec_replicas_in_mode_auto_is_not_silently_ignored():
    status = reconcile(settled(resource({"replicas": 4}), pods=(pod("llama-1"),), fleet=load()), DEFAULTS, NOW).status

    assert "spec.replicas=4 is not read in mode auto" in conditions(status)["ScalingActive"]["message"]


def test_a_failure_is_told_once_as_an_event():
    crashed = pod(
        "llama-1",
        ready=False,
        state={"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}},
    )
    look = settled(resource(), pods=(crashed,))
    first = reconcile(look, DEFAULTS, NOW)
    again = reconcile(replace(look, resource={**look.resource, "status": first.status}), DEFAULTS, NOW)

    assert [one.reason for one in first.notices] == ["ImagePull"]
    assert first.status["failures"][0]["pod"] == "llama-1"
    assert conditions(first.status)["EngineHealthy"]["status"] == "False"
    assert again.notices == ()


def test_no_replicas_wanted_is_ready_and_says_so():
    cr = resource({"replicas": 0, "scaling": {"mode": "off"}})

    found = conditions(reconcile(settled(cr), DEFAULTS, NOW).status)

    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("True", "ScaledToZero")


def test_a_rollout_is_reconciling_until_no_replica_runs_the_old_version():
    """Counters of the Deployment lag behind our write; what the pods were made from does not."""
    look = settled(resource(), pods=(pod("llama-1"),), fleet=load())
    template = next(one for one in look.children if one["kind"] == "Deployment")["spec"]["template"]["metadata"]
    old = pod("llama-1")
    old["metadata"]["annotations"] = {ANNOTATION_TEMPLATE: "an earlier one"}
    new = pod("llama-2")
    new["metadata"]["annotations"] = template["annotations"]

    during = conditions(reconcile(replace(look, pods=(old, new)), DEFAULTS, NOW).status)
    after = conditions(reconcile(replace(look, pods=(new,)), DEFAULTS, NOW).status)

    assert (during["Ready"]["status"], during["Reconciling"]["status"]) == ("True", "True")
    assert "Reconciling" not in after


def test_a_version_that_cannot_start_stalls_while_the_previous_one_serves_on():
    old = pod("llama-1")
    old["metadata"]["annotations"] = {ANNOTATION_TEMPLATE: "an earlier one"}
    message = "ValueError: No available memory for the cache blocks."
    ended = {"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "message": message}}}
    look = settled(resource(), pods=(old, pod("llama-2", ready=False, state=ended)), fleet=load())

    outcome = reconcile(look, DEFAULTS, NOW)

    found = conditions(outcome.status)
    assert found["Ready"]["status"] == "True"
    assert found["Stalled"]["reason"] == found["EngineHealthy"]["reason"] == "KVCacheTooSmall"
    assert "Reconciling" not in found
    assert [one.reason for one in outcome.notices] == ["KVCacheTooSmall", "Stalled"]


def test_further_replicas_that_cannot_start_do_not_stall_a_version_that_serves():
    ended = {"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "reason": "OOMKilled"}}}
    look = settled(resource(), pods=(pod("llama-1"), pod("llama-2", ready=False, state=ended)), fleet=load())

    found = conditions(reconcile(look, DEFAULTS, NOW).status)

    assert "Stalled" not in found
    assert found["EngineHealthy"]["reason"] == "OOMKilled"


def test_a_rollout_past_its_deadline_stalls_with_the_failure_that_keeps_it():
    look = settled(resource(), pods=(pod("llama-1", ready=False, state={"state": {"waiting": PULL}}),))
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    for child in look.children:
        child["status"] = {"conditions": [late]}

    stalled = conditions(reconcile(look, DEFAULTS, NOW).status)["Stalled"]

    assert stalled["reason"] == "ImagePull"


def test_an_object_that_was_there_before_us_stalls_as_not_ours():
    refusal = Refusal("Service", "llama", 409, "Service llama exists already and was not made for this BatchedLLM")

    stalled = conditions(reconcile(replace(settled(resource()), refusals=(refusal,)), DEFAULTS, NOW).status)["Stalled"]

    assert stalled["reason"] == "ChildNotOurs"
    assert "exists already" in stalled["message"]


def test_a_condition_keeps_its_time_while_its_status_is_the_same():
    look = settled(resource(), pods=(pod("llama-1"),), fleet=load())
    first = reconcile(look, DEFAULTS, NOW).status
    later = Now(NOW.wall + timedelta(hours=1), NOW.monotonic_seconds + 3600)
    crashed = pod("llama-1", ready=False, state={"state": {"waiting": PULL}})

    second = reconcile(
        replace(look, resource={**look.resource, "status": first}, pods=(crashed,)), DEFAULTS, later
    ).status

    times = {kind: one["lastTransitionTime"] for kind, one in conditions(second).items()}
    assert times["MetricsContract"] == "2026-01-02T03:04:05Z"
    assert times["Ready"] == "2026-01-02T04:04:05Z"


def test_load_that_changes_from_scrape_to_scrape_changes_no_condition():
    """At maxReplicas under load, and held there: the figures move, the conditions must not."""
    cr = resource({"scaling": {"minReplicas": 1, "maxReplicas": 1}})
    look = settled(cr, pods=(pod("llama-1"),))

    first = reconcile(replace(look, load=load(queue_depth_total=900.0)), DEFAULTS, NOW)
    second = reconcile(replace(look, load=load(queue_depth_total=905.0)), DEFAULTS, NOW)

    assert conditions(first.status) == conditions(second.status)
    assert conditions(first.status)["ScalingLimited"]["reason"] == "AtMaxReplicas"


def test_a_budget_that_holds_the_replicas_is_a_condition():
    cr = resource({"scaling": {"maxReplicas": 9, "budget": {"replicaHoursPerDay": 24}}})

    told = reconcile(replace(settled(cr, pods=(pod("llama-1"),)), load=load(queue_depth_total=900.0)), DEFAULTS, NOW)

    limited = conditions(told.status)["ScalingLimited"]
    assert (limited["reason"], limited["message"]) == ("AtBudget", "more than budget (1) would be needed")
    assert told.decision.to_replicas == 1


def test_the_end_of_a_failure_is_told():
    look = settled(resource(), pods=(pod("llama-1", ready=False, state={"state": {"waiting": PULL}}),))
    failing = reconcile(look, DEFAULTS, NOW).status

    outcome = reconcile(
        replace(look, resource={**look.resource, "status": failing}, pods=(pod("llama-1"),), load=load()), DEFAULTS, NOW
    )

    assert [one.reason for one in outcome.notices] == ["Recovered", "Serving"]
    assert "failures" not in outcome.status


def test_a_child_that_comes_back_is_told_and_keeps_its_size():
    cr = resource({"scaling": {"minReplicas": 1, "maxReplicas": 8}})
    cr["status"]["wantedReplicas"] = 5

    outcome = reconcile(gathered(cr), DEFAULTS, NOW)

    deployment = next(one for one in outcome.apply if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 5
    assert {one.reason for one in outcome.notices} == {"Restored"}


def test_how_to_decide_can_be_given():
    """The simulator and the tests decide in their own way."""
    cr = resource({"scaling": {"minReplicas": 1, "maxReplicas": 8}})

    def always_seven(state, _now):
        return Decision(state.fleet.wanted, 7, "test", "because", (), ()), state

    outcome = reconcile(settled(cr, pods=(pod("llama-1"),)), DEFAULTS, NOW, always_seven)

    assert [one["spec"]["replicas"] for one in outcome.apply] == [7]


def test_logs_that_would_tell_more_are_asked_for_and_used():
    ended = {
        "state": {"waiting": {}},
        "lastState": {"terminated": {"exitCode": 1, "message": "RuntimeError: See root cause above."}},
    }
    look = settled(resource(), pods=(pod("llama-1", ready=False, state=ended),))

    asked = reconcile(look, DEFAULTS, NOW)
    told = reconcile(replace(look, log_tails={"llama-1": "No available memory for the cache blocks"}), DEFAULTS, NOW)

    assert asked.wants_logs_of == ("llama-1",)
    assert told.status["failures"][0]["reason"] == "KVCacheTooSmall"


def test_a_model_that_is_not_well_is_looked_at_again():
    look = settled(resource(), pods=(pod("llama-1", ready=False),))

    assert reconcile(look, DEFAULTS, NOW).look_again_seconds <= 30
