"""From a BatchedLLM to its children, on a real API server: made, changed, repaired, and gone with it."""

import json

import pytest

from cluster.conftest import Models, RunningOperator, StartOperator, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


def test_children_appear_with_owner_reference(operator: RunningOperator, models: Models) -> None:
    """All four children come, each owned by the resource, so that the garbage collector can clean up."""
    models.apply("opt")

    children = models.wait_for_children("opt")

    uid = models.get("batchedllm", "opt")["metadata"]["uid"]
    for child in children.values():
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (uid, True)
    assert models.get("batchedllm", "opt")["metadata"].get("finalizers", []) == []
    annotations = models.get("batchedllm", "opt")["metadata"].get("annotations", {})
    assert not any("kopf" in name for name in annotations)


def test_a_changed_spec_changes_the_deployment(operator: RunningOperator, models: Models) -> None:
    """A new setting becomes a new engine argument, and the status follows the generation."""
    models.apply("opt", batching={"maxNumSeqs": 64})
    models.wait_for_children("opt")

    models.apply("opt", batching={"maxNumSeqs": 32})

    def arguments() -> str:
        containers = models.children("opt")["Deployment"]["spec"]["template"]["spec"]["containers"]
        return json.dumps([one.get("args") for one in containers])

    eventually(lambda: "--max-num-seqs=32" in arguments() or '"--max-num-seqs", "32"' in arguments())
    eventually(lambda: models.get("batchedllm", "opt")["status"]["observedGeneration"] == 2)


@pytest.mark.parametrize("kind", ["Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"])
def test_a_deleted_child_comes_back(operator: RunningOperator, models: Models, kind: str) -> None:
    """A child that a user deletes is made again."""
    models.apply("opt")
    before = models.wait_for_children("opt")[kind]["metadata"]["uid"]

    models.kubectl("delete", kind, "opt", "--wait=false")

    eventually(lambda: models.children("opt").get(kind, {}).get("metadata", {}).get("uid", before) != before)


def test_edits_of_a_child_are_undone(operator: RunningOperator, models: Models) -> None:
    """The image and the port that a user edits by hand return to what the spec says."""
    models.apply("opt")
    wanted = models.wait_for_children("opt")["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"]

    models.kubectl("set", "image", "deployment/opt", "engine=example.invalid/other:1")
    edit = '[{"op":"replace","path":"/spec/ports/0/port","value":81}]'
    models.kubectl("patch", "service", "opt", "--type=json", "--patch", edit)

    def repaired() -> bool:
        children = models.children("opt")
        image = children["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"]
        ports = [port["port"] for port in children["Service"]["spec"]["ports"]]
        return image == wanted and ports == [8000]

    eventually(repaired)


def test_stripped_labels_and_owner_references_are_restored(operator: RunningOperator, models: Models) -> None:
    """A child that lost its labels is found again by its name, and one without owner gets it back."""
    models.apply("opt")
    models.wait_for_children("opt")

    models.kubectl("label", "service", "opt", "batchedllm.dev/name-", "app.kubernetes.io/managed-by-")
    orphan = '[{"op":"remove","path":"/metadata/ownerReferences"}]'
    models.kubectl("patch", "deployment", "opt", "--type=json", "--patch", orphan)

    eventually(lambda: "Service" in models.children("opt"))
    eventually(lambda: models.children("opt")["Deployment"]["metadata"].get("ownerReferences"))


def test_an_object_of_somebody_else_is_not_taken_over(operator: RunningOperator, models: Models) -> None:
    """A Service that already has the name stays as it is; the status says why nothing goes on."""
    operator.expected += ["was refused", "ApplyRefused", "ChildNotOurs"]
    models.kubectl("create", "service", "clusterip", "opt", "--tcp=81:81")

    models.apply("opt")

    eventually(lambda: "exists already" in models.condition("opt", "Stalled").get("message", ""))
    assert models.get("service", "opt")["spec"]["ports"][0]["port"] == 81
    models.kubectl("delete", "service", "opt")
    eventually(lambda: not models.condition("opt", "Stalled"), seconds=40)


@pytest.mark.parametrize("propagation", ["background", "foreground"])
def test_deleting_the_resource_takes_its_children_along(
    operator: RunningOperator, models: Models, propagation: str
) -> None:
    """The garbage collector removes the children, and none is made again meanwhile."""
    models.apply("opt")
    models.wait_for_children("opt")

    models.kubectl("delete", "batchedllm", "opt", f"--cascade={propagation}", "--timeout=60s")

    eventually(lambda: not models.children("opt"), what="no children", seconds=60)
    assert operator.metric("batchedllm_operator_writes_total", 'kind="Deployment",verb="apply"') == 1


def test_deleting_while_no_operator_runs(start_operator: StartOperator, models: Models) -> None:
    """Nothing of ours holds a resource, its children or its namespace back when the operator is gone."""
    doomed = Models(models.cluster, f"{models.namespace}-doomed")
    models.cluster.kubectl("create", "namespace", doomed.namespace)
    first = start_operator("--namespace", doomed.namespace)
    first.wait_until_leading()
    for where, name in ((models, "gone"), (models, "kept"), (doomed, "doomed")):
        where.apply(name)
        where.wait_for_children(name)

    assert first.terminate() == 0
    models.kubectl("delete", "batchedllm", "gone", "--timeout=20s")
    models.cluster.kubectl("delete", "namespace", doomed.namespace, "--timeout=150s", timeout_seconds=180)

    eventually(lambda: not models.children("gone"), what="no children", seconds=60)
    assert len(models.children("kept")) == 4, "models go on being served without an operator"
    second = start_operator()
    second.wait_until_leading()
    models.apply("marker")
    models.wait_for_children("marker")
    assert models.children("gone") == {}
