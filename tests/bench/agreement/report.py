"""What the two runs came to, as the page tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median, median_low

from bench.agreement.curves import Curve, Tolerance, agreement, best_constant
from bench.agreement.lived import Lived
from bench.agreement.simulated import Simulated
from bench.scaling.report import table

ROW_SECONDS = 10
WITHIN = Tolerance(replicas=1, seconds=10.0)
STRICT = Tolerance(replicas=0, seconds=10.0)


@dataclass(frozen=True, slots=True)
class Compared:
    """One run on the cluster beside the same run in the simulator with several seeds."""

    lived: Lived
    simulated: Sequence[Simulated]
    startup_seconds: float
    duration_seconds: float

    @property
    def shares(self) -> list[float]:
        """Share of the time in which cluster and simulator agree, by seed."""
        return [self._agreement(self.lived.wanted, one.wanted, WITHIN) for one in self.simulated]

    def _agreement(self, one: Curve, other: Curve, tolerance: Tolerance) -> float:
        return agreement(one, other, self.duration_seconds, tolerance)

    def figures(self) -> str:
        """Return how well the two agree, with what that is to be measured against."""
        curves = [one.wanted for one in self.simulated]
        strict = [self._agreement(self.lived.wanted, one, STRICT) for one in curves]
        chance = [self._agreement(one, other, WITHIN) for one, other in combinations(curves, 2)]
        within = f"within {WITHIN.replicas} replica and {WITHIN.seconds:.0f} s"
        head = (f"share of the {self.duration_seconds:.0f} s", "median", "lowest")
        rows = [
            (f"cluster and simulator, {within}", *_percents(self.shares)),
            (f"cluster and simulator, the same number within {STRICT.seconds:.0f} s", *_percents(strict)),
            (f"simulator and simulator with another seed, {within}", *_percents(chance)),
            (f"cluster and the best number that never changes, {within}", *_percents([self._free()])),
        ]
        return table(head, rows)

    def _free(self) -> float:
        return best_constant(self.lived.wanted, self.duration_seconds, WITHIN)

    def starts(self) -> str:
        """Return how long replicas took to start."""
        seen = [one.seen_seconds for one in self.lived.starts]
        told = [one.told_seconds for one in self.lived.starts if one.told_seconds is not None]
        return (
            f"{len(seen)} replicas started in {min(seen):.1f} to {max(seen):.1f} s, median "
            f"{self.startup_seconds:.1f} s, which the simulator was given; the operator read {min(told):.0f} to "
            f"{max(told):.0f} s from the same pods, median {median_low(told):.0f} s. Of {self.lived.sent:,} requests "
            f"{len(self.lived.failed)} failed."
        )

    def replicas(self) -> str:
        """Return the wanted replicas over time."""
        curves = [one.wanted for one in self.simulated]
        rows = []
        for at in range(0, round(self.duration_seconds) + 1, ROW_SECONDS):
            seeds = sorted(one.at(at) for one in curves)
            rows.append((str(at), str(self.lived.wanted.at(at)), str(median_low(seeds)), f"{seeds[0]} to {seeds[-1]}"))
        return table(("seconds", "cluster", "simulator, median", f"{len(curves)} seeds"), rows)


def _percents(shares: Sequence[float]) -> tuple[str, str]:
    return f"{median(shares):.0%}", f"{min(shares):.0%}"
