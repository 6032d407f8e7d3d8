"""One signal's say, and how numbers are put in it.

An opinion is absolute: replicas in all, those that are still starting included. So a need that pending replicas will
serve is not added a second time.
"""

from collections.abc import Callable
from math import ceil
from typing import Final

from batchedllm.core.readings import FleetLoad
from batchedllm.core.record import record
from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.types import ScalingState, SignalCandidate

TOLERANCE: Final = 0.1
"""Relative distance from a target that is left alone, as the Kubernetes HPA does (its default)."""

TOLERATED_PART: Final = 0.15
"""Part of a replica that is not worth one: what is learned is not known better than that."""

ROUNDING: Final = 1e-9
"""Taken off before rounding up, so that 3.0000000000000004 replicas are 3."""

MOST_REPLICAS: Final = 1_000_000
"""Bound of any opinion; far above what the resource allows, and small enough to compute with."""

NOBODY_REPORTS: Final = "unknown: no ready replica reports"
NO_GPU_METRICS: Final = "left out: no replica reports it (CPU engine, or image without exporter)"
PARTLY_REPORTED: Final = "unknown: some replicas report it, others do not"
NOT_TOLD: Final = "left out: the engines do not report finished requests, tokens and times to first token"


@record
class Opinion:
    """One signal's say."""

    signal: str
    replicas: int | None
    """None: no say."""
    reason: str
    known: bool = True
    """False: the signal should be there and is not (or not for all replicas), so nothing may be removed."""

    @property
    def candidate(self) -> SignalCandidate:
        """The opinion as it is recorded."""
        return SignalCandidate(self.signal, self.replicas, self.reason)


Signal = Callable[[ScalingState, Outlook], Opinion]


def working_replicas(load: FleetLoad) -> int:
    """Return how many replicas report and do not stall."""
    return load.reporting_replicas - len(load.stalled_pods)


def uncounted_replicas(load: FleetLoad) -> int:
    """Return the replicas whose load is unknown: silent ones that were heard before, and stalled ones.

    They are needed on top of what the others' load asks for. One that has just become ready and was not read yet is
    capacity on its way, like a pending one.
    """
    return load.unheard_replicas + len(load.stalled_pods)


def rounded_up(replicas: float) -> int:
    """Return whole replicas."""
    return ceil(min(replicas, MOST_REPLICAS) - ROUNDING)


def towards_target(load: FleetLoad, ratio: float) -> int:
    """Return the HPA's answer to a mean of so many times its target: `ceil(replicas * ratio)` outside the tolerance."""
    replicas = load.reporting_replicas
    if abs(ratio - 1) > TOLERANCE + ROUNDING:
        replicas = max(1, rounded_up(replicas * ratio))
    return replicas + load.unheard_replicas


def worth(replicas: float) -> int:
    """Return whole replicas for an estimate, at least one: a small part of one is not worth it."""
    return max(1, rounded_up(replicas - TOLERATED_PART))


def thousands(number: float) -> str:
    """Write a number as people say it: 950, 12.1k, 1.3M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.1f}{name}" if number < 100 * unit else f"{number / unit:.0f}{name}"
    return f"{number:.0f}"


def plural(count: float, word: str) -> str:
    """Return the word as it goes with the count."""
    return word if round(count) == 1 else f"{word}s"


def replicas_in_words(count: int) -> str:
    """Return the count with its word."""
    return f"{count} {plural(count, 'replica')}"


def stalled_words(load: FleetLoad) -> str:
    """Say that engines do nothing about their queues."""
    return (
        f"EngineStalled: {load.stalled_queue_depth:.0f} requests wait in {', '.join(load.stalled_pods[:3])}, "
        "where neither tokens nor the GPU move; more replicas would not help"
    )
