"""Restarts under load: the operator killed, a pod drained, an engine killed. Only what ran in that engine is lost."""

import json
import signal
import time

from gpu.cases import fleet
from gpu.results import Check
from gpu.scene import OPERATOR_NAMESPACE, Json, Scene
from testbed import diagnosis

LEAST_SECONDS = 150
_CLIENTS = 16
_SIZES = (128, 128)
_OPERATOR = "app.kubernetes.io/name=batchedllm-operator"


def run(scene: Scene, measured: Json) -> None:
    """Two replicas; each of the three in turn while clients keep sending."""
    scene.apply(fleet.document(scene, least=2, most=2))
    measured["operator"] = _during(scene, 20, _kill_operator)
    measured["drain"] = _during(scene, 25, _drain)
    measured["engine"] = _during(scene, 12, _kill_engine)
    measured["engine"] |= _recovery(scene, measured["engine"].pop("at"))


def _during(scene: Scene, seconds: float, deed) -> Json:  # type: ignore[no-untyped-def] # a function of the scene
    scene.wait_ready(fleet.NAME, 2)
    thread, outcomes = fleet.hold(scene.address(fleet.NAME), _CLIENTS, seconds, _SIZES)
    time.sleep(4)
    told = deed(scene)
    thread.join(timeout=scene.budget.bounded(seconds + 60, "the answers"))
    return {"requests": fleet.summed(outcomes), **told}


def _kill_operator(scene: Scene) -> Json:
    before, begin = scene.status(fleet.NAME).get("readyReplicas"), time.monotonic()
    killed = {pod["metadata"]["name"] for pod in _operator_pods(scene)}
    at_once = ("--grace-period=0", "--force", "--wait=false")
    scene.cluster.kubectl("delete", "pods", "-n", OPERATOR_NAMESPACE, f"--selector={_OPERATOR}", *at_once)

    def is_back() -> bool:
        others = [pod for pod in _operator_pods(scene) if pod["metadata"]["name"] not in killed]
        return any(diagnosis.is_ready(pod) for pod in others)

    scene.wait(is_back, "another operator is ready", 60)
    return {
        "killed": len(killed),
        "operatorBackSeconds": time.monotonic() - begin,
        "readyReplicas": [before, scene.status(fleet.NAME).get("readyReplicas")],
    }


def _operator_pods(scene: Scene) -> list[Json]:
    told = scene.cluster.kubectl("get", "pods", "-n", OPERATOR_NAMESPACE, f"--selector={_OPERATOR}", "--output=json")
    return list(json.loads(told)["items"])


def _drain(scene: Scene) -> Json:
    """A graceful end, as an eviction or a scale-in brings it; the Deployment makes another."""
    pod = scene.pods(fleet.NAME)[0]["metadata"]["name"]
    scene.kubectl("delete", "pod", pod, "--wait=false")
    return {"pod": pod}


def _kill_engine(scene: Scene) -> Json:
    pod = next(one for one in scene.pods(fleet.NAME) if scene.processes(one, scene.engine_process))
    numbers = scene.processes(pod, scene.engine_process)
    scene.signal(numbers, signal.SIGKILL)
    return {"at": time.monotonic(), "pod": pod["metadata"]["name"], "killed": len(numbers)}


def _recovery(scene: Scene, killed_at: float) -> Json:
    scene.wait_ready(fleet.NAME, 2, 120)
    return {"backSeconds": time.monotonic() - killed_at}


def judge(measured: Json) -> list[Check]:
    """Without an engine's death nothing is lost; of that, the operator brings the replica back."""
    checks = []
    for name, words in (("operator", "the operator was killed"), ("drain", "a pod was drained")):
        asked = measured[name]["requests"]
        lost = asked["sent"] - asked["served"] - asked["shed"]
        checks.append(Check(f"accepted requests lost while {words}", [lost, asked["failures"]], "0", lost == 0))
        checks.append(Check(f"requests served while {words}", asked["served"], "more than 0", asked["served"] > 0))
    killed, engine = measured["operator"].get("killed", 0), measured["engine"]
    checks.append(Check("operator pods killed", killed, "at least 1", killed >= 1))
    checks.append(Check("engine processes killed", engine["killed"], "at least 1", engine["killed"] >= 1))
    checks.append(
        Check(
            "seconds until both replicas are ready again",
            engine.get("backSeconds"),
            "they are",
            "backSeconds" in engine,
        )
    )
    return checks
