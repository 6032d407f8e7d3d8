"""KV cache usage: where it is full, requests wait or are computed again, whatever else there is room for."""

from typing import Final

from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.signals.opinion import (
    NOBODY_REPORTS,
    TOLERANCE,
    Opinion,
    rounded_up,
    working_replicas,
)
from batchedllm.core.scaling.types import ScalingState

NAME: Final = "kvCacheUsage"


def kv_cache_usage(state: ScalingState, _outlook: Outlook) -> Opinion:
    """Ask for the replicas among which the blocks in use are each one's target share, outside a tolerance of 10 %."""
    signal, load = state.policy.signals.kv_cache_usage, state.load
    if signal.role == "off":
        return Opinion(NAME, None, "off: not read")
    if load is None or working_replicas(load) <= 0:
        return Opinion(NAME, None, NOBODY_REPORTS, known=False)
    usage = load.kv_cache_usage_fraction_mean
    if usage is None:
        return Opinion(NAME, None, "unknown: some replicas do not report it", known=False)
    ratio, replicas = usage / (signal.target / 100), load.reporting_replicas
    if ratio > 1 + TOLERANCE:
        replicas = rounded_up(replicas * ratio)
    elif ratio <= 1:
        replicas = min(replicas, max(1, rounded_up(replicas * ratio)))
    reason = f"{usage:.0%} of the KV cache in use, target {signal.target} %"
    return Opinion(NAME, replicas + load.unheard_replicas, reason, known=load.is_complete)
