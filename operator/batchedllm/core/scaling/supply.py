"""Replicas that find no node: how long they may wait for one, when they are given up, and when more are tried again.

A pod that cannot be scheduled serves nobody, yet it keeps the fleet from growing and, where a cluster autoscaler runs,
asks it for nodes that do not exist. So the wait has an end, and the next try a pause before it that doubles each time.
"""

from typing import Final

from batchedllm.api.scaling import ScaleUp
from batchedllm.core.record import changed
from batchedllm.core.scaling.types import Fleet, Supply

LONGEST_PAUSE_SECONDS: Final = 3600.0
"""Bound of the doubled pauses: freed nodes are found within the hour."""

MOST_DOUBLINGS: Final = 20
"""More would only make large numbers: the pause is at its bound long before."""


def observe(supply: Supply, now_seconds: float, fleet: Fleet, policy: ScaleUp, fewest: int) -> Supply:
    """Take note of the replicas without a node, and give them up once they waited for too long.

    Below `fewest` nothing is given up. Replicas that got ready beyond those that were left prove that there are nodes
    again, and so does an hour after the pause without any that finds none: earlier failures are forgotten then.
    """
    if supply.ceiling is not None and fleet.ready > supply.ceiling:
        supply = Supply()
    if supply.rests(now_seconds):
        return supply
    if fleet.unschedulable == 0:
        is_long_ago = now_seconds >= supply.retry_at_seconds + LONGEST_PAUSE_SECONDS
        return Supply() if is_long_ago else changed(supply, short_since_seconds=None)
    since = now_seconds if supply.short_since_seconds is None else supply.short_since_seconds
    left = max(fewest, fleet.wanted - fleet.unschedulable)
    if left >= fleet.wanted or now_seconds - since < policy.unschedulable_seconds:
        return changed(supply, short_since_seconds=since)
    pause = policy.unschedulable_pause_seconds * 2.0 ** min(supply.failures, MOST_DOUBLINGS)
    return Supply(
        ceiling=left,
        retry_at_seconds=now_seconds + min(LONGEST_PAUSE_SECONDS, pause),
        pause_seconds=min(LONGEST_PAUSE_SECONDS, pause),
        failures=supply.failures + 1,
        given_up=fleet.wanted - left,
        reason=fleet.unschedulable_reason,
    )


def words(supply: Supply, policy: ScaleUp) -> str:
    """Say what was given up, for how long, and why; the same at every look, so that it is one write."""
    replicas = "replica" if supply.given_up == 1 else "replicas"
    told = f"{supply.given_up} {replicas} found no node within {policy.unschedulable_seconds} s and"
    paused = f"{'is' if supply.given_up == 1 else 'are'} given up for {supply.pause_seconds:.0f} s"
    return f"{told} {paused}" + (f": {supply.reason}" if supply.reason else "")
