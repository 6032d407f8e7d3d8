"""Classes, limits and the queue before the engine, from the resource to the answer of a pod."""

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any

import pytest

from cluster.conftest import Models, RunningOperator, StartOperator, eventually
from cluster.test_operator_scaling import ENGINE, busy, ready_pods, replicas, status

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

NORMAL = {"name": "normal", "rank": 3, "default": True}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: str


def ask(address: str, service_class: str = "normal", key: str = "") -> Answer:
    """Ask the engine of one pod for two tokens."""
    body = json.dumps({"prompt": "x", "max_tokens": 2}).encode()
    headers = {"Content-Type": "application/json", "x-batchedllm-priority": service_class}
    headers |= {"x-api-key": key} if key else {}
    request = urllib.request.Request(f"http://{address}:8000/v1/completions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, answer.headers, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read().decode())


def metric(address: str, name: str, labels: str = "") -> float:
    """Sum of the series of one of the engine's metrics that have these labels."""
    with urllib.request.urlopen(f"http://{address}:8000/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}\{{", line) and labels in line)


def classes(low_per_minute: int) -> dict[str, Any]:
    low = {"name": "low", "rank": 10, "rateLimit": {"requestsPerMinute": low_per_minute}}
    return {"classes": [NORMAL, low]}


def give_keys(models: Models, *keys: tuple[str, str]) -> None:
    """Apply the Secret with these keys, each with its class."""
    entries = [{"name": key, "key": key, "class": service_class} for key, service_class in keys]
    metadata = {"name": "clients", "namespace": models.namespace}
    text = json.dumps({"keys": entries})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"clients.json": text}}
    models.kubectl("apply", "-f", "-", stdin=json.dumps(secret))


def runs_of(models: Models) -> list[tuple[str, int]]:
    """The pods' identities and how often their containers were restarted."""
    pods = ready_pods(models).values()
    return [(pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]) for pod in pods]


def test_classes_and_rates_hold_and_change_without_a_restart(
    operator: RunningOperator, models: Models, sim_image: str
) -> None:
    engine = {"image": sim_image, **ENGINE}
    models.apply("opt", engine=engine, priority=classes(low_per_minute=1))
    (pod,) = eventually(lambda: ready_pods(models), seconds=60).values()
    address, runs = pod["status"]["podIP"], runs_of(models)

    unknown = ask(address, "best")
    assert unknown.status == 400
    assert "normal" in unknown.body
    assert [ask(address, "low").status, ask(address, "normal").status] == [200, 200]
    assert metric(address, "batchedllm_engine:admission_requests_total", 'class="low",outcome="served"') == 1
    refused = ask(address, "low")
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60

    models.apply("opt", engine=engine, priority=classes(low_per_minute=1000))
    eventually(lambda: [ask(address, "low").status for _ in range(3)] == [200] * 3, seconds=120, what="the new rate")
    assert runs_of(models) == runs


def test_keys_of_a_secret_open_their_classes_and_a_new_one_needs_no_restart(
    operator: RunningOperator, models: Models, sim_image: str
) -> None:
    give_keys(models, ("first-key", "high"))
    high = {"name": "high", "rank": -10, "keyOnly": True}
    keys = {"apiKeys": {"secretRef": {"name": "clients", "key": "clients.json"}, "required": False}}
    models.apply("opt", engine={"image": sim_image, **ENGINE}, priority={"classes": [high, NORMAL]}, admission=keys)
    (pod,) = eventually(lambda: ready_pods(models), seconds=60).values()
    address, runs = pod["status"]["podIP"], runs_of(models)

    assert ask(address).status == 200
    assert ask(address, "high").status == 400
    assert [ask(address, "high", key).status for key in ("first-key", "second-key")] == [200, 401]

    give_keys(models, ("first-key", "high"), ("second-key", "normal"))
    eventually(lambda: ask(address, "normal", "second-key").status == 200, seconds=120, what="the new key")
    assert runs_of(models) == runs


def test_a_file_of_keys_that_cannot_be_used_is_told_of_and_forgotten_once_it_is_mended(
    operator: RunningOperator, models: Models, sim_image: str
) -> None:
    operator.expected += ["AdmissionConfigurationInvalid"]
    give_keys(models, ("first-key", "of-nobody"))
    keys = {"apiKeys": {"secretRef": {"name": "clients", "key": "clients.json"}}}
    models.apply("opt", engine={"image": sim_image, **ENGINE}, priority={"classes": [NORMAL]}, admission=keys)

    told = eventually(
        lambda: (
            (found := models.condition("opt", "EngineHealthy")).get("reason") == "AdmissionConfigurationInvalid"
            and found
        ),
        seconds=90,
        what="a pod that cannot use its keys",
    )
    assert told["status"] == "False"
    assert "clients.json of the Secret clients" in told["message"]
    assert "answers 503 until that is mended" in told["message"]

    give_keys(models, ("first-key", "normal"))
    eventually(lambda: ready_pods(models), seconds=150, what="the pod serves with the mended file")
    eventually(lambda: models.condition("opt", "EngineHealthy")["status"] == "True")


def test_without_its_fields_the_middleware_and_its_configuration_go(
    operator: RunningOperator, models: Models, sim_image: str
) -> None:
    engine = {"image": sim_image, **ENGINE}
    models.apply("opt", engine=engine, priority=classes(low_per_minute=1))
    eventually(lambda: models.get("configmap", "opt-admission"))

    models.apply("opt", engine=engine)

    eventually(lambda: models.get("configmap", "opt-admission") is None)
    made = models.get("deployment", "opt") or {}
    assert "--middleware" not in json.dumps(made["spec"]["template"]["spec"]["containers"][0]["args"])


def test_a_queue_before_the_engine_is_seen_and_scaled_for(
    start_operator: StartOperator, models: Models, sim_image: str
) -> None:
    start_operator("--scrape-interval-seconds", "0.5").wait_until_leading()
    scaling = {"maxReplicas": 2, "signals": {"queueDepth": {"perReplica": 1}}}
    models.apply("opt", engine={"image": sim_image, **ENGINE}, admission={"maxRunningRequests": 1}, scaling=scaling)
    (pod,) = eventually(lambda: ready_pods(models), seconds=60).values()
    address = pod["status"]["podIP"]
    for _ in range(5):
        busy(address)

    eventually(lambda: metric(address, "batchedllm_engine:admission_queued_requests") >= 3)
    assert metric(address, "vllm:num_requests_waiting") == 0
    eventually(lambda: ((status(models).get("load") or {}).get("queueDepth") or 0) >= 3, what="the queue in the status")
    eventually(lambda: replicas(models) == 2, what="a second replica")
