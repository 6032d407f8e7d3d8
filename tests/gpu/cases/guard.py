"""The guard: a GPU that one request keeps busy needs no more replicas, and an engine that hangs is no lack of them."""

import signal
import time

from gpu import meter
from gpu.cases import fleet
from gpu.results import Check
from gpu.scene import Json, Scene

LEAST_SECONDS = 130
_ALONE_SECONDS = 60.0
_BUSY_PERCENT = 80
_STALL_SECONDS = 75
_STALLED = "EngineStalled"
_WAITING = 4
"""Requests beyond the batch, fewer than would ask for a replica."""


def run(scene: Scene, measured: Json) -> None:
    """A minute of batch 1, then a stop of the engine's process under load."""
    scene.apply(fleet.document(scene))
    (pod, *_) = scene.wait_ready(fleet.NAME)
    with fleet.Watcher(scene) as calm:
        calm.until(lambda one: one.wanted == 1, 60)
    measured["alone"] = _alone(scene, pod)
    scene.apply(_by_queue_alone(scene))
    measured["stopped"] = _stopped(scene, pod)


def _by_queue_alone(scene: Scene) -> Json:
    """Return the fleet's BatchedLLM scaled by its queue alone, so that a full batch with a short queue is no reason."""
    document = fleet.document(scene)
    signals = {"queueDepth": {"perReplica": 8}, "tokenRate": {"role": "off"}, "pastDemand": {"role": "off"}}
    document["spec"]["scaling"]["signals"] = signals
    return document


def _alone(scene: Scene, pod: Json) -> Json:
    seconds = _ALONE_SECONDS if scene.gpu else 15.0
    pods_address = f"http://{pod['status']['podIP']}:8000"
    with fleet.Watcher(scene) as watcher, meter.Meter(pods_address) as utilization:
        thread, outcomes = fleet.hold(scene.address(fleet.NAME), 1, seconds, (64, 512))
        thread.join(timeout=seconds + 60)
        looks = list(watcher.looks)
    settled = [one for one in looks if 8 < one.at_seconds < seconds]  # the operator's window has to fill
    told = [one.gpu_percent for one in settled if one.gpu_percent is not None]
    return {
        "requests": fleet.summed(outcomes),
        "utilization": meter.means([one for one in utilization.seen if one.at_seconds < seconds]),
        "toldPercent": sum(told) / len(told) if told else None,
        "mostWanted": max((one.wanted for one in looks), default=None),
        "series": fleet.series(looks),
    }


def _stopped(scene: Scene, pod: Json) -> Json:
    found: Json = {}
    with fleet.Watcher(scene) as watcher:
        thread, outcomes = fleet.hold(scene.address(fleet.NAME), fleet.BATCH + _WAITING, 10.0, (64, 256))
        waiting = watcher.until(lambda one: (one.queue or 0) > 0, 20)
        numbers = scene.processes(pod, scene.engine_process)
        wanted = watcher.looks[-1].wanted if watcher.looks else None
        stopped_at = watcher.seconds
        scene.signal(numbers, signal.SIGSTOP)
        try:
            seen = watcher.until(
                lambda one: one.conditions.get("EngineHealthy", {}).get("reason") == _STALLED, _STALL_SECONDS
            )
            time.sleep(5)
            found["conditions"] = {
                kind: {name: one[name] for name in ("status", "reason", "message")}
                for kind, one in watcher.looks[-1].conditions.items()
            }
        finally:
            scene.signal(numbers, signal.SIGCONT)
        thread.join(timeout=scene.budget.bounded(120, "the answers after the stop"))
        found |= {
            "processes": len(numbers),
            "queueSeen": waiting is not None,
            "toStalledSeconds": None if seen is None else seen - stopped_at,
            "wantedBefore": wanted,
            "mostWantedAfter": max(
                (one.wanted for one in watcher.looks if one.at_seconds > stopped_at + 2), default=None
            ),
            "requests": fleet.summed(outcomes),
            "series": fleet.series(watcher.looks),
            "decisions": fleet.decisions(scene),
        }
    return found


def judge(measured: Json) -> list[Check]:
    """Utilization alone adds nothing; a hanging engine is named, and adds nothing either."""
    alone, stopped = measured["alone"], measured["stopped"]
    busy = alone["utilization"]["smiPercent"]
    told = alone["toldPercent"]
    return [
        Check(
            "nvidia-smi at batch 1, %", busy, f"at least {_BUSY_PERCENT}", busy is not None and busy >= _BUSY_PERCENT
        ),
        Check(
            "the operator's reading of it, %",
            told,
            f"at least {_BUSY_PERCENT}",
            told is not None and told >= _BUSY_PERCENT,
        ),
        Check("most replicas wanted meanwhile", alone["mostWanted"], "1", alone["mostWanted"] == 1),
        Check("engine processes stopped", stopped["processes"], "at least 1", stopped["processes"] >= 1),
        Check(
            "seconds until EngineStalled",
            stopped["toStalledSeconds"],
            f"at most {_STALL_SECONDS}",
            stopped["toStalledSeconds"] is not None,
        ),
        Check(
            "replicas wanted after the stop",
            [stopped["wantedBefore"], stopped["mostWantedAfter"]],
            "no more than before",
            (stopped["mostWantedAfter"] or 0) <= (stopped["wantedBefore"] or 0),
        ),
    ]
