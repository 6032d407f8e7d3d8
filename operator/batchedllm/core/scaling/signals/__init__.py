"""What each signal asks for, from one look at the fleet; `opinion` says what an opinion is."""

from typing import Final

from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.signals.assumption import is_enough, without_addition
from batchedllm.core.scaling.signals.gpu_power import gpu_power
from batchedllm.core.scaling.signals.gpu_utilization import gpu_utilization
from batchedllm.core.scaling.signals.kv_cache_usage import kv_cache_usage
from batchedllm.core.scaling.signals.latency import latency
from batchedllm.core.scaling.signals.opinion import Opinion, Signal
from batchedllm.core.scaling.signals.past_demand import past_demand
from batchedllm.core.scaling.signals.queue_depth import queue_depth
from batchedllm.core.scaling.signals.token_rate import token_rate
from batchedllm.core.scaling.types import ScalingState

SIGNALS: Final[tuple[Signal, ...]] = (queue_depth, token_rate, past_demand, kv_cache_usage, latency, gpu_utilization)
"""Those that are always asked, the most trusted first: of equal opinions the first is named."""


def opinions(state: ScalingState, outlook: Outlook) -> tuple[Opinion, ...]:
    """Return every signal's say; that of the GPUs' power only where it has a target."""
    said = [signal(state, outlook) for signal in SIGNALS]
    if is_enough(state, outlook):
        said = [without_addition(one, state.fleet.wanted) for one in said]
    power = state.policy.signals.gpu_power
    return tuple(said) if power is None else (*said, gpu_power(state, power.target_watts))
