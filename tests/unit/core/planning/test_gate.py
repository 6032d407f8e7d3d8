"""What the memory plan lets through, holds back, and says."""

import json
from pathlib import Path

import pytest

from batchedllm.core.planning.node_gpus import NodeGpu, node_gpus
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Defaults
from samples import NOW, gathered, load, pod, resource, stored

CONFIG = json.loads((Path(__file__).parents[3] / "data/model_configs/llama-3.1-8b.json").read_text())
DEFAULTS = Defaults("batchedllm.dev/engine:test", {"org/llama": {"config": CONFIG, "weightsBytes": 16_060_522_496}})
FITS = {"gpu": {"memory": "80Gi"}, "batching": {"maxModelLen": 8192}}
TOO_LONG = {"gpu": {"memory": "20Gi"}, "batching": {"maxModelLen": 131072}}


def condition(outcome, kind="MemoryPlanned"):
    return next((one for one in outcome.status["conditions"] if one["type"] == kind), None)


def kinds(outcome):
    return {one["kind"] for one in outcome.apply}


def reconciled(spec, **rest):
    return reconcile(gathered(resource(spec), **rest), DEFAULTS, NOW)


def test_what_fits_is_made_and_the_status_has_the_numbers():
    outcome = reconciled(FITS)

    assert "Deployment" in kinds(outcome)
    assert (condition(outcome)["status"], condition(outcome)["reason"]) == ("True", "Fits")
    plan = outcome.status["plan"]
    assert plan["verdict"] == "Fits"
    assert plan["modelSource"] == "catalogue"
    assert plan["bytes"]["total"] == 80 * 2**30
    assert plan["bytes"]["weights"] == pytest.approx(15 * 2**30, rel=0.01)
    assert plan["kvCache"]["tokens"] > 8192


def test_what_does_not_fit_is_not_made_and_told_with_the_changes_that_would():
    outcome = reconciled(TOO_LONG)

    assert kinds(outcome) == set()
    assert (condition(outcome)["status"], condition(outcome)["reason"]) == ("False", "DoesNotFit")
    assert condition(outcome, "Ready")["status"] == "False"
    assert condition(outcome, "Stalled")["reason"] == "DoesNotFit"
    assert "Smallest changes that fit" in condition(outcome)["message"]
    assert 1 <= len(outcome.status["plan"]["fixes"]) <= 3
    assert [one.reason for one in outcome.notices] == ["DoesNotFit"]


def test_the_same_refusal_is_told_once():
    first = reconciled(TOO_LONG)
    cr = resource(TOO_LONG)
    cr["status"] = first.status

    second = reconcile(gathered(cr), DEFAULTS, NOW)

    assert (second.status, second.notices, second.apply) == (None, (), ())


def test_a_change_that_does_not_fit_leaves_the_children_as_they_were_and_scaling_goes_on():
    first = reconciled(FITS)
    children = tuple(stored(one) for one in first.apply)
    scaling = {"minReplicas": 3, "maxReplicas": 5}
    cr = resource(TOO_LONG | {"scaling": scaling}, generation=2)

    outcome = reconcile(gathered(cr, children=children, pods=(pod("llama-1"),), load=load()), DEFAULTS, NOW)

    (deployment,) = outcome.apply
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--max-model-len=8192" in arguments
    assert deployment["spec"]["replicas"] == 3
    assert condition(outcome)["reason"] == "DoesNotFit"
    assert condition(outcome, "Stalled")["reason"] == "DoesNotFit"
    assert "kept as they were" in condition(outcome, "Stalled")["message"]


def test_correcting_it_proceeds_without_touching_anything_else():
    cr = resource(FITS, generation=2)
    cr["status"] = reconciled(TOO_LONG).status

    outcome = reconcile(gathered(cr), DEFAULTS, NOW)

    assert "Deployment" in kinds(outcome)
    assert condition(outcome, "Stalled") is None


def test_what_runs_already_fits_whatever_the_plan_says():
    made = reconciled(TOO_LONG | {"memory": {"gate": "off"}})
    children = tuple(stored(one) for one in made.apply)
    template = next(one for one in made.apply if one["kind"] == "Deployment")["spec"]["template"]
    running = pod("llama-1")
    running["metadata"]["annotations"] = template["metadata"]["annotations"]

    outcome = reconcile(gathered(resource(TOO_LONG), children=children, pods=(running,), load=load()), DEFAULTS, NOW)

    assert condition(outcome, "Stalled") is None
    assert condition(outcome)["status"] == "False"


