"""Token rate: load before it queues. Of all signals the only one that says the same of every workload."""

from typing import Final

from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.signals.opinion import (
    NOBODY_REPORTS,
    NOT_TOLD,
    Opinion,
    thousands,
    uncounted_replicas,
    working_replicas,
    worth,
)
from batchedllm.core.scaling.signals.queue_depth import sustained
from batchedllm.core.scaling.types import ScalingState

NAME: Final = "tokenRate"


def token_rate(state: ScalingState, outlook: Outlook) -> Opinion:
    """Ask for `demand / what a replica holds`: the most of several windows, each a part of a start-up.

    The mean of half a start-up counts as what it may have grown to when a replica is there.
    """
    load = state.load
    if state.policy.signals.token_rate.role == "off":
        return Opinion(NAME, None, "off: not read")
    if load is None or working_replicas(load) <= 0:
        return Opinion(NAME, None, NOBODY_REPORTS, known=False)
    if not outlook.is_known:
        return Opinion(NAME, None, NOT_TOLD)
    held = sustained(state, outlook)
    window_seconds, demand, words = _most(outlook)
    reason = (
        f"{thousands(demand)} tokens/s come over {window_seconds:.0f} s{words}, a replica holds {thousands(held)}, "
        f"{thousands(outlook.speed)} at full speed"
    )
    return Opinion(NAME, worth(demand / held) + uncounted_replicas(load), reason, known=load.is_complete)


def _most(outlook: Outlook) -> tuple[float, float, str]:
    """Return the window with the largest demand, that demand, and what was added to it."""
    seconds, demand = max(outlook.demands, key=lambda one: one[1])
    half, steady = outlook.demands[len(outlook.demands) // 2]
    if steady + outlook.growth <= demand:
        return seconds, demand, ""
    grown = f", with {thousands(outlook.growth)} by which it grows within a start-up"
    return half, steady + outlook.growth, grown
