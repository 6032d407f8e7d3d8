"""What the signals look at, worked out once for all of them: the demand, and what a replica holds of it."""

from math import inf
from typing import Final

from batchedllm.core.record import record
from batchedllm.core.scaling.capacity import held_within
from batchedllm.core.scaling.experience import Experience
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.types import ScalingState
from batchedllm.core.scaling.watch import Watch

UNKNOWN_STARTUP_SECONDS: Final = 120.0
"""From asking for a replica to its first answer, before one was seen to start: 8B models from a warm disk take one to
two minutes, larger ones longer."""
SHORTEST_STARTUP_SECONDS: Final = 5.0
LONGEST_STARTUP_SECONDS: Final = 600.0

SHORTEST_WINDOW_SECONDS: Final = 20.0
"""Over less than this arrivals are mostly chance: twice the time a load is measured over."""
LEAST_FALL_SECONDS: Final = 60.0
"""Shortest window over which demand is said to fall, beside the one before it; a start-up where that is longer."""
WINDOW_SHARES: Final = (0.25, 0.5, 1.0)
"""Windows as parts of a start-up. A rise that has lasted for a part of it may well last until a replica is there; one
that is much shorter will be over."""

SINCE_MIDDLE: Final = 1.25
"""Factor on the growth within a start-up: the mean of half of one, which it is added to, is a quarter of one old."""

UNAVOIDABLE: Final = 1.1
"""Factor on the share that is late even at the lowest load: no replica is asked for what none helps."""


@record
class Outlook:
    """See the module. Loads are tokens per second, prompt and output together."""

    objective: Objective
    startup_seconds: float
    demands: tuple[tuple[float, float], ...]
    """(seconds, mean demand of the whole fleet over them), the shortest window first."""
    tokens: float
    """Mean of a request."""
    speed: float
    """What a full replica likely does."""
    least_speed: float
    """What it does at least."""
    speed_is_known: bool
    """Whether that was seen, rather than assumed."""
    held: float
    """What a replica holds within the SLO."""
    late_shares: tuple[float, ...]
    """Share of late requests by the level of a replica's load."""
    attainable_late_share: float
    """Share that may be late: the objective's, or a little more than replicas with next to nothing to do have late."""
    past: tuple[float, ...]
    """Requests of the past by the level of the demand they came at."""
    margin: float
    """Factor on what the past asks for, for what it has not shown yet."""
    growth: float
    """By how much the mean of half a start-up may have grown when a replica that is asked for now is there; 0 where it
    is not steady, or falls."""
    late_share: float
    """Share of late requests in the last minute."""
    answered: float
    """Requests that `late_share` is of."""
    longest_queue: float = 0.0
    """Requests in the queue of a replica, the most of the last minute."""
    busy: float | None = None
    """How busy the replicas likely were in the last minute, by their steps; None where none were told."""
    is_known: bool = True
    """Whether the engines tell their requests at all."""


def outlook(experience: Experience, watch: Watch, state: ScalingState, now_seconds: float, *, is_told: bool) -> Outlook:
    """Work it out."""
    objective, sizes, capacity = state.objective, experience.sizes, experience.capacity
    startup = startup_seconds(state)
    shares = capacity.late_shares(objective, objective.allowed_ttft_seconds(sizes.prompt_tokens))
    attainable = max(objective.late_share, UNAVOIDABLE * shares[0])
    windows = sorted({max(SHORTEST_WINDOW_SECONDS, share * startup) for share in WINDOW_SHARES})
    rates = [watch.traffic.requests_per_second(window, now_seconds) for window in windows]
    growth = watch.growth.of(rates[len(rates) // 2]) * SINCE_MIDDLE
    grows = (
        growth > 0
        and watch.traffic.is_steady(now_seconds)
        and not watch.traffic.is_falling(max(LEAST_FALL_SECONDS, startup), now_seconds)
    )
    late_share, answered = watch.late_share()
    return Outlook(
        objective=objective,
        startup_seconds=startup,
        demands=tuple((window, rate * sizes.tokens) for window, rate in zip(windows, rates, strict=True)),
        tokens=sizes.tokens,
        speed=capacity.tokens_per_second,
        least_speed=capacity.least_tokens_per_second,
        speed_is_known=capacity.is_known,
        held=held_within(shares, attainable),
        late_shares=shares,
        attainable_late_share=attainable,
        past=experience.history.unmet,
        margin=experience.history.margin,
        growth=growth * sizes.tokens if grows else 0.0,
        late_share=late_share,
        answered=answered,
        longest_queue=watch.longest_queue(),
        busy=watch.busyness(now_seconds),
        is_known=is_told,
    )


def startup_seconds(state: ScalingState) -> float:
    """Return how long a replica takes to start, as last seen, within what is counted on."""
    seen = state.fleet.startup_seconds
    if seen is None or not 0 < seen < inf:
        return UNKNOWN_STARTUP_SECONDS
    return min(LONGEST_STARTUP_SECONDS, max(SHORTEST_STARTUP_SECONDS, seen))
