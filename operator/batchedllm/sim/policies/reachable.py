"""What can be had without knowing the future: told beside ours.

A family of policies that no one can run in life: they know the work of every request when it comes, before a word of
the answer is written, and they know what a replica holds. A floor of replicas, asked for at the first decision, takes
what comes faster than replicas start. The best member is chosen with knowledge of the traffic that it is scored on.
They begin as everybody does, with what the first minutes need: a fleet that is there for a burst before anything was
seen is no policy's merit. That shows what can be had, and does not prove that nothing better can.
"""

from dataclasses import dataclass

from batchedllm.sim.fleet.autoscaler import Autoscaler, Seen
from batchedllm.sim.policies.inference import token_rate
from batchedllm.sim.policies.peer import PeerAutoscaler, Profile


@dataclass(frozen=True, slots=True)
class Reactive:
    """A member of the family."""

    utilization: float
    """Share of a replica's capacity that is counted on."""
    hold_seconds: float
    """For so long a replica is kept after it was needed last."""
    floor: int
    """Fewest replicas."""


def reachable(profile: Profile, reactive: Reactive) -> Autoscaler:
    """Return a member of the family as an autoscaler."""
    inner = PeerAutoscaler(token_rate(profile, reactive.utilization, reactive.hold_seconds))
    return _Floored(inner, reactive.floor)


class _Floored:
    def __init__(self, inner: Autoscaler, floor: int) -> None:
        self.interval_seconds = inner.interval_seconds
        self._inner = inner
        self._floor = floor

    def want(self, seen: Seen) -> int:
        """Return what the inner one wants, or the floor."""
        return max(self._floor, self._inner.want(seen))