def test_the_gate_can_only_warn():
    outcome = reconciled(TOO_LONG | {"memory": {"gate": "warn"}})

    assert "Deployment" in kinds(outcome)
    assert condition(outcome)["reason"] == "DoesNotFit"
    assert condition(outcome, "Stalled") is None


def test_the_gate_can_be_off():
    outcome = reconciled(TOO_LONG | {"memory": {"gate": "off"}})

    assert "Deployment" in kinds(outcome)
    assert condition(outcome)["reason"] == "NotPlanned"
    assert "plan" not in outcome.status


def test_settings_that_the_engine_would_refuse_are_refused_with_the_field():
    outcome = reconciled({"gpu": {"memory": "80Gi", "perReplica": 3}})

    assert kinds(outcome) == set()
    assert condition(outcome)["reason"] == "ContradictingSettings"
    assert "gpu.perReplica is 3" in condition(outcome)["message"]


def test_without_the_gpus_memory_nothing_is_planned_and_nothing_held_back():
    outcome = reconciled({})

    assert "Deployment" in kinds(outcome)
    assert (condition(outcome)["status"], condition(outcome)["reason"]) == ("Unknown", "PlanUnknown")
    assert "gpu.memory" in condition(outcome)["message"]


def test_an_engine_on_the_cpu_is_not_planned():
    outcome = reconciled({"gpu": {"perReplica": 0, "memory": "80Gi"}})

    assert "Deployment" in kinds(outcome)
    assert "CPU" in condition(outcome)["message"]


def test_the_product_and_the_nodes_tell_the_memory_too():
    by_product = reconciled({"gpu": {"product": "NVIDIA-H200"}})
    nodes = (NodeGpu("a", "NVIDIA-H200", 143771), NodeGpu("b", "NVIDIA-A10G", 23028))
    by_nodes = reconciled({}, node_gpus=nodes)

    assert by_product.status["plan"]["bytes"]["total"] == pytest.approx(139.8 * 2**30, rel=0.001)
    assert by_nodes.status["plan"]["bytes"]["total"] < 24 * 2**30
    assert any("NVIDIA-A10G (b)" in one and "NVIDIA-H200 (a)" in one for one in by_nodes.status["plan"]["notes"])


def test_gpu_feature_discoverys_labels_are_read():
    labelled = {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}
    nodes = [{"metadata": {"name": "b", "labels": labelled}}, {"metadata": {"name": "a"}}]

    assert node_gpus(nodes) == (NodeGpu("b", "NVIDIA-L4", 23034),)


def described(data):
    return {"kind": "ConfigMap", "metadata": {"name": "mine"}, "data": data}


def test_the_users_own_description_goes_before_the_catalogue():
    spec = FITS | {"model": {"id": "org/llama", "configMap": "mine"}}

    outcome = reconciled(spec, description=described({"config.json": json.dumps(CONFIG)}))

    assert outcome.status["plan"]["modelSource"] == "configMap"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "does not exist"),
        ({}, "no key config.json"),
        ({"config.json": "{"}, "config.json is not JSON"),
        ({"config.json": "[]"}, "expected a JSON object"),
        ({"config.json": json.dumps(CONFIG | {"hidden_size": 0})}, "hidden_size"),
        ({"config.json": json.dumps(CONFIG), "weightsBytes": "much"}, "weightsBytes"),
        ({"config.json": json.dumps(CONFIG), "model.safetensors.index.json": "{}"}, "metadata.total_size"),
    ],
)
def test_a_wrong_description_is_told_and_nothing_is_made(data, words):
    spec = FITS | {"model": {"id": "org/llama", "configMap": "mine"}}

    outcome = reconciled(spec, description=None if data is None else described(data))

    assert kinds(outcome) == set()
    assert condition(outcome)["reason"] == "BadModelDescription"
    assert words in condition(outcome)["message"]


