"""The memory plan on a real cluster: what does not fit is not made, models are inspected, and all of it is told."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import Models, RunningOperator, StartOperator, eventually
from cluster.model_volume import put
from testbed.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

LLAMA = {"id": "meta-llama/Llama-3.1-8B-Instruct"}
SMALL_GPU = {"memory": "20Gi"}
NO_REPLICAS = {"scaling": {"mode": "off", "maxReplicas": 1}, "replicas": 0}
"""The engine is not to be started: what is shown is what the plan does before."""


@pytest.fixture
def planner(operator: RunningOperator) -> RunningOperator:
    """An operator that will have refusals and failed inspections to tell of."""
    operator.expected += ["batchedllm.shell.notices"]
    return operator


def plan(models: Models, name: str) -> dict[str, Any]:
    return dict(((models.get("batchedllm", name) or {}).get("status") or {}).get("plan") or {})


def reason(models: Models, name: str) -> str:
    return str(models.condition(name, "MemoryPlanned").get("reason", ""))


def wait_for_reason(models: Models, name: str, wanted: str, *, seconds: float = 30) -> dict[str, Any]:
    """The condition MemoryPlanned when it has this reason."""
    eventually(lambda: reason(models, name) == wanted, seconds=seconds, what=f"{name} is {wanted}")
    return models.condition(name, "MemoryPlanned")


def events(models: Models, name: str) -> str:
    return models.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "yaml")


def test_what_cannot_fit_makes_nothing_and_says_why_where_people_look(planner: RunningOperator, models: Models) -> None:
    models.apply("llama", model=LLAMA, gpu=SMALL_GPU, batching={"maxModelLen": 131072})

    condition = wait_for_reason(models, "llama", "DoesNotFit")

    time.sleep(3)  # that nothing is made cannot be waited for
    assert models.list("deployments,pods,services") == []
    assert condition["status"] == "False"
    row = models.kubectl("get", "batchedllm", "llama", "--output=wide")
    assert "False" in row
    assert "DoesNotFit" in row
    described = models.kubectl("describe", "batchedllm", "llama")
    assert "Smallest changes that fit" in described
    assert "131072" in described
    assert "GiB" in condition["message"]
    assert "DoesNotFit" in events(models, "llama")


def test_the_first_fix_proceeds_and_touches_nothing_else(planner: RunningOperator, models: Models) -> None:
    models.apply("llama", model=LLAMA, gpu=SMALL_GPU, batching={"maxModelLen": 131072}, **NO_REPLICAS)
    wait_for_reason(models, "llama", "DoesNotFit")
    fix = plan(models, "llama")["fixes"][0]
    assert fix["setting"] == "batching.maxModelLen"

    models.apply("llama", model=LLAMA, gpu=SMALL_GPU, batching={"maxModelLen": int(fix["becomes"])}, **NO_REPLICAS)

    wait_for_reason(models, "llama", "Fits")
    deployment = models.wait_for_children("llama")["Deployment"]
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--max-model-len={fix['becomes']}" in arguments
    assert not models.condition("llama", "Stalled")


def test_a_change_that_does_not_fit_leaves_what_serves_and_scaling_goes_on(
    planner: RunningOperator, models: Models
) -> None:
    fits: dict[str, Any] = {"model": LLAMA, "gpu": SMALL_GPU, "batching": {"maxModelLen": 8192}}
    models.apply("llama", **fits, **NO_REPLICAS)
    before = models.wait_for_children("llama")["Deployment"]["spec"]["template"]

    too_long = fits | {"batching": {"maxModelLen": 131072}}
    models.apply("llama", **too_long, scaling={"mode": "off", "maxReplicas": 2}, replicas=1)

    wait_for_reason(models, "llama", "DoesNotFit")
    eventually(lambda: models.children("llama")["Deployment"]["spec"]["replicas"] == 1, what="scaled all the same")
    assert models.children("llama")["Deployment"]["spec"]["template"] == before
    assert models.condition("llama", "Stalled")["reason"] == "DoesNotFit"


def test_the_goal_chooses_what_the_spec_leaves_open_and_says_why(planner: RunningOperator, models: Models) -> None:
    batching = {"goal": "latency", "maxModelLen": "auto"}
    models.apply("llama", model=LLAMA, gpu={"product": "NVIDIA-H200"}, batching=batching, **NO_REPLICAS)

    deployment = models.wait_for_children("llama")["Deployment"]
    eventually(lambda: plan(models, "llama").get("chosen"), what="status.plan.chosen")

    chosen = {one["setting"]: one for one in plan(models, "llama")["chosen"]}
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert set(chosen) == {"batching.maxModelLen", "batching.maxNumSeqs", "batching.maxNumBatchedTokens"}
    assert f"--max-num-seqs={chosen['batching.maxNumSeqs']['value']}" in arguments
    assert "latency" in chosen["batching.maxNumSeqs"]["reason"]


def test_what_cannot_be_planned_gets_the_length_that_the_engine_finds_and_shows_what_is_known(
    planner: RunningOperator, models: Models
) -> None:
    packed = {"kvCacheDtype": "int8_per_token_head"}  # only the engine's attention backend knows its layout
    models.apply("llama", model=LLAMA, gpu={"product": "NVIDIA-H200"}, memory=packed, **NO_REPLICAS)

    wait_for_reason(models, "llama", "PlanUnknown")

    deployment = models.wait_for_children("llama")["Deployment"]
    assert "--max-model-len=auto" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    described = models.kubectl("describe", "batchedllm", "llama")
    assert "the engine takes the longest length that fits" in described
    assert re.search(r"Certainty:\n(?: +[A-Z][\w ]+: +\w+\n){7}", described), described


def test_without_any_plan_the_engine_finds_the_length_and_what_is_known_is_shown(
    planner: RunningOperator, models: Models
) -> None:
    model, product = {"id": "org/private"}, {"product": "NVIDIA-H200"}
    models.apply("llama", model=model, gpu=product, memory={"inspection": "never"}, **NO_REPLICAS)

    condition = wait_for_reason(models, "llama", "PlanUnknown")

    deployment = models.wait_for_children("llama")["Deployment"]
    assert "--max-model-len=auto" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    told = plan(models, "llama")
    assert told["message"] == condition["message"]
    assert told["bytes"]["requested"] == pytest.approx(0.92 * told["bytes"]["total"], rel=1e-6)
    described = models.kubectl("describe", "batchedllm", "llama")
    assert "nothing is planned: the engine takes the longest length that fits" in described


def test_the_nodes_labels_tell_the_memory(planner: RunningOperator, models: Models) -> None:
    models.apply("llama", model=LLAMA, batching={"maxModelLen": 8192}, **NO_REPLICAS)

    wait_for_reason(models, "llama", "Fits")

    assert plan(models, "llama")["bytes"]["total"] == pytest.approx(139.8 * 2**30, rel=0.01)


def test_the_users_description_is_planned_with_and_read_again_when_it_changes(
    planner: RunningOperator, models: Models
) -> None:
    config = json.loads((Path(__file__).parents[1] / "data/model_configs/llama-3.1-8b.json").read_text())
    described = {"model": {"id": "org/private", "configMap": "described"}, "gpu": SMALL_GPU}
    models.apply("llama", **described, batching={"maxModelLen": 8192}, **NO_REPLICAS)
    missing = wait_for_reason(models, "llama", "BadModelDescription")
    assert "described" in missing["message"]

    models.kubectl("create", "configmap", "described", f"--from-literal=config.json={json.dumps(config)}")

    wait_for_reason(models, "llama", "Fits", seconds=60)
    assert plan(models, "llama")["modelSource"] == "configMap"


@pytest.fixture
def cpu_engine(cluster: Cluster) -> dict[str, Any]:
    """The image that holds a real vLLM."""
    return {"image": cluster.load_image("engine-cpu"), "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}


ON_A_VOLUME = {"source": {"pvc": {"claimName": "models"}}}


@pytest.mark.engine
@pytest.mark.xdist_group("engine")
def test_a_model_on_a_volume_is_inspected_once_for_all_who_ask_and_known_after_a_restart(
    start_operator: StartOperator, models: Models, folder: Path, cpu_engine: dict[str, Any]
) -> None:
    config = (Path(__file__).parents[1] / "data/model_configs/llama-3.1-8b.json").read_text()
    put(folder, "mine", config)
    spec = {"model": {"id": "mine", **ON_A_VOLUME}, "gpu": SMALL_GPU, "engine": cpu_engine}
    operator = start_operator()
    operator.wait_until_leading()

    models.apply("llama", **spec, batching={"maxModelLen": 8192}, **NO_REPLICAS)

    wait_for_reason(models, "llama", "Inspecting")
    assert models.children("llama") == {}
    (pod,) = eventually(lambda: models.list("pods", "batchedllm.dev/inspects"), what="the inspection's pod")
    models.apply("shorter", **spec, batching={"maxModelLen": 2048}, **NO_REPLICAS)
    waits = wait_for_reason(models, "shorter", "Inspecting")
    assert waits["message"].startswith(pod["metadata"]["name"]), "it waits for the pod of the other"
    for name in ("llama", "shorter"):
        wait_for_reason(models, name, "Fits", seconds=180)
        models.wait_for_children(name)
        told = plan(models, name)
        assert told["modelSource"] == "inspection"
        assert told["bytes"]["weights"] == pytest.approx(14.96 * 2**30, rel=0.005)
        assert (told["certainty"]["weights"], told["errorBytes"]["weights"]) == ("exact", 0)
    eventually(lambda: not models.list("pods", "batchedllm.dev/inspects"), what="the inspection's pod is gone")

    assert operator.terminate() == 0
    again = start_operator()
    again.wait_until_leading()
    models.apply("llama", **spec, batching={"maxModelLen": 4096}, **NO_REPLICAS)
    eventually(lambda: plan(models, "llama")["maxModelLen"]["requested"] == 4096)
    assert not models.list("pods", "batchedllm.dev/inspects"), "what is kept needs no other inspection"


@pytest.mark.engine
@pytest.mark.xdist_group("engine")
@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ({"id": "nothing-there", **ON_A_VOLUME}, "NoSuchModel"),
        ({"id": "empty", **ON_A_VOLUME}, "NoConfig"),
        ({"id": "custom", **ON_A_VOLUME}, "NeedsTrustRemoteCode"),
        ({"id": "org/not-in-the-catalogue"}, "NoNetwork"),
    ],
)
def test_an_inspection_that_fails_says_what_to_do_and_holds_nothing_back(
    planner: RunningOperator, models: Models, folder: Path, cpu_engine: dict[str, Any], *, model: Any, wanted: str
) -> None:
    put(folder, "empty")
    custom = {"model_type": "ours", "architectures": ["Ours"], "auto_map": {"AutoConfig": "ours.Config"}}
    put(folder, "custom", json.dumps(custom))
    models.apply("llama", model=model, gpu=SMALL_GPU, engine=cpu_engine, **NO_REPLICAS)

    condition = wait_for_reason(models, "llama", "InspectionFailed", seconds=180)

    assert condition["message"].startswith(wanted), condition["message"]
    models.wait_for_children("llama")


def test_an_image_that_cannot_inspect_says_so_and_holds_nothing_back(
    planner: RunningOperator, models: Models, sim_image: str
) -> None:
    models.apply("llama", model={"id": "org/private"}, gpu=SMALL_GPU, engine={"image": sim_image}, **NO_REPLICAS)

    condition = wait_for_reason(models, "llama", "InspectionFailed", seconds=90)

    assert "model.configMap" in condition["message"]
    models.wait_for_children("llama")


def test_what_the_engine_has_stands_beside_the_plan_and_teaches_the_next(
    planner: RunningOperator, models: Models, sim_image: str
) -> None:
    engine = {"image": sim_image, "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}, "sharedMemory": "16Mi"}
    batching = {"maxModelLen": 8192, "maxNumSeqs": 64, "maxNumBatchedTokens": 8192}
    models.apply("llama", model=LLAMA, gpu={"memory": "139.8Gi"}, batching=batching, engine=engine)

    def actual() -> dict[str, Any]:
        return dict(((models.get("batchedllm", "llama") or {}).get("status") or {}).get("actual") or {})

    seen = eventually(actual, seconds=90, what="status.actual")
    planned = plan(models, "llama")["kvCache"]["tokens"]
    assert seen["kvCacheTokens"] == pytest.approx(planned, rel=0.03)
    kept = eventually(lambda: models.get("configmap", "batchedllm-corrections"), what="the corrections")
    (entry,) = json.loads(kept["data"]["corrections.json"])["corrections"]
    assert (entry["model_family"], entry["starts"]) == ("llama", 1)
    eventually(
        lambda: any("Corrected by 1" in note for note in plan(models, "llama")["notes"]),
        what="a plan that is corrected",
    )
