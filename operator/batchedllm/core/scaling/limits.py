"""What stands between the replicas that are needed and those that are asked for now: a chain of small limits.

Every limit takes the draft of the outcome and returns it, changed and with the limit's name where it bites. The chain
works on values within [minReplicas, maxReplicas] and only moves the draft towards where the fleet is, so the outcome
stays within.
"""

from collections.abc import Callable

from batchedllm.core.record import changed, record
from batchedllm.core.scaling import stabilization, steps
from batchedllm.core.scaling.outlook import startup_seconds
from batchedllm.core.scaling.types import Memory, ScalingState

SHORTEST_RETRY_SECONDS = 0.1
"""A limit that runs out this very moment is looked at again a little later, not in a loop."""

CAPACITY_GIVEN_UP = "capacityGivenUp"
"""Name of the limit by replicas that found no node."""


HOLD_STARTUPS = 2.5
"""Start-ups for which replicas are kept that are no longer needed: giving one up costs a start when it is missed."""
SHORTEST_HOLD_SECONDS = 60
ENOUGH_HOLD_SECONDS = 240
"""No longer hold is worth its cost, but for replicas that take longer to start: they are kept for a start-up."""
PENDING_HOLD_SECONDS = 60.0
"""How long replicas that do not serve yet are kept when nothing asks for them any more: they hold no request."""
REMOVED_AT_ONCE = 0.1
"""Share of the replicas that is removed in one step: fewer than are needed show in time to stop."""


def hold_seconds(state: ScalingState) -> float:
    """Return for how long a lower need must last before replicas are removed."""
    set_seconds = state.policy.scale_down.stabilization_seconds
    if set_seconds is not None:
        return set_seconds
    startup = startup_seconds(state)
    return max(startup, SHORTEST_HOLD_SECONDS, min(ENOUGH_HOLD_SECONDS, HOLD_STARTUPS * startup))


@record
class Situation:
    """What limits look at."""

    state: ScalingState
    memory: Memory
    """With the present need recorded."""
    now_seconds: float
    base: int
    """Replicas that there are to be now, brought within [minReplicas, maxReplicas]."""
    certain: bool
    """Whether every signal in use is known for every ready replica."""

    def bounded(self, replicas: int) -> int:
        """Bring a number of replicas within the bounds of the present time."""
        return self.state.bounds.bounded(replicas)

    def bound_at(self, bounded: int, replicas: int) -> str:
        """Name the bound that brought `replicas` to `bounded`."""
        return self.state.bounds.low_by if bounded > replicas else self.state.bounds.high_by


@record
class Draft:
    """The outcome so far."""

    replicas: int
    limited_by: tuple[str, ...] = ()
    retry_seconds: float | None = None

    def limited(self, replicas: int, by: str, retry_seconds: float | None = None) -> "Draft":
        """Return the draft with another number, the limit that brought it, and when that limit runs out."""
        retry = soonest(self.retry_seconds, retry_seconds)
        return Draft(replicas, (*self.limited_by, by), retry)


def soonest(*seconds: float | None) -> float | None:
    """Return the first of the times at which to look again, not at once; None if there is none."""
    times = [time for time in seconds if time is not None]
    return max(SHORTEST_RETRY_SECONDS, min(times)) if times else None


Limit = Callable[[Draft, Situation], Draft]


def within_bounds(draft: Draft, situation: Situation) -> Draft:
    """Fewest and most replicas, by the policy or a schedule."""
    bounded = situation.bounded(draft.replicas)
    if bounded == draft.replicas:
        return draft
    return draft.limited(bounded, situation.bound_at(bounded, draft.replicas))


def not_down_on_unknown(draft: Draft, situation: Situation) -> Draft:
    """Nothing is removed unless every signal in use is known for every ready replica."""
    if draft.replicas < situation.base and not situation.certain:
        return draft.limited(situation.base, "unknownMetrics")
    return draft


def not_up_when_stuck(draft: Draft, situation: Situation) -> Draft:
    """Nothing is added while replicas find no node or cannot start: more of them would not start either."""
    fleet = situation.state.fleet
    if draft.replicas <= situation.base:
        return draft
    if fleet.unschedulable > 0:
        return draft.limited(situation.base, "unschedulableReplicas")
    if fleet.failing > 0:
        return draft.limited(situation.base, "failingReplicas")
    return draft


