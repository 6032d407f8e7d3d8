"""GPU utilization: the share of the time in which any kernel ran, which says that work is done and not how much."""

from typing import Final

from batchedllm.core.readings import FleetLoad
from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.signals.opinion import (
    NO_GPU_METRICS,
    NOBODY_REPORTS,
    PARTLY_REPORTED,
    Opinion,
    replicas_in_words,
    towards_target,
)
from batchedllm.core.scaling.signals.queue_depth import SAFE_OCCUPANCY
from batchedllm.core.scaling.types import ScalingState

NAME: Final = "gpuUtilization"


def gpu_utilization(state: ScalingState, outlook: Outlook) -> Opinion:
    """Ask for replicas by the GPUs' busy time, in the role that the policy gives it.

    `target` is the HPA's formula, `ceil(replicas * utilization / target)` outside a tolerance of 10 %. `guard` keeps
    the replicas while the utilization is above the target, unless these are known to have room: NVML reads 100 % from
    two requests on.
    """
    signal, load = state.policy.signals.gpu_utilization, state.load
    if signal.role == "off":
        return Opinion(NAME, None, "off: not read")
    if load is None or not load.reporting_replicas:
        return Opinion(NAME, None, NOBODY_REPORTS, known=False)
    if load.no_gpu_metrics:
        return Opinion(NAME, None, NO_GPU_METRICS)
    percent = load.gpu_utilization_percent_mean
    if percent is None:
        return Opinion(NAME, None, PARTLY_REPORTED, known=False)
    numbers = f"GPUs {percent:.0f} % busy, {signal.role} {signal.target} %"
    if signal.role == "target":
        return Opinion(NAME, towards_target(load, percent / signal.target), numbers, known=load.is_complete)
    return _guard(state, outlook, load, numbers) if percent > signal.target else Opinion(NAME, None, _idle(numbers))


def _guard(state: ScalingState, outlook: Outlook, load: FleetLoad, numbers: str) -> Opinion:
    full = _fullness(state, outlook, load)
    if full is not None and _with_one_less(full, load.reporting_replicas) <= SAFE_OCCUPANCY:
        words = f"{numbers}, but {replicas_in_words(load.reporting_replicas)} {full:.0%} full"
        return Opinion(NAME, None, _idle(words))
    return Opinion(NAME, state.fleet.wanted, f"{numbers}: no replica is removed")


def _with_one_less(full: float, replicas: int) -> float:
    """Return how full the replicas would be if one of them was gone and the others had its load; one stays."""
    return full * replicas / max(1, replicas - 1)


def _idle(words: str) -> str:
    return f"{words}: no objection to removing replicas"


def _fullness(state: ScalingState, outlook: Outlook, load: FleetLoad) -> float | None:
    """Return how full the replicas are, by batch, tokens or steps: the least that is known; None if none is."""
    known = [] if outlook.busy is None else [outlook.busy]
    if state.memory.full_batch and load.running_total is not None:
        known.append(load.running_total / load.reporting_replicas / state.memory.full_batch)
    if outlook.is_known and outlook.speed_is_known:
        known.append(outlook.demands[0][1] / load.reporting_replicas / outlook.speed)
    return min(known, default=None)
