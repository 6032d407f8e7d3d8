"""What one replica holds: learned from what it did, in tokens per second, prompt and output together.

Two things are kept. How fast a replica is when it is full: seen where a queue lasts, and concluded from how much slower
its steps have become (`busyness`). And, by the load it was under, how many requests were in time: the
load up to which enough are is what it holds *within the SLO*, whatever it is that makes them late (a full batch, long
prompts before short ones, chance in the routing).

Nothing of it is known at first. Then a cautious speed stands in, and a shape of lateness that goes with it; both yield
to what is seen, slowly enough that no single sample decides, and what was seen fades over half an hour.
"""

from bisect import bisect_right
from itertools import compress, count
from math import exp, sqrt
from operator import lt
from typing import Final, NamedTuple

from batchedllm.core.record import changed, record
from batchedllm.core.scaling.busyness import LEAST_SLOWED, Busyness, busyness
from batchedllm.core.scaling.levels import LEVELS, NOTHING, faded
from batchedllm.core.scaling.objective import Objective

UNKNOWN_TOKENS_PER_SECOND: Final = 10_000.0
"""Speed that is assumed before anything is known: what Llama-3.1-8B does on an H200 with prompts and answers of 128
tokens at a batch of some 100 (12,760 tokens per second at 128), rounded down."""
UNKNOWN_WEIGHT: Final = 2.0

FADING_SECONDS: Final = 1800.0
"""After this time what was seen counts for a third (1/e): models, images and traffic change."""
PRIOR_REQUESTS: Final = 90.0
"""How many requests of one load the assumed lateness is worth."""
PRIOR_UTILIZATION: Final = 0.75
"""Share of its full speed at which a replica is assumed to be just within the SLO."""
BUSY: Final = 0.95
"""Share of its full speed from which on a replica is assumed to fall behind."""
_FEW: Final = 1.5
"""How many times the share that may be late is assumed to be, at most, where a replica does not fall behind."""
LEVEL_SECONDS: Final = 10.0
"""Loads are means over this time: shorter than what an SLO of some seconds forgives makes chance of them."""

SAMPLES_FULL: Final = 10.0
"""Samples of full replicas from which on their speed is known."""
MOST_AT_FIRST: Final = 10 * UNKNOWN_TOKENS_PER_SECOND
"""Most that a sample counts as before a speed is known: the first may be absurd, and has nothing to be held against."""
_FULL_MEMORY: Final = 30.0
_BUSY_KEPT: Final = 1 - 1 / 500
"""Part of what is known of busy replicas that is left after another sample."""
_OF_FASTER: Final = 0.5
"""Part of the way that a known fastest step goes towards a faster one."""
_LEAST_OF_FASTEST: Final = 1 / 3
"""To no smaller part of what it was does the first fastest step go at once."""
FASTEST_FADING_SECONDS: Final = 5 * 86_400.0
"""After so much work without a faster one the fastest step is taken to be slower by a factor of e: GPUs are throttled,
and an absurd one is not to count for ever. An hour with little to do in each day renews it."""
LOOK_SECONDS: Final = 2.0
"""What a busy replica did in so much time counts as one sample: rare scrapes see fewer of them, and more in each."""
_MOST_SAMPLES: Final = 2.0
"""As so many samples one counts at most: no single one makes a speed known (`UNKNOWN_WEIGHT`)."""
_OUTLIER: Final = 2.0
"""A sample of a full replica counts at most as twice, and at least as half, of what is known."""

LEAST_STEPS: Final = 20
"""Tokens of a sample below which its mean step time is chance."""
LEAST_STEP_SECONDS: Final = 1e-4
"""No engine makes the next token of a request sooner. All steps are held against the fastest, and nothing against the
first of them."""


class Work(NamedTuple):
    """What a replica did for some time; it did something."""

    tokens_per_second: float
    step_seconds: float
    """Mean of its steps."""
    seconds: float = LOOK_SECONDS


