"""The engine's own benchmark (`python -m batchedllm_engine bench`) on the host, without Kubernetes."""

from gpu.results import Check
from gpu.scene import Json, Scene

LEAST_SECONDS = 10_000
"""Until the engine's package has a benchmark, there is nothing to run."""


def run(scene: Scene, measured: Json) -> None:
    """Nothing yet."""
    del scene, measured


def judge(measured: Json) -> list[Check]:
    """Nothing yet."""
    return [Check("benchmark", None, "there", bool(measured))]