@pytest.mark.parametrize(
    ("image", "version"),
    [("vllm/vllm-openai:v0.26.0", "0.26.0"), ("vllm/vllm-openai:latest", "0.32.0"), ("ours/engine:0.26.0", "0.32.0")],
)
def test_a_stock_images_tag_tells_whose_rules_to_plan_by(image, version):
    assert reconciled(FITS | {"engine": {"image": image}}).status["plan"]["engineVersion"] == version


UNKNOWN_MODEL = FITS | {"model": {"id": "org/private"}}
DOCUMENT = {
    "version": 1,
    "engineVersion": "0.32.0",
    "settings": {"tensorParallelSize": 1},
    "config": CONFIG,
    "stages": [{"weightBytes": 16_060_522_496, "bufferBytes": 0, "preparedBytes": None}],
}


def inspected(outcome, message, *, succeeded=True):
    """The inspection's pod as it is when it has ended."""
    (made,) = (one for one in outcome.apply if one["kind"] == "Pod")
    terminated = {"message": message, "finishedAt": NOW.wall.strftime("%Y-%m-%dT%H:%M:%SZ")}
    status = {
        "phase": "Succeeded" if succeeded else "Failed",
        "containerStatuses": [{"name": "inspect", "state": {"terminated": terminated}}],
    }
    metadata = made["metadata"] | {"uid": "pod-1", "creationTimestamp": "2026-01-02T03:04:00Z"}
    return {**made, "metadata": metadata, "status": status}


def test_a_model_that_nobody_describes_is_inspected_before_anything_is_made():
    outcome = reconciled(UNKNOWN_MODEL)

    assert kinds(outcome) == {"Pod"}
    assert condition(outcome)["reason"] == "Inspecting"
    assert condition(outcome, "Reconciling")["status"] == "True"


def test_what_the_inspection_found_is_kept_planned_with_and_the_pod_goes_once_it_is():
    begun = reconciled(UNKNOWN_MODEL)
    ended = inspected(begun, json.dumps(DOCUMENT))

    found = reconciled(UNKNOWN_MODEL, inspections=(ended,))
    children = tuple(stored(one) for one in found.apply)
    kept = reconciled(UNKNOWN_MODEL, inspections=(ended,), children=children)

    assert {"ConfigMap", "Deployment"} <= kinds(found)
    assert found.status["plan"]["modelSource"] == "inspection"
    assert found.status["plan"]["engineVersion"] == "0.32.0"
    assert found.delete == ()
    assert [one.name for one in kept.delete] == [ended["metadata"]["name"]]
    assert kinds(kept) == set()


def test_what_was_kept_needs_no_other_inspection_after_a_restart():
    begun = reconciled(UNKNOWN_MODEL)
    found = reconciled(UNKNOWN_MODEL, inspections=(inspected(begun, json.dumps(DOCUMENT)),))
    children = tuple(stored(one) for one in found.apply)

    later = reconciled(UNKNOWN_MODEL, children=children, pods=(pod("llama-1"),), load=load())

    assert (later.apply, later.delete) == ((), ())
    assert later.status["plan"]["modelSource"] == "inspection"


def test_an_inspection_that_failed_is_told_and_the_engine_is_started_all_the_same():
    begun = reconciled(UNKNOWN_MODEL)
    error = {"version": 1, "error": {"reason": "GatedModel", "message": "org/private is gated: ask for access"}}

    outcome = reconciled(UNKNOWN_MODEL, inspections=(inspected(begun, json.dumps(error), succeeded=False),))

    assert "Deployment" in kinds(outcome)
    assert condition(outcome)["reason"] == "InspectionFailed"
    assert "ask for access" in condition(outcome)["message"]


def test_inspections_can_be_forbidden():
    outcome = reconciled(UNKNOWN_MODEL | {"memory": {"inspection": "never"}})

    assert kinds(outcome) >= {"Deployment"}
    assert "Pod" not in kinds(outcome)
    assert "model.configMap" in condition(outcome)["message"]


def test_a_model_on_a_volume_is_not_looked_up_by_its_path():
    source = {"pvc": {"claimName": "models"}}

    outcome = reconciled(FITS | {"model": {"id": "org/llama", "source": source}})

    assert kinds(outcome) == {"Pod"}
