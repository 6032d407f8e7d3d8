"""Who was served in time, and at what cost."""

from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from typing import Final

from batchedllm.sim.events import Finished
from batchedllm.sim.fleet.slo import Slo

SECONDS_PER_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The fleet at one moment, for the plot."""

    at_seconds: float
    arrived: int
    """Requests since the sample before."""
    missed: int
    """Answers since the sample before that came too late."""
    queued: float
    wanted: int
    ready: int
    gpu_percent: float
    """Mean of the ready replicas."""


@dataclass(slots=True)
class Score:
    """What one run came to. A request that was not answered has failed; late and failed ones are not within the SLO."""

    slo: Slo
    requests: int = 0
    within: int = 0
    failed: int = 0
    ttft_seconds: list[float] = field(default_factory=list)
    itl_seconds: list[float] = field(default_factory=list)
    """Mean of each answer of two tokens or more."""
    missed_at_seconds: list[float] = field(default_factory=list)
    """When those requests came that were not served within the SLO."""
    replica_seconds: float = 0.0
    changes: list[tuple[float, int]] = field(default_factory=list)
    """When the wanted replicas changed, and by how many."""
    most_replicas: int = 0
    duration_seconds: float = 0.0
    """For which replicas were paid: from the start to the last arrival."""
    samples: list[Sample] = field(default_factory=list)
    is_whole: bool = True
    """Whether the run went on to its end. What a run that did not tells is of the part until there."""

    @property
    def answered(self) -> int:
        """Requests that got their whole answer."""
        return len(self.ttft_seconds)

    def finished(self, answer: Finished) -> bool:
        """Count an answer and tell whether it came in time."""
        first = answer.at if answer.first_token_at is None else answer.first_token_at
        ttft, itl = first - answer.arrived_at, 0.0
        if answer.generated_tokens > 1:
            itl = (answer.at - first) / (answer.generated_tokens - 1)
            self.itl_seconds.append(itl)
        self.ttft_seconds.append(ttft)
        is_met = self.slo.is_met(answer.prompt_tokens, ttft, itl)
        self.within += is_met
        return is_met

    @property
    def late(self) -> int:
        """Answers that came too late."""
        return self.answered - self.within

    @property
    def attainment(self) -> float:
        """Share of the requests that were served within the SLO: A."""
        return self.within / self.requests if self.requests else 1.0

    @property
    def replica_hours(self) -> float:
        """Replicas that were paid for, starting and draining ones included."""
        return self.replica_seconds / SECONDS_PER_HOUR

    @property
    def flaps_per_hour(self) -> float:
        """How often per hour the fleet turned from growing to shrinking or back."""
        ups = [change > 0 for _, change in self.changes]
        turns = sum(before != after for before, after in pairwise(ups))
        return turns * SECONDS_PER_HOUR / self.duration_seconds if self.duration_seconds else 0.0


def percentile(values: list[float], percent: float) -> float | None:
    """Return the smallest value that so many percent do not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]
