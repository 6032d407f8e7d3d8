"""How long a replica takes to start, from the pods that have started lately.

Those that were removed since count too: after a burst only the oldest replica is left, whose own start met an empty
cache and says little of the next one.
"""

from collections.abc import Sequence
from statistics import median_low
from typing import Final

from batchedllm.core.container_state import time_of
from batchedllm.core.reconcile_types import Manifest
from batchedllm.core.scaling.types import Start

KEPT: Final = 5
"""The median of so few follows a cache that fills, and a pod that was not ready for a while does not move it."""


def starts_of(pods: Sequence[Manifest]) -> tuple[Start, ...]:
    """Return the starts of the pods that are ready and have not restarted."""
    return tuple(one for one in map(_start_of, pods) if one is not None)


def remembered(known: tuple[Start, ...], seen: tuple[Start, ...]) -> tuple[Start, ...]:
    """Return the latest starts of both, by when their pods were made.

    What was known of a pod stays: one that was not ready for a while since seems to have taken long.
    """
    by_pod = {one.pod: one for one in (*seen, *known)}
    return tuple(sorted(by_pod.values())[-KEPT:])


def usual_seconds(starts: tuple[Start, ...]) -> float | None:
    """Return what a start takes: the median, None without any."""
    return median_low(one.seconds for one in starts) if starts else None


def _start_of(pod: Manifest) -> Start | None:
    status = pod.get("status") or {}
    ready: Manifest = next((one for one in status.get("conditions") or () if one.get("type") == "Ready"), {})
    restarted = any(one.get("restartCount") for one in status.get("containerStatuses") or ())
    made, became_ready = pod["metadata"].get("creationTimestamp"), ready.get("lastTransitionTime")
    if ready.get("status") != "True" or restarted or not made or not became_ready:
        return None
    made_at = time_of(made)
    return Start(made_at.timestamp(), str(pod["metadata"]["name"]), (time_of(became_ready) - made_at).total_seconds())
