"""Power that the GPUs draw: it goes on growing with the batch where the utilization reads 100 % already."""

from typing import Final

from batchedllm.core.scaling.signals.opinion import NOBODY_REPORTS, Opinion, towards_target
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
            return Opinion(NAME, None, "unknown: some replicas report it, others do not", known=False)
        return Opinion(NAME, None, "left out: no replica reports it (CPU engine, or image without exporter)")
    numbers = f"GPUs draw {watts:.0f} W, target {target_watts} W"
    return Opinion(NAME, towards_target(load, watts / target_watts), numbers, known=load.is_complete)
