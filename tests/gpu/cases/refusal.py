"""A refusal is right: what is refused by a little cannot start, what is allowed by a little can, and so can the fix."""

import contextlib
from typing import Any

from gpu.results import Check
from gpu.scene import Json, Scene, SceneError, resource

LEAST_SECONDS = 100
_MODEL = "llama-3.1-8b"
_OVER, _UNDER = 1.02, 0.99
"""Just over the edge and just under it, by about as much as a plan may be off."""
_BLOCK = 16
_GIBIBYTES = 22.0
"""Weights of 15 GiB and some 50,000 tokens, on whatever GPU."""
_FAIL_SECONDS = 150
_TOO_SMALL = "KVCacheTooSmall"


def run(scene: Scene, measured: Json) -> None:
    """Find the edge by a plan, then try both sides of it with the real engine."""
    edge = _edge(scene)
    over = int(edge * _OVER) // _BLOCK * _BLOCK
    under = int(edge * _UNDER) // _BLOCK * _BLOCK
    measured |= {"edgeTokens": edge, "overTokens": over, "underTokens": under}
    refused = _apply(scene, "over", over, "enforce", 1)
    measured["refused"] = {**refused, "pods": len(scene.pods("over"))}
    measured["fix"] = (refused["fixes"] or [None])[0]
    scene.stop("over")
    measured["failed"] = _forced(scene, over)
    if measured["fix"]:
        measured["fixed"] = _starts(scene, "fixed", over, fix=measured["fix"])
    measured["under"] = _starts(scene, "under", under)


def _spec(scene: Scene, length: int, gate: str) -> Json:
    described = None if scene.inspects else f"model-{_MODEL}"
    return {
        "arguments": ("--enforce-eager",),
        "described_by": described,
        "memory": {"gpuUtilization": scene.utilization(_GIBIBYTES), "gate": gate},
        "batching": {"maxModelLen": length, "maxNumSeqs": 32, "maxNumBatchedTokens": 2048},
    }


def _edge(scene: Scene) -> int:
    """Return the longest length that fits, by the plan of a spec that is far too long."""
    scene.apply(resource("edge", _MODEL, replicas=0, **_spec(scene, 131072, "enforce")))
    told = scene.wait(
        lambda: ((scene.status("edge").get("plan") or {}).get("maxModelLen") or {}).get("largest"), "the edge", 120
    )
    scene.stop("edge")
    return int(told)


def _apply(scene: Scene, name: str, length: int, gate: str, replicas: int) -> Json:
    scene.apply(resource(name, _MODEL, replicas=replicas, **_spec(scene, length, gate)))
    scene.wait(
        lambda: scene.condition(name, "MemoryPlanned").get("status") in ("True", "False"), f"the plan of {name}", 60
    )
    planned = scene.condition(name, "MemoryPlanned")
    fixes = (scene.status(name).get("plan") or {}).get("fixes") or []
    return {"reason": planned.get("reason"), "message": planned.get("message"), "fixes": fixes}


def _forced(scene: Scene, length: int) -> Json:
    """Start what does not fit all the same, and see how the real engine's end is told."""
    name = "forced"
    begin = _apply(scene, name, length, "warn", 1)
    found: Json = {"planned": begin["reason"]}
    try:
        scene.wait(lambda: _conditions_with(scene, name, _TOO_SMALL), f"{name} is {_TOO_SMALL}", _FAIL_SECONDS)
        scene.wait(lambda: scene.condition(name, "MemoryPlanned").get("reason") == _TOO_SMALL, "a new plan", 20)
    except SceneError as error:
        found["error"] = str(error)[-1500:]
        scene.keep_logs("refusal-forced")
    found["conditions"] = {
        one["type"]: {"status": one["status"], "reason": one["reason"], "message": one["message"][:600]}
        for one in scene.status(name).get("conditions") or []
        if one["reason"] == _TOO_SMALL or one["type"] == "MemoryPlanned"
    }
    scene.stop(name)
    return found


def _conditions_with(scene: Scene, name: str, reason: str) -> list[Json]:
    return [one for one in scene.status(name).get("conditions") or [] if one["reason"] == reason]


def with_fix(document: Json, fix: Json) -> Json:
    """Return the resource with a proposed change made."""
    *path, last = fix["setting"].split(".")
    target: Any = document["spec"]
    for part in path:
        target = target.setdefault(part, {})
    value = fix["becomes"]
    target[last] = int(value) if value.isdecimal() else float(value) if value.replace(".", "", 1).isdecimal() else value
    return document


def _starts(scene: Scene, name: str, length: int, fix: Json | None = None) -> Json:
    document = resource(name, _MODEL, replicas=1, **_spec(scene, length, "enforce"))
    if fix:
        document = with_fix(document, fix)
    found: Json = {"ready": False, "spec": {key: document["spec"][key] for key in ("memory", "batching")}}
    with contextlib.suppress(SceneError), scene.serving(document):
        found["ready"] = True
    return found


def judge(measured: Json) -> list[Check]:
    """Both sides of the edge are as the plan says, and the real engine agrees."""
    refused = measured["refused"]
    told = measured.get("failed", {}).get("conditions", {}).get("MemoryPlanned", {})
    return [
        Check("just over the edge", refused["reason"], "DoesNotFit", refused["reason"] == "DoesNotFit"),
        Check("pods of it", refused["pods"], "0", refused["pods"] == 0),
        Check("the same, started all the same", told.get("reason"), _TOO_SMALL, told.get("reason") == _TOO_SMALL),
        Check(
            "its condition proposes changes",
            told.get("message", ""),
            "names changes that fit",
            "fit:" in told.get("message", ""),
        ),
        Check("the first proposed fix", measured.get("fix"), "starts", measured.get("fixed", {}).get("ready", False)),
        Check("just under the edge", measured["underTokens"], "starts", measured.get("under", {}).get("ready", False)),
    ]
