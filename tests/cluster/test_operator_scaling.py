"""Scaling around the signals, on a real API server: schedules, zero and waking, and which pod goes first."""

import json
import threading
import urllib.request
from contextlib import suppress
from typing import Any

import pytest

from cluster.conftest import Models, RunningOperator, StartOperator, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

ENGINE = {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}}
NEARLY_ALWAYS = {"name": "year", "timeZone": "Pacific/Auckland", "start": "0 0 1 1 *", "end": "59 23 31 12 *"}
AT_ONCE = {"stabilizationSeconds": 0, "maxStep": 10, "periodSeconds": 1}


def replicas(models: Models, name: str = "opt") -> int:
    """Replicas that the Deployment asks for."""
    found = models.get("deployment", name)
    return -1 if found is None else int(found["spec"]["replicas"])


def status(models: Models, name: str = "opt") -> dict[str, Any]:
    return (models.get("batchedllm", name) or {}).get("status") or {}


def decisions(models: Models) -> list[dict[str, Any]]:
    return list(status(models)["decisions"])


def ready_pods(models: Models) -> dict[str, dict[str, Any]]:
    """Ready pods of replicas, by name."""
    pods = models.list("pods")
    ready = (
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
    )
    return {pod["metadata"]["name"]: pod for pod in ready}


def test_a_schedule_that_holds_brings_its_replicas(operator: RunningOperator, models: Models) -> None:
    models.apply("opt", scaling={"maxReplicas": 3, "schedules": [{**NEARLY_ALWAYS, "minReplicas": 2}]})

    eventually(lambda: replicas(models) == 2)


def test_a_time_zone_that_does_not_exist_stalls_with_words_and_leaves_the_children(
    operator: RunningOperator, models: Models
) -> None:
    operator.expected += ["InvalidSpec"]
    models.apply("opt")
    models.wait_for_children("opt")

    models.apply("opt", scaling={"schedules": [{**NEARLY_ALWAYS, "timeZone": "Mars/Phobos", "minReplicas": 1}]})

    stalled = eventually(lambda: models.condition("opt", "Stalled"))
    assert stalled["reason"] == "InvalidSpec"
    assert 'spec.scaling.schedules[0].timeZone: "Mars/Phobos": is no time zone' in stalled["message"]
    assert len(models.children("opt")) == 4


def test_to_zero_after_its_time_and_awake_by_annotation_and_by_scale(
    operator: RunningOperator, models: Models, sim_image: str
) -> None:
    engine = {"image": sim_image, **ENGINE}
    models.apply("opt", engine=engine, scaling={"minReplicas": 0, "maxReplicas": 2, "idleSeconds": 10})
    eventually(lambda: ready_pods(models), seconds=60, what="a first replica")

    eventually(lambda: replicas(models) == 0, seconds=60, what="zero replicas")
    eventually(lambda: models.condition("opt", "Ready").get("reason") == "ScaledToZero")
    models.kubectl("annotate", "batchedllm", "opt", "batchedllm.dev/wake=one")
    eventually(lambda: replicas(models) == 1, what="one replica after the annotation")
    eventually(lambda: status(models).get("wokenBy") == "one")
    eventually(lambda: replicas(models) == 0, seconds=60, what="zero replicas again")

    models.kubectl("scale", "batchedllm", "opt", "--replicas=1")
    eventually(lambda: replicas(models) == 1, what="one replica after scale")
    models.kubectl("scale", "batchedllm", "opt", "--replicas=0")
    eventually(lambda: replicas(models) == 0, seconds=60, what="zero replicas after scale to 0")


def busy(address: str) -> threading.Thread:
    """Keep one pod busy for as long as it is there, or some 20 s."""
    body = json.dumps({"prompt": "x" * 100, "max_tokens": 3000, "ignore_eos": True}).encode()
    request = urllib.request.Request(
        f"http://{address}:8000/v1/completions", body, {"Content-Type": "application/json"}
    )

    def ask() -> None:
        with suppress(OSError):
            urllib.request.urlopen(request, timeout=60).read()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def test_the_emptiest_pod_is_removed_though_it_is_the_oldest(
    start_operator: StartOperator, models: Models, sim_image: str
) -> None:
    """Left to itself Kubernetes removes the youngest. Marks are written for a removal and at no other time."""
    start_operator("--scrape-interval-seconds", "0.5").wait_until_leading()
    engine = {"image": sim_image, **ENGINE}
    scaling = {"minReplicas": 1, "maxReplicas": 1, "scaleDown": AT_ONCE}
    models.apply("opt", engine=engine, scaling=scaling)
    (oldest,) = eventually(lambda: ready_pods(models), seconds=60)
    models.apply("opt", engine=engine, scaling=scaling | {"minReplicas": 3, "maxReplicas": 3})
    pods = eventually(lambda: len(ready_pods(models)) == 3 and ready_pods(models), seconds=60)
    for name, pod in pods.items():
        assert "pod-deletion-cost" not in json.dumps(pod["metadata"].get("annotations"))
        if name != oldest:
            busy(pod["status"]["podIP"])
    eventually(lambda: (status(models).get("load") or {}).get("running") == 2, what="two busy replicas")

    models.apply("opt", engine=engine, scaling=scaling | {"minReplicas": 2, "maxReplicas": 2})

    eventually(lambda: len(ready_pods(models)) == 2, seconds=60)
    assert oldest not in ready_pods(models)


