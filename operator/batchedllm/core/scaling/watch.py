"""What has just been seen of each pod and of the traffic: gone with the process, and seen again within minutes."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import field
from math import inf
from typing import Final, NamedTuple

from batchedllm.core.readings import PodReading
from batchedllm.core.record import changed, record
from batchedllm.core.scaling.capacity import LEVEL_SECONDS
from batchedllm.core.scaling.growth import Growth
from batchedllm.core.scaling.increments import Increment
from batchedllm.core.scaling.traffic import KEPT_SECONDS, Traffic

LATE_SECONDS: Final = 60.0
"""How far back the share of late requests is told."""
BUSY_SECONDS: Final = 60.0
"""How far back it is told how busy the replicas are."""
ASKED_CELL_SECONDS: Final = 10.0
JUST_ASKED_SECONDS: Final = 60.0
ASKED_SECONDS: Final = 3 * KEPT_SECONDS
"""How far back it is known what was asked for: more than the longest start-up that is counted on and a hold as long."""


class Answers(NamedTuple):
    """What the fleet answered since the look before."""

    at_seconds: float
    """Monotonic time of the look."""
    requests: float
    late: float
    queued: float = 0.0
    """Requests in the queue of a replica at the look before, on average."""


History = tuple[tuple[float, float], ...]
"""(monotonic seconds, value)."""


class PodWatch(NamedTuple):
    """One pod."""

    reading: PodReading
    """The last one that told its requests."""
    arrivals: History = ()
    """Requests that came, over `LEVEL_SECONDS`."""
    peaks: History = ()
    """The loads it was under, of which only those are kept that no later one exceeds."""

    def after(self, reading: PodReading, one: Increment | None, tokens: float) -> "PodWatch":
        """Return it with what the pod did until this reading, where that is known, in requests of so many tokens.

        It was under the load of what came within ten seconds and what waited there already: both have to be served.
        """
        if one is None:
            return PodWatch(reading, self.arrivals, self.peaks)
        now = one.at_seconds
        arrivals = (*_since(now - LEVEL_SECONDS, self.arrivals), (now, one.arrived_within(LEVEL_SECONDS)))
        came = sum([requests for _, requests in arrivals])
        load = (came + one.queued_before) * tokens / LEVEL_SECONDS
        peaks = _since(now - KEPT_SECONDS, self.peaks)
        higher = len(peaks)
        while higher and peaks[higher - 1][1] <= load:
            higher -= 1
        return PodWatch(reading, arrivals, (*peaks[:higher], (now, load)))

    def load_since(self, at_seconds: float) -> float:
        """Return the highest load, in tokens per second, that it was under since then."""
        load = 0.0
        for at, load in self.peaks:  # noqa: B007 - the last one counts where none is later
            if at > at_seconds:
                break
        return load


@record
class Watch:
    """The fleet."""

    pods: Mapping[str, PodWatch] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    growth: Growth = field(default_factory=Growth)
    at_seconds: float | None = None
    """When arrivals were last counted."""
    asked: History = ()
    """Tokens per second that the replicas asked for at the time would serve, the most of each ten seconds."""
    answered: tuple[Answers, ...] = ()
    """Over `LATE_SECONDS`."""
    busy: History = ()
    """How busy the replicas likely were, by their steps, over `BUSY_SECONDS`."""

    def with_asked(self, now_seconds: float, tokens_per_second: float) -> "Watch":
        """Remember what was asked for now."""
        asked = self.asked
        if asked and now_seconds - asked[-1][0] < ASKED_CELL_SECONDS:
            return changed(self, asked=(*asked[:-1], (asked[-1][0], max(asked[-1][1], tokens_per_second))))
        kept = tuple([one for one in asked if one[0] > now_seconds - ASKED_SECONDS])
        return changed(self, asked=(*kept, (now_seconds, tokens_per_second)))

    def asked_between(self, from_seconds: float, to_seconds: float) -> float:
        """Return the most that was asked for in a time, in tokens per second."""
        first, last = bisect_left(self.asked, (from_seconds,)), bisect_right(self.asked, (to_seconds, inf))
        return max([rate for _, rate in self.asked[first:last]], default=0.0)

    def met_anyway(self, startup_seconds: float, hold_seconds: float, now_seconds: float) -> float:
        """Return the demand, in tokens per second, that replicas serve now which were asked for in time.

        That was a start-up ago, or within the hold before. To be kept until now it must have been asked for within a
        hold again; of that the last minute says nothing, as what a burst asks for in it is not there yet.
        """
        moments = (now_seconds - startup_seconds, now_seconds - min(JUST_ASKED_SECONDS, startup_seconds))
        return min([self.asked_between(moment - hold_seconds, moment) for moment in moments])

    def busy_with(self, now_seconds: float, share: float | None) -> History:
        """Return how busy the replicas were with how busy they are now, where that is known."""
        return self.busy if share is None else (*_since(now_seconds - BUSY_SECONDS, self.busy), (now_seconds, share))

    def busyness(self, now_seconds: float) -> float | None:
        """Return how busy the replicas likely were in the last minute, on average; None where no steps were told."""
        busy = [share for _, share in _since(now_seconds - BUSY_SECONDS, self.busy)]
        return sum(busy) / len(busy) if busy else None

    def late_share(self) -> tuple[float, float]:
        """Return the share of late requests of the last minute, and how many requests it is of."""
        answered = late = 0.0
        for some in self.answered:
            answered += some.requests
            late += some.late
        return (late / answered if answered else 0.0), answered

    def longest_queue(self) -> float:
        """Return how many requests waited in the queue of a replica, the most of the last minute."""
        return max([some.queued for some in self.answered], default=0.0)


def _since(at_seconds: float, history: History) -> History:
    """Return what came later than this."""
    return history[bisect_right(history, (at_seconds, inf)) :]