@record
class Capacity:
    """What was seen of single replicas."""

    answered: tuple[float, ...] = NOTHING
    """Requests, by the level of the load that their pod was under."""
    late: tuple[float, ...] = NOTHING
    """Those of `answered` that were not in time."""
    full_tokens_per_second: float = 0.0
    full_samples: float = 0.0
    busy_tokens_per_second_sum: float = 0.0
    """Full speeds concluded from busy replicas, weighted by how much slower their steps were."""
    least_tokens_per_second_sum: float = 0.0
    """The same, were they as busy as they can have been."""
    busy_weight: float = 0.0
    fastest_step_seconds: float | None = None
    fastest_step_tokens_per_second: float = 0.0
    """What the replica with the fastest step did."""
    assumed_tokens_per_second: float = UNKNOWN_TOKENS_PER_SECOND
    """Speed of a full replica while none was seen: by a benchmark, where there was one."""

    @property
    def tokens_per_second(self) -> float:
        """Return how fast a full replica likely is."""
        return self._speed(self.busy_tokens_per_second_sum)

    @property
    def least_tokens_per_second(self) -> float:
        """Return how fast a full replica is at least, by what is known: no more than it likely is."""
        return self._speed(self.least_tokens_per_second_sum)

    def _speed(self, concluded_sum: float) -> float:
        if self.full_samples >= SAMPLES_FULL:
            return self.full_tokens_per_second
        seen = self.full_samples / SAMPLES_FULL
        assumed = seen * self.full_tokens_per_second + (1 - seen) * self.assumed_tokens_per_second
        return (concluded_sum + UNKNOWN_WEIGHT * assumed) / (self.busy_weight + UNKNOWN_WEIGHT)

    @property
    def is_known(self) -> bool:
        """Whether the speed was seen rather than assumed."""
        return self.full_samples >= SAMPLES_FULL or self.busy_weight >= UNKNOWN_WEIGHT

    def faded(self, seconds: float) -> "Capacity":
        """Return what is left of it after some time.

        The speed of full replicas is trusted for half an hour after the last was seen: an older one, of other traffic
        or of a memory that was wrong, yields to what busy ones let conclude.
        """
        factor = exp(-seconds / FADING_SECONDS)
        return changed(
            self,
            answered=faded(self.answered, factor),
            late=faded(self.late, factor),
            full_samples=self.full_samples * factor,
        )

    def with_full(self, *tokens_per_second: float) -> "Capacity":
        """Learn from replicas whose queue lasted, one after the other. What is far off moves it by a bounded step."""
        known, samples = self.full_tokens_per_second, self.full_samples
        for speed in tokens_per_second:
            is_known = samples >= SAMPLES_FULL
            believed = min(max(speed, known / _OUTLIER), known * _OUTLIER) if is_known else min(speed, MOST_AT_FIRST)
            known += max(1 / (samples + 1), 1 / _FULL_MEMORY) * (believed - known)
            samples = min(samples + 1, _FULL_MEMORY)
        return changed(self, full_tokens_per_second=known, full_samples=samples)

    def with_busy(self, *done: Work) -> "Capacity":
        """Learn from some work, of a look: the full speed is what was done, over how busy that made."""
        fastest, fastest_speed = self._fastest_still(done), self.fastest_step_tokens_per_second
        likely, least, total = self.busy_tokens_per_second_sum, self.least_tokens_per_second_sum, self.busy_weight
        for speed, step_seconds, seconds in done:
            if fastest is None or step_seconds < fastest:
                part = _part_of_faster(fastest, step_seconds, is_known=self.is_known)
                fastest = step_seconds if fastest is None else fastest + part * (step_seconds - fastest)
                fastest_speed += part * (speed - fastest_speed)
                continue
            busy = busyness(step_seconds, fastest, fastest_speed / speed)
            if busy.slowed >= LEAST_SLOWED:
                samples = min(_MOST_SAMPLES, seconds / LOOK_SECONDS)
                weight, kept = samples * busy.slowed**2, _BUSY_KEPT**samples
                likely = kept * likely + weight * speed / busy.likely
                least = kept * least + weight * speed / busy.at_most
                total = kept * total + weight
        return changed(
            self,
            busy_tokens_per_second_sum=likely,
            least_tokens_per_second_sum=least,
            busy_weight=total,
            fastest_step_seconds=fastest,
            fastest_step_tokens_per_second=fastest_speed,
        )

    def _fastest_still(self, done: tuple[Work, ...]) -> float | None:
        """Return the fastest step that was seen, as far as it is still believed after some work."""
        if self.fastest_step_seconds is None:
            return None
        return self.fastest_step_seconds * (1 + max([one.seconds for one in done]) / FASTEST_FADING_SECONDS)

    def busyness(self, work: Work) -> Busyness | None:
        """Return how busy a replica is that does this; None before any step was seen."""
        if self.fastest_step_seconds is None:
            return None
        fastest_load = self.fastest_step_tokens_per_second / work.tokens_per_second
        return busyness(work.step_seconds, self.fastest_step_seconds, fastest_load)

    def late_shares(self, objective: Objective, allowed_seconds: float) -> tuple[float, ...]:
        """Return, by level of load, the share of requests that are late: seen and assumed together, never falling."""
        assumed = _assumed(self.tokens_per_second, objective.late_share, allowed_seconds)
        weights = [seen + PRIOR_REQUESTS for seen in self.answered]
        shares = [
            (late + PRIOR_REQUESTS * share) / weight
            for share, late, weight in zip(assumed, self.late, weights, strict=True)
        ]
        return _never_falling(shares, weights)


