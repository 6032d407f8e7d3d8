"""Start-up in phases: the same engine with an empty compile cache and with a filled one."""

from typing import Any

from gpu.cases import fleet, priority
from gpu.results import Check
from gpu.scene import Json, Scene

LEAST_SECONDS = 60


def run(scene: Scene, measured: Json) -> None:
    """Start the fleet's engine once more, now that its cache is filled, and gather what all starts told."""
    scene.stop(fleet.NAME)
    document = fleet.document(scene, most=1)
    with scene.serving(document):
        told = scene.wait(lambda: _startup_told(scene), "the operator's start-up time", 20)
    measured |= {
        "starts": scene.starts,
        "told": told,
        "startupPlan": "not in vLLM 0.26 (VLLM_ENABLE_STARTUP_PLAN came later)",
    }


def _startup_told(scene: Scene) -> Any:
    return scene.status(fleet.NAME).get("readyReplicas")


def cold_and_warm(starts: list[Json]) -> tuple[Json | None, Json | None]:
    """Return the starts of the fleet's model that compiled longest and shortest, whichever case made them.

    The priority case serves the same model, and fills the cache where it comes first.
    """
    same_model = (fleet.NAME, priority.NAME)
    known = [one for one in starts if one["resource"] in same_model and one["phases"].get("total")]
    ranked = sorted(known, key=lambda one: one["phases"].get("compile", 0.0))
    return (ranked[-1], ranked[0]) if len(ranked) > 1 else (None, None)


def judge(measured: Json) -> list[Check]:
    """A filled cache is what makes a start short, and each phase is told."""
    cold, warm = cold_and_warm(measured["starts"])
    if cold is None or warm is None:
        return [Check("starts of the same engine", 0, "two or more", holds=False)]
    both = [cold["phases"]["total"], warm["phases"]["total"]]
    compiling = [one["phases"].get("compile", 0.0) for one in (cold, warm)]
    missing = sorted({"import", "load_weights", "initialize", "total"} - set(warm["phases"]))
    return [
        Check("seconds of a start, empty cache and filled", both, "less with the filled one", both[1] < both[0]),
        Check(
            "seconds of it that compiling took",
            compiling,
            "at most half with the filled one: else none was empty",
            2 * compiling[1] <= compiling[0],
        ),
        Check("phases that are not told", missing, "none", not missing),
    ]
