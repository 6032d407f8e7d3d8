"""What happened in each pod between two readings of it: requests, tokens, steps, and who had to wait too long."""

from typing import Final, NamedTuple

from batchedllm.core.readings import PodReading
from batchedllm.core.scaling.lateness import Late, came, later_than

MOST_REQUESTS_PER_SECOND: Final = 1e5
MOST_TOKENS_PER_SECOND: Final = 1e7
"""More than these is no engine of one pod: such a reading is not believed."""

FULL_QUEUE_SECONDS: Final = 0.5
"""A queue that is so much work keeps a replica full; a shorter one is what came during a step."""

ITL_LOOKBACK_SECONDS: Final = 10.0
"""How long before its end an answer whose tokens came too slowly had met the load that slowed it."""


class Increment(NamedTuple):
    """What one pod did between two readings."""

    pod: str
    at_seconds: float
    seconds: float
    arrived: float
    """Requests that came, refused ones included."""
    finished: float
    first_tokens: float
    """Requests whose first token came out."""
    admitted: float
    """Requests that left a queue before the engine for it; 0 where there is no such queue."""
    prompt_tokens: float
    generation_tokens: float
    step_seconds: float
    """Sum of the times between two tokens of a request."""
    step_tokens: float
    queued_throughout: float
    """Requests that waited at both ends, at least."""
    waited: float
    """Requests that got their first token, or left a queue before the engine, after more than `FULL_QUEUE_SECONDS`;
    counted where some waited at both ends."""
    queued_before: float
    answered: float
    """Requests that `late` speaks of: the most of those that finished, were admitted, or got their first token."""
    late: tuple[Late, ...]
    """Requests whose first token came too late, or that had waited too long before the engine for it to be in time, and
    ones whose tokens came too slowly."""

    @property
    def tokens_per_second(self) -> float:
        """Prompt and generated tokens."""
        return (self.prompt_tokens + self.generation_tokens) / self.seconds

    def is_full(self, tokens: float) -> bool:
        """Tell whether a queue, of requests of so many tokens, kept the pod full all the time.

        There was one at both ends, and most of those who came out of it had been in it: requests that come just when
        it is read, every time, are no queue.
        """
        speed = self.tokens_per_second
        lasted = self.queued_throughout * tokens > FULL_QUEUE_SECONDS * speed > 0
        return lasted and self.waited >= max(self.first_tokens, self.admitted) / 2

    def arrived_within(self, seconds: float) -> float:
        """Return how many requests came in so many seconds until the later reading, if all came evenly."""
        return self.arrived * min(1.0, seconds / self.seconds)


def tells_requests(reading: PodReading) -> bool:
    """Tell whether a pod reports what is needed to know arrivals, sizes and waiting times."""
    return reading.is_measured and not (
        reading.finished_total is None
        or reading.prompt_tokens_total is None
        or reading.generation_tokens_total is None
        or reading.time_to_first_token is None
    )


def increment(
    before: PodReading, after: PodReading, allowed_ttft_seconds: float, itl_seconds: float
) -> Increment | None:
    """Return what happened between two readings that tell a pod's requests; None where nothing new or possible did."""
    if after.at_seconds <= before.at_seconds:
        return None
    one = _increment(before, after, allowed_ttft_seconds, itl_seconds)
    return one if _is_plausible(one) else None


def _increment(old: PodReading, new: PodReading, allowed_seconds: float, itl_seconds: float) -> Increment:
    finished = _growth(old.finished_total, new.finished_total)
    present = (new.queue_depth or 0.0) + (new.running or 0.0)
    was_present = (old.queue_depth or 0.0) + (old.running or 0.0)
    first_tokens, too_late = came(old.time_to_first_token, new.time_to_first_token, allowed_seconds)
    admitted, too_long = came(old.admission_wait, new.admission_wait, allowed_seconds)
    queued_throughout = min(old.queue_depth or 0.0, new.queue_depth or 0.0)
    _, too_slow = came(old.time_per_output_token, new.time_per_output_token, itl_seconds)
    return Increment(
        pod=new.pod,
        at_seconds=new.at_seconds,
        seconds=new.at_seconds - old.at_seconds,
        arrived=max(0.0, present - was_present + finished) + _growth(old.rejections_total, new.rejections_total),
        finished=finished,
        first_tokens=first_tokens,
        admitted=admitted,
        prompt_tokens=_growth(old.prompt_tokens_total, new.prompt_tokens_total),
        generation_tokens=_growth(old.generation_tokens_total, new.generation_tokens_total),
        step_seconds=_growth(old.step_seconds_total, new.step_seconds_total),
        step_tokens=_growth(old.step_tokens_total, new.step_tokens_total),
        queued_throughout=queued_throughout,
        waited=_waited(old, new) if queued_throughout > 0 else 0.0,
        queued_before=old.queue_depth or 0.0,
        answered=max(first_tokens, finished, admitted),
        late=(*_more(too_late, too_long), *[Late(one.requests, ITL_LOOKBACK_SECONDS) for one in too_slow]),
    )


def _waited(old: PodReading, new: PodReading) -> float:
    """Return the requests that waited for more than `FULL_QUEUE_SECONDS`, by the account that has more of them."""
    accounts = ((old.time_to_first_token, new.time_to_first_token), (old.admission_wait, new.admission_wait))
    return max([later_than(before, after, FULL_QUEUE_SECONDS) for before, after in accounts])


def _growth(old: float | None, new: float | None) -> float:
    """Return by how much a counter grew; one that fell began anew. What is not reported did not grow."""
    if old is None or new is None:
        return 0.0
    return new - old if new >= old else new


def _more(too_late: tuple[Late, ...], too_long: tuple[Late, ...]) -> tuple[Late, ...]:
    """Return the late requests of the engine's account or of the queue's before it, whichever has more of them.

    The engine's time to first token begins where the wait before it ends. Some requests may be in both accounts, which
    name none: so many are late at least.
    """
    if not too_long:
        return too_late
    return max(too_late, too_long, key=lambda late_ones: sum(one.requests for one in late_ones))


def _is_plausible(one: Increment) -> bool:
    """Tell whether an engine can have done it: nothing negative, no more than there is; what is no number never is."""
    late = [some.requests for some in one.late]
    requests = (one.arrived, one.finished, one.first_tokens, one.admitted, *late)
    work = (one.prompt_tokens, one.generation_tokens, one.step_tokens, one.step_seconds)
    waiting = (one.queued_throughout, one.queued_before)
    return (
        min(*requests, *work, *waiting) >= 0
        and sum(requests) <= MOST_REQUESTS_PER_SECOND * one.seconds
        and sum(work) + sum(waiting) <= MOST_TOKENS_PER_SECOND * one.seconds
    )
