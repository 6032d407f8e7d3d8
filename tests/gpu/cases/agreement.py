"""Simulator = reality: the burst that was lived is played in `batchedllm simulate` with what was measured. No GPU."""

from gpu.results import Check
from gpu.scene import Json, Scene

LEAST_SECONDS = 10_000
"""It is run where the repository's environment is, of a finished burst: `python -m gpu agree`."""


def run(scene: Scene, measured: Json) -> None:
    """Nothing on the GPU's host."""
    del scene, measured


def judge(measured: Json) -> list[Check]:
    """The replicas over time and the p99 time to first token, side by side."""
    return [Check("error", measured.get("error"), "stated", measured.get("error") is not None)]
