"""Inputs, memory and outcome of a scaling decision."""

import math
from dataclasses import field
from typing import NamedTuple

from batchedllm.api.scaling import Scaling
from batchedllm.core.readings import FleetLoad
from batchedllm.core.record import record
from batchedllm.core.scaling.experience import Experience
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.schedule import Bounds, policy_bounds
from batchedllm.core.scaling.signs import Sign
from batchedllm.core.scaling.watch import Watch


@record
class Fleet:
    """The replicas there are."""

    wanted: int
    """What the Deployment asks for now."""
    ready: int
    pending: int
    """Pods that exist or are asked for, but do not answer yet: capacity on its way."""
    unschedulable: int = 0
    """Those of `pending` that the scheduler finds no node for."""
    failing: int = 0
    """Those of `pending` that cannot start: their image is not there, their container crashes again and again."""
    startup_seconds: float | None = None
    """From making a replica to its first answer, as lately seen; None: none was seen to start."""
    unschedulable_reason: str = ""
    """The scheduler's words about a replica without a node."""


class Start(NamedTuple):
    """A replica's start."""

    made_at_seconds: float
    """When its pod was made, in seconds since 1970."""
    pod: str
    seconds: float
    """From then to its first answer."""


@record
class Step:
    """A change of the wanted replicas that was made."""

    at_seconds: float
    replicas: int
    """Positive: added. Negative: removed."""


@record
class Proposal:
    """What the previous decision asked for. It becomes a step once the Deployment asks for it too."""

    at_seconds: float
    replicas: int


@record
class Supply:
    """What is known of the nodes that replicas could run on (see supply.py)."""

    short_since_seconds: float | None = None
    """Since when replicas find no node. None: each has one, or they were given up."""
    ceiling: int | None = None
    """Replicas that were left when others were given up."""
    retry_at_seconds: float = -math.inf
    """Until when no more than `ceiling` are asked for."""
    pause_seconds: float = 0.0
    """How long that was to be from the beginning."""
    failures: int = 0
    """How often replicas were given up in a row."""
    given_up: int = 0
    """Replicas that were given up last."""
    reason: str = ""
    """The scheduler's words about them."""

    def rests(self, now_seconds: float) -> bool:
        """Whether replicas were given up and are not tried again yet."""
        return self.ceiling is not None and now_seconds < self.retry_at_seconds


@record
class Spending:
    """Replica-hours above `minReplicas`, by the hour of the clock (see budget.py)."""

    hours: tuple[tuple[int, float], ...] = ()
    """(hour since 1970, replica-hours), of the last day."""
    at_seconds: float | None = None
    """Until when they are added up, in seconds since 1970; None: not yet."""


@record
class Memory:
    """What must be remembered from one decision to the next.

    Times are monotonic and mean nothing to another process, so a restarted operator begins with an empty memory:
    it may add replicas at once, and removes none before it has seen a whole stabilisation window.
    """

    needs: tuple[tuple[float, int], ...] = ()
    """(monotonic seconds, replicas needed before any limit), later ones smaller: the past maxima, for scale-down."""
    low_needs: tuple[tuple[float, int], ...] = ()
    """The same, later ones larger: the past minima, for scale-up."""
    observed_since_seconds: float | None = None
    """Since when `needs` and `low_needs` know everything."""
    steps: tuple[Step, ...] = ()
    """Recent changes, for the step limits."""
    last_wanted: int | None = None
    """What the Deployment asked for at the previous decision."""
    proposal: Proposal | None = None
    full_batch: float | None = None
    """Requests that one replica computes at a time when it is full, as last seen."""
    experience: Experience = field(default_factory=Experience)
    """What is learned of replicas and traffic: the part that is kept over a restart."""
    watch: Watch = field(default_factory=Watch)
    """What has just been seen of pods and traffic."""
    supply: Supply = field(default_factory=Supply)
    """Replicas that found no node."""
    busy_at_seconds: float | None = None
    """When there was last a request, a replica that started, or someone who woke the model."""
    seasons: tuple[tuple[int, int], ...] = ()
    """(ten-minute slot since 1970, most replicas that the signals asked for in it), of the last week."""
    spending: Spending = field(default_factory=Spending)
    """What a budget was spent on."""
    learned_of: str = ""
    """Fingerprint of what was learned from: model, engine, GPU and batching."""
    is_kept: bool = False
    """Whether what was learned is kept in a ConfigMap."""
    is_used: bool = False
    """Whether requests came since it was written there."""
    signs: tuple[Sign, ...] = ()
    """What is seen and may be told to people once it lasts."""
    starts: tuple[Start, ...] = ()
    """The latest starts, also of replicas that are gone."""

    def timeless(self) -> "Memory":
        """Return what was learned: it means something by another clock too, and while scaling is off."""
        return Memory(
            experience=self.experience,
            seasons=self.seasons,
            spending=self.spending,
            learned_of=self.learned_of,
            is_kept=self.is_kept,
            is_used=self.is_used,
            starts=self.starts,
        )


@record
class Wake:
    """Who wants a model awake that may scale to zero."""

    floor: int = 0
    """Fewest replicas by the `scale` subresource."""
    is_new: bool = False
    """Whether it was woken since the last look."""


@record
class ScalingState:
    """Everything a decision depends on, apart from the time."""

    policy: Scaling
    fleet: Fleet
    load: FleetLoad | None
    """None: no pod has been scraped yet."""
    memory: Memory = field(default_factory=Memory)
    batch_limit: int | None = None
    """Most requests that one replica may compute at a time (`maxNumSeqs`); None: left to the engine."""
    objective: Objective = field(default_factory=Objective)
    """What in time means."""
    scheduled: Bounds | None = None
    """The bounds at this time; None: those of the policy at all times."""
    wake: Wake = field(default_factory=Wake)
    wall_seconds: float | None = None
    """Seconds since 1970, for what depends on the time of the day; None where that means nothing."""

    @property
    def bounds(self) -> Bounds:
        """Fewest and most replicas now."""
        return policy_bounds(self.policy) if self.scheduled is None else self.scheduled


@record
class SignalCandidate:
    """The replicas that one signal asks for."""

    signal: str
    replicas: int | None
    """None: the signal is unknown, has no objection or is switched off; `reason` says which."""
    reason: str


@record
class Decision:
    """The outcome, with everything that led to it."""

    from_replicas: int
    to_replicas: int
    winner: str
    """Who decided: a signal's name, hold, minReplicas, maxReplicas, schedule:NAME, capacityGivenUp, off."""
    reason: str
    """One line a person can read, with the numbers."""
    candidates: tuple[SignalCandidate, ...]
    limited_by: tuple[str, ...]
    """Limits that changed the outcome, in order: scaleUp.maxStep, maxReplicas, unknownMetrics, ..."""
    retry_seconds: float | None = None
    """When the outcome can change although no reading does: a window or a step limit runs out. None: it cannot."""
    bounds: Bounds | None = None
    """Those that the decision was held to; None where none was taken."""
    late_without_queue: bool = False
    """Whether more requests are late than may be, although few wait and the replicas have little to do."""
    spent_replica_hours: float | None = None
    """What was spent of the budget of a day; None where there is none."""
    given_up: str = ""
    """Which replicas are not asked for any more because they found no node, in words; empty if none."""

    @property
    def is_capped(self) -> bool:
        """Whether more replicas were wanted than the upper bound allows."""
        bounds = self.bounds
        return bounds is not None and any(bounds.hold_up(name, self.to_replicas) for name in self.limited_by)

    @property
    def changes(self) -> bool:
        """Whether the number of replicas is to change."""
        return self.from_replicas != self.to_replicas
