"""A burst of a real trace on one replica at rest: when it is seen, when replicas are there, when the queue is gone."""

import time
from typing import Any

from gpu import meter
from gpu.cases import fleet
from gpu.results import Check
from gpu.scene import Json, Scene

LEAST_SECONDS = 150
_CALM_SECONDS = 120
_DRAIN_SECONDS = 150
_PATCH_SECONDS = 10
_UTILIZATION_POINTS = 5
FACTOR, SECONDS = 4.0, 35.0


def run(scene: Scene, measured: Json) -> None:
    """Play the burst and watch until there is one replica again."""
    scene.apply(fleet.document(scene))
    (pod, *_) = scene.wait_ready(fleet.NAME)
    address = scene.address(fleet.NAME)
    factor, seconds = (FACTOR, SECONDS) if scene.gpu else (2.0, 20.0)
    planned = fleet.requests(factor, seconds)
    pods_address = f"http://{pod['status']['podIP']}:8000"
    with fleet.Watcher(scene) as watcher, meter.Meter(pods_address) as utilization:
        watcher.until(lambda one: one.ready >= 1, 20)
        begin = watcher.seconds
        thread, outcomes = fleet.play(address, planned)
        raised = watcher.until(lambda one: one.wanted > 1, seconds + 30)
        most = watcher.until(
            lambda one: one.ready >= fleet.MOST or (not thread.is_alive() and one.wanted <= one.ready), 150
        )
        thread.join(timeout=scene.budget.bounded(_DRAIN_SECONDS, "the burst's answers"))
        answered = watcher.seconds
        drained = next(
            (one.at_seconds for one in watcher.looks if one.at_seconds > begin + seconds and one.queue == 0), None
        )
        back = watcher.until(lambda one: one.wanted == 1, min(_CALM_SECONDS, scene.budget.left_seconds))
        settled = watcher.until(lambda one: one.ready == 1, 40)
        looks = list(watcher.looks)
    for one in scene.pods(fleet.NAME)[:1]:
        scene.note_start(fleet.NAME, one)
    starts = [one for one in scene.starts if one["resource"] == fleet.NAME]
    measured |= {
        "trace": {"source": "tests/demo/data/azure_conversation_slice.csv", "factor": factor, "seconds": seconds},
        "requests": fleet.summed(outcomes),
        "beginSeconds": begin,
        "toPatchSeconds": since(begin, raised),
        "toAllReadySeconds": since(begin, most),
        "toAnsweredSeconds": answered - begin,
        "toQueueGoneSeconds": since(begin, drained),
        "toOneWantedSeconds": since(begin, back),
        "toOneReadySeconds": since(begin, settled),
        "mostWanted": max((one.wanted for one in looks), default=0),
        "mostReady": max((one.ready for one in looks), default=0),
        "utilization": meter.means(utilization.seen),
        "utilizationSeries": [
            [round(one.at_seconds), one.smi_percent, one.scraped_percent, one.watts] for one in utilization.seen
        ],
        "starts": starts,
        "decisions": fleet.decisions(scene),
        "series": fleet.series(looks),
        "rows": fleet.rows(outcomes),
        "engineMetrics": profile(scene.metrics(pod)),
        "at": time.time(),
    }


def since(begin: float, at: float | None) -> float | None:
    """Return the seconds from the burst's begin, if it came at all."""
    return None if at is None else at - begin


_PROFILE = ("decode_steps_total", "decode_step_seconds_total", "decode_step_requests_total", "decode_step_tokens_total")


def profile(text: str) -> Json:
    """Return the engine's curve of operating points, by batch: what the simulator is to be told."""
    from gpu.scene import labelled  # noqa: PLC0415

    return {name: labelled(text, f"batchedllm_engine:{name}", "batch_le") for name in _PROFILE}


def judge(measured: Json) -> list[Check]:
    """It is seen at once, three replicas come and go again, nobody is failed, and both meters read the same."""
    asked: Json = measured["requests"]
    patch, used = measured["toPatchSeconds"], measured["utilization"]
    apart: Any = None
    if used["smiPercent"] is not None:
        apart = abs(used["smiPercent"] - used["scrapedPercent"])
    return [
        Check(
            "seconds from the burst to more replicas wanted",
            patch,
            f"at most {_PATCH_SECONDS}",
            patch is not None and patch <= _PATCH_SECONDS,
        ),
        Check(
            "most replicas ready", measured["mostReady"], f"at least {fleet.MOST}", measured["mostReady"] >= fleet.MOST
        ),
        Check(
            "replicas wanted in the end",
            measured["toOneWantedSeconds"],
            "1 again",
            measured["toOneWantedSeconds"] is not None,
        ),
        Check(
            "requests that failed",
            asked["failures"],
            "none",
            not asked["failures"] and asked["served"] + asked["shed"] == asked["sent"],
        ),
        Check("requests turned away", asked["shed"], "0", asked["shed"] == 0),
        Check("decisions recorded", len(measured["decisions"]), "at least 2", len(measured["decisions"]) >= 2),
        Check(
            "mean utilization, scraped less nvidia-smi, points",
            apart,
            f"at most {_UTILIZATION_POINTS}",
            apart is not None and apart <= _UTILIZATION_POINTS,
        ),
    ]