def _part_of_faster(fastest: float | None, step_seconds: float, *, is_known: bool) -> float:
    """Return which part of the way the fastest step goes towards a faster one.

    All of it while little is known, but no further than to a third of what it was: a single one may be absurd.
    """
    if fastest is None:
        return 1.0
    if is_known:
        return _OF_FASTER
    return min(1.0, (1 - _LEAST_OF_FASTEST) * fastest / (fastest - step_seconds))


def held_within(late_shares: tuple[float, ...], late_share: float) -> float:
    """Return the highest load, in tokens per second, up to which no more than this share of requests are late.

    `late_shares` are by level of load, and never fall.
    """
    return LEVELS[max(0, bisect_right(late_shares, late_share) - 1)]


def _assumed(speed: float, late_share: float, allowed_seconds: float) -> list[float]:
    """Return the share of late requests, by level of load, where none were seen.

    It grows with the square of the load, then as in a fluid: a replica that gets more than it can do falls behind, and
    whoever comes after what may be waited for is used up is late.
    """
    usual, few = PRIOR_UTILIZATION * speed, late_share * _FEW
    busy = bisect_right(LEVELS, BUSY * speed)
    square = bisect_right(LEVELS, usual * sqrt(_FEW), hi=busy)
    fluid = bisect_right(LEVELS, speed * (1 + allowed_seconds / (1 - few) / LEVEL_SECONDS), lo=busy)
    return [
        *[late_share * (level / usual) ** 2 for level in LEVELS[:square]],
        *[few] * (fluid - square),
        *[1 - allowed_seconds / ((level / speed - 1) * LEVEL_SECONDS) for level in LEVELS[fluid:]],
    ]


def _never_falling(shares: list[float], weights: list[float]) -> tuple[float, ...]:
    """Return the shares changed such that none is below the one before: the nearest such ones, in weighted squares.

    Neighbours that fall are put together until none does (pool adjacent violators).
    """
    while fall := next(compress(count(1), map(lt, shares[1:], shares)), 0):
        first, last = fall - 1, fall
        mean, total = shares[first], weights[first]
        while True:
            if last < len(shares) and shares[last] < mean:
                added, last = last, last + 1
            elif first and shares[first - 1] > mean:
                added = first = first - 1
            else:
                break
            mean += (shares[added] - mean) * weights[added] / (total + weights[added])
            total += weights[added]
        shares[first:last] = [mean] * (last - first)
    return tuple(shares)
