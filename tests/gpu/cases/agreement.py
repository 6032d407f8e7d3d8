"""Simulator = reality: the burst that was lived is played in `batchedllm simulate` with what was measured. No GPU."""

from gpu.results import Check
from gpu.scene import Json, Scene, SceneError

LEAST_SECONDS = 1
_LEAST_SHARE = 0.9
_MOST_PERCENT = 25.0


def run(scene: Scene, measured: Json) -> None:
    """Say where it is run: the simulator needs the repository's environment, and no GPU."""
    del scene, measured
    raise SceneError("run `python -m gpu agree RESULTS` with the burst's results, where `make venv` was run")


def judge(measured: Json) -> list[Check]:
    """The replicas over time agree, and the error of the p99 time to first token is small."""
    share, error = measured["measured"]["agreement"], measured["measured"]["ttftP99ErrorPercent"]
    return [
        Check(
            "share of the time in which the replicas agree", share, f"at least {_LEAST_SHARE}", share >= _LEAST_SHARE
        ),
        Check(
            "error of the p99 time to first token, %", error, f"within {_MOST_PERCENT:g}", abs(error) <= _MOST_PERCENT
        ),
    ]