def test_what_is_learned_outlives_the_operator_and_is_not_written_at_rest(
    start_operator: StartOperator, models: Models, sim_image: str
) -> None:
    first = start_operator("--scrape-interval-seconds", "0.5")
    first.wait_until_leading()
    scaling = {"maxReplicas": 2, "prediction": "seasonal", "signals": {"queueDepth": {"perReplica": 1}}}
    models.apply("opt", engine={"image": sim_image, **ENGINE}, batching={"maxNumSeqs": 1}, scaling=scaling)
    (pod,) = eventually(lambda: ready_pods(models), seconds=60).values()
    for _ in range(4):
        busy(pod["status"]["podIP"])

    kept = eventually(lambda: models.get("configmap", "opt-learned"), seconds=60)
    assert "seasons" in json.loads(kept["data"]["learned.json"])
    assert first.terminate() == 0
    second = start_operator()
    second.wait_until_leading()
    eventually(lambda: second.metric("batchedllm_operator_candidate_replicas", 'signal="queueDepth"') > 0, seconds=60)

    assert models.get("configmap", "opt-learned")["metadata"]["resourceVersion"] == kept["metadata"]["resourceVersion"]
    assert second.metric("batchedllm_operator_recommended_replicas", 'name="opt"') >= 1


def test_a_replica_that_no_node_takes_is_given_up_with_the_schedulers_words(
    start_operator: StartOperator, models: Models, sim_image: str
) -> None:
    """One replica per node, more load than the nodes' replicas hold."""
    operator = start_operator("--scrape-interval-seconds", "0.5")
    operator.wait_until_leading()
    operator.expected += ["Unschedulable"]
    nodes = len(json.loads(models.kubectl("get", "nodes", "--output=json"))["items"])
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"batchedllm.dev/name": "opt"}}}
    models.apply(
        "opt",
        engine={"image": sim_image, **ENGINE},
        batching={"maxNumSeqs": 1},
        pod={"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}},
        scaling={
            "maxReplicas": nodes + 1,
            "scaleUp": {"unschedulableSeconds": 10, "unschedulablePauseSeconds": 600},
            "signals": {"queueDepth": {"perReplica": 1}},
        },
    )
    (pod,) = eventually(lambda: ready_pods(models), seconds=60).values()
    for _ in range(8):
        busy(pod["status"]["podIP"])
    eventually(lambda: replicas(models) == nodes + 1, what="one replica more than there are nodes")

    eventually(lambda: replicas(models) == nodes, seconds=60, what="given up")
    limited = eventually(
        lambda: "given up for 600 s" in (said := models.condition("opt", "ScalingLimited"))["message"] and said
    )
    assert (limited["status"], limited["reason"]) == ("True", "Unschedulable")
    assert "didn't match pod anti-affinity rules" in limited["message"]
    assert "capacityGivenUp" in [one["winner"] for one in decisions(models)]


def test_a_budget_pays_for_one_more_replica_and_says_why_it_pays_for_no_third(
    start_operator: StartOperator, models: Models, sim_image: str
) -> None:
    operator = start_operator("--scrape-interval-seconds", "0.5")
    operator.wait_until_leading()
    models.apply(
        "opt",
        engine={"image": sim_image, **ENGINE},
        batching={"maxNumSeqs": 1},
        scaling={
            "maxReplicas": 3,
            "budget": {"replicaHoursPerDay": 26},
            "signals": {"queueDepth": {"perReplica": 1, "drainSeconds": 1}},
        },
    )
    (pod,) = eventually(lambda: ready_pods(models), seconds=60).values()
    for _ in range(8):
        busy(pod["status"]["podIP"])

    eventually(lambda: replicas(models) == 2, what="the replica that the budget pays for")
    limited = eventually(
        lambda: (said := models.condition("opt", "ScalingLimited")).get("reason") == "AtBudget" and said,
        what="ScalingLimited tells of the budget",
    )
    assert "budget (2)" in limited["message"]
    assert any("of 26 replica-hours of a day are spent, so at most 2" in one["reason"] for one in decisions(models))
    assert replicas(models) == 2
    assert 0 <= operator.metric("batchedllm_operator_budget_spent_replica_hours", 'name="opt"') < 26


def test_gpus_that_draw_more_than_their_target_bring_a_replica(
    start_operator: StartOperator, models: Models, sim_image: str
) -> None:
    """One stream alone: its GPU draws three times as much as an idle one, and nothing else asks for a second."""
    start_operator("--scrape-interval-seconds", "0.5").wait_until_leading()
    models.apply(
        "opt",
        engine={"image": sim_image, **ENGINE},
        scaling={"maxReplicas": 2, "signals": {"gpuPower": {"targetWatts": 150}}},
    )
    (pod,) = eventually(lambda: ready_pods(models), seconds=60).values()
    busy(pod["status"]["podIP"])

    eventually(lambda: replicas(models) == 2, what="a second replica")
    made = next(one for one in decisions(models) if one["to"] == 2)
    assert made["winner"] == "gpuPower"
    assert "W, target 150 W" in made["reason"]