def stabilized_up(draft: Draft, situation: Situation) -> Draft:
    """Added is only what was needed all through the scale-up window."""
    memory, now, window = situation.memory, situation.now_seconds, situation.state.policy.scale_up.stabilization_seconds
    if draft.replicas <= situation.base:
        return draft
    lasting = situation.bounded(stabilization.least(memory, now, window))
    allowed = max(situation.base, min(draft.replicas, lasting))
    if not stabilization.is_covered(memory, now, window):
        allowed = situation.base
    if allowed == draft.replicas:
        return draft
    retry = stabilization.changes_in_seconds(memory, memory.low_needs, now, window)
    return draft.limited(allowed, "scaleUp.stabilizationSeconds", retry)


def stabilized_down(draft: Draft, situation: Situation) -> Draft:
    """Removed is only what was not needed at any time of the scale-down window, all of which must have been seen.

    For replicas that do not serve yet a shorter window is enough.
    """
    memory, now = situation.memory, situation.now_seconds
    window = hold_seconds(situation.state)
    if draft.replicas >= situation.base:
        return draft
    allowed = _not_needed_for(window, draft, situation)
    if situation.state.fleet.pending > 0 and window > PENDING_HOLD_SECONDS:
        given_up = _not_needed_for(PENDING_HOLD_SECONDS, draft, situation)
        allowed = min(allowed, max(situation.bounded(situation.state.fleet.ready), given_up))
    if allowed == draft.replicas:
        return draft
    retry = stabilization.changes_in_seconds(memory, memory.needs, now, window)
    return draft.limited(allowed, "scaleDown.stabilizationSeconds", retry)


def _not_needed_for(window_seconds: float, draft: Draft, situation: Situation) -> int:
    """Return the fewest replicas that were enough all through the window; all there are if it was not seen whole."""
    memory, now = situation.memory, situation.now_seconds
    if not stabilization.is_covered(memory, now, window_seconds):
        return situation.base
    needed = situation.bounded(stabilization.most(memory, now, window_seconds))
    return min(situation.base, max(draft.replicas, needed))


def within_supply(draft: Draft, situation: Situation) -> Draft:
    """Replicas that found no node in time are given up, and not asked for again before the pause is over."""
    supply, state = situation.memory.supply, situation.state
    if supply.ceiling is None or not supply.rests(situation.now_seconds):
        return draft
    allowed = max(supply.ceiling, state.bounds.low)
    if not situation.certain:
        allowed = max(allowed, situation.base)
    if draft.replicas <= allowed:
        return draft
    return draft.limited(allowed, CAPACITY_GIVEN_UP, supply.retry_at_seconds - situation.now_seconds)


def within_step(draft: Draft, situation: Situation) -> Draft:
    """At most `maxStep` replicas added, and `maxStep` removed, within their `periodSeconds`."""
    memory, now, policy = situation.memory, situation.now_seconds, situation.state.policy
    change = draft.replicas - situation.base
    if change > 0:
        period = policy.scale_up.period_seconds
        left = max(0, policy.scale_up.max_step - steps.added(memory, now, period))
        allowed, name = min(change, left), "scaleUp.maxStep"
    else:
        period = policy.scale_down.period_seconds
        left = max(0, most_removed(situation) - steps.removed(memory, now, period))
        allowed, name = max(change, -left), "scaleDown.maxStep"
    if allowed == change:
        return draft
    return draft.limited(situation.base + allowed, name, steps.free_in_seconds(memory, now, period))


def most_removed(situation: Situation) -> int:
    """Return how many replicas may go in one period: of those that do not serve yet all, where nothing is set."""
    set_step = situation.state.policy.scale_down.max_step
    if set_step is not None:
        return set_step
    return max(1, int(situation.base * REMOVED_AT_ONCE), situation.state.fleet.pending)


CHAIN: tuple[Limit, ...] = (
    within_bounds,
    not_down_on_unknown,
    not_up_when_stuck,
    stabilized_up,
    stabilized_down,
    within_supply,
    within_step,
)
"""All limits, in order."""


def apply(draft: Draft, situation: Situation) -> Draft:
    """Send the draft through the whole chain. A bound that a tighter limit made irrelevant is not named."""
    for limit in CHAIN:
        draft = limit(draft, situation)
    if not draft.limited_by:
        return draft
    bounds = situation.state.bounds
    of_bound = {name: {value for by, value in bounds.named if by == name} for name, _ in bounds.named}
    named = tuple(name for name in draft.limited_by if draft.replicas in of_bound.get(name, {draft.replicas}))
    return changed(draft, limited_by=named)
