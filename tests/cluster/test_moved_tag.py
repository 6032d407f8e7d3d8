"""A tag that moves brings another engine: what was found and learned of the old one no longer holds."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.conftest import Models, RunningOperator, StartOperator, eventually
from cluster.model_volume import put
from testbed import archives, images
from testbed.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420)]

LLAMA = {"id": "meta-llama/Llama-3.1-8B-Instruct"}
GIB = 2**30
TAG = "batchedllm.dev/engine:moved"


@pytest.fixture
def move(cluster: Cluster, tmp_path: Path) -> Any:
    """Give a tag another image: one of the project's, with a label of its own."""
    if not cluster.node:
        pytest.skip("the images of this cluster's nodes are not ours to change")

    def moved(name: str, label: str) -> str:
        cluster.load_image(name)
        tag = f"{TAG}-{name}"
        successor = archives.write_successor(images.ensure_image(name).archive, tag, label, tmp_path / "image.tar")
        cluster.load_archive(successor, tag)
        return tag

    return moved


def digest_of(models: Models, image: str) -> str:
    """What the node says that a name stands for, from a pod that runs and ends."""
    container = {"name": "asks", "image": image, "imagePullPolicy": "Never", "command": ["/opt/venv/bin/python", "-V"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "asks"},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    models.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod))

    def told() -> str:
        status = (models.get("pod", "asks") or {}).get("status") or {}
        return str((status.get("containerStatuses") or [{}])[0].get("imageID", ""))

    found = str(eventually(told, what="the digest of the image"))
    models.kubectl("delete", "pod", "asks", "--wait=false")
    return found


def replace_replicas(models: Models, name: str, old: str) -> str:
    """Delete the pods and return the digest that the next one runs, which is another than `old`."""
    models.kubectl("delete", "pods", "--selector", f"batchedllm.dev/name={name}", "--wait=true")

    def running() -> str:
        pods = models.list("pods", f"batchedllm.dev/name={name}")
        told = [
            str(status.get("imageID", ""))
            for pod in pods
            for status in pod["status"].get("containerStatuses") or ()
            if not pod["metadata"].get("deletionTimestamp")
        ]
        return next((one for one in told if one and one != old), "")

    return str(eventually(running, seconds=120, what="a replica of the image that the tag means now"))


def plan(models: Models, name: str) -> dict[str, Any]:
    return dict(((models.get("batchedllm", name) or {}).get("status") or {}).get("plan") or {})


def starts(models: Models, name: str) -> str:
    """Which correction the plan says to have used."""
    return next((note for note in plan(models, name).get("notes", ()) if note.startswith("Corrected by")), "")


def corrections(models: Models) -> dict[str, dict[str, Any]]:
    """What was learned, by digest."""
    kept = (models.get("configmap", "batchedllm-corrections") or {}).get("data") or {}
    return {
        one["image_digest"]: one
        for one in json.loads(kept.get("corrections.json", '{"corrections": []}'))["corrections"]
    }


def test_what_was_learned_of_the_old_image_corrects_no_plan_of_the_new_one(
    start_operator: StartOperator, models: Models, move: Any
) -> None:
    image = move("engine-sim", "first")
    first = digest_of(models, image)
    learned = {
        "engine_image": image,
        "gpu_product": "NVIDIA-H200",
        "model_family": "llama",
        "image_digest": first,
    }
    terms = {"activation_bytes": GIB, "non_torch_bytes": 0, "cuda_graph_bytes": 0, "weights_bytes": 0, "starts": 1000}
    table = json.dumps({"format": 1, "corrections": [learned | terms]})
    models.kubectl("create", "configmap", "batchedllm-corrections", f"--from-literal=corrections.json={table}")
    operator = start_operator()
    operator.expected.append("batchedllm.shell.notices")
    operator.wait_until_leading()
    engine = {"image": image, "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}, "sharedMemory": "16Mi"}
    batching = {"maxModelLen": 8192, "maxNumSeqs": 64, "maxNumBatchedTokens": 8192}
    models.apply("llama", model=LLAMA, gpu={"product": "NVIDIA-H200"}, batching=batching, engine=engine)
    eventually(lambda: corrections(models)[first]["starts"] > 1000, seconds=90, what="the first image teaches")
    assert starts(models, "llama")
    before = plan(models, "llama")["kvCache"]["tokens"]

    move("engine-sim", "second")
    second = replace_replicas(models, "llama", first)

    eventually(lambda: second in corrections(models), seconds=90, what="the second image teaches")
    eventually(lambda: "Corrected by 1 start" in starts(models, "llama"), what="a plan that is corrected by it")
    assert corrections(models)[first]["starts"] == 1001, "the new image's start is none of the old one's"
    assert corrections(models)[second]["starts"] == 1
    assert plan(models, "llama")["kvCache"]["tokens"] - before > 2000, "a good part of the gibibyte is back"


@pytest.mark.engine
@pytest.mark.xdist_group("engine")
def test_replicas_of_the_new_image_have_the_model_inspected_again(
    operator: RunningOperator, models: Models, folder: Path, move: Any
) -> None:
    """The engine itself cannot start here, as there are no weights; which image it runs shows all the same."""
    operator.expected += ["batchedllm.shell.notices", ".*"]
    put(folder, "mine", (Path(__file__).parents[1] / "data/model_configs/llama-3.1-8b.json").read_text())
    model = {"id": "mine", "source": {"pvc": {"claimName": "models"}}}
    image = move("engine-cpu", "first")
    engine = {"image": image, "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}
    models.apply("llama", model=model, gpu={"memory": "20Gi"}, engine=engine, batching={"maxModelLen": 8192})

    def inspected() -> set[str]:
        data = (models.get("configmap", "llama-model") or {}).get("data") or {}
        return {digest for text in data.values() for digest in json.loads(text)["images"]}

    before = eventually(inspected, seconds=180, what="the first image inspects")
    move("engine-cpu", "second")
    (first,) = before
    second = replace_replicas(models, "llama", first)

    eventually(lambda: second in inspected(), seconds=180, what="the second image inspects")
    assert first not in inspected()
    assert plan(models, "llama")["modelSource"] == "inspection"
