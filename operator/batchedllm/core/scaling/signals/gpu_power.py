"""Power that the GPUs draw: it goes on growing with the batch where the utilization reads 100 % already."""

from typing import Final

from batchedllm.core.scaling.signals.opinion import (
    NO_GPU_METRICS,
    NOBODY_REPORTS,
    PARTLY_REPORTED,
    Opinion,
    towards_target,
)
from batchedllm.core.scaling.types import ScalingState

NAME: Final = "gpuPower"


def gpu_power(state: ScalingState, target_watts: int) -> Opinion:
    """Ask for replicas by the HPA's formula: `ceil(replicas * watts / target)` outside a tolerance of 10 %."""
    load = state.load
    if load is None or not load.reporting_replicas:
        return Opinion(NAME, None, NOBODY_REPORTS, known=False)
    watts = load.gpu_power_watts_mean
    if watts is None:
        if any(reading.gpu_power_watts is not None for reading in load.readings):
            return Opinion(NAME, None, PARTLY_REPORTED, known=False)
        return Opinion(NAME, None, NO_GPU_METRICS)
    numbers = f"GPUs draw {watts:.0f} W, target {target_watts} W"
    return Opinion(NAME, towards_target(load, watts / target_watts), numbers, known=load.is_complete)
