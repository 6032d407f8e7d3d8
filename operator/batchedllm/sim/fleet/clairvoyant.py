"""The cheapest plan of who knows every arrival beforehand: what any policy's cost is measured against.

Finding the true optimum would take integer programming over the whole simulation. Instead, with the *real* simulation,
random routing included, in the loop:

1. fixed fleets of several sizes tell which requests each size misses;
2. from that, dynamic programming makes plans that weigh misses, start-ups and keeping replicas over gaps against one
   another; the price of a miss is searched for: the lowest with which 99 % are served;
3. the cheapest of all plans that serve 99 %, those that the caller knows among them, is lowered stretch by stretch
   for as long as it still does. Every second stretch is lowered at once, and each told from the misses that it adds.

The result is an upper bound of the true optimum.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Final

from batchedllm.sim.fleet.capacity import ATTAINMENT
from batchedllm.sim.fleet.fixed import Planned
from batchedllm.sim.fleet.plans import Plan, asked_ahead, changed, cheapest_levels, paid_cells, stretches
from batchedllm.sim.fleet.score import Score
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.fleet.simulation import simulate
from batchedllm.sim.traces.trace import Trace

MOST_RUNS: Final = 30
"""Simulations for lowering a plan; a third of them for one that another seed lowered before."""

_LEVELS: Final = (*range(1, 9), 10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 64, 80, 96, 128)
_BUCKET_CELLS: Final = 5
_CHEAPEST_MISS: Final = 0.01
_DEAREST_MISS: Final = 10_000.0
_PRICES: Final = 8
_REPAIRS: Final = 10
_LOWERINGS: Final = (
    (0.0, 1.0, 0.25),
    (0.0, 1.0, 0.0),
    (0.5, 1.0, 0.0),
    (0.0, 0.5, 0.0),
    (0.75, 1.0, 0.0),
    (0.0, 0.25, 0.0),
)
"""Which part of a stretch is lowered, and by which share of its replicas: by one at least."""


@dataclass(frozen=True, slots=True)
class Clairvoyant:
    """A plan and what it came to."""

    plan: Plan
    """Replicas to serve in each scrape interval."""
    score: Score

    @property
    def is_enough(self) -> bool:
        """Whether it serves 99 %."""
        return self.score.attainment >= ATTAINMENT


def clairvoyant(
    trace: Trace, settings: FleetSettings, seed: int, hint: Plan | None = None, known: Iterable[Plan] = ()
) -> Clairvoyant:
    """Return the cheapest plan found whose simulation serves 99 %.

    `hint` is the plan of another seed: it is taken, with more replicas where that is not enough. `known` are plans
    from elsewhere to begin with. Where not even the largest fleet does, it is returned all the same: `is_enough` tells.
    """
    search = _Search(trace, settings, seed)
    if hint is not None:
        repaired = search.repaired(hint)
        if repaired.is_enough:
            return search.lowered(repaired, MOST_RUNS // 3)
    fixed = search.fixed()
    trials = [*fixed, *search.priced(fixed), *(search.tried(plan) for plan in known)]
    enough = [trial for trial in trials if trial.is_enough]
    if not enough:
        return max(trials, key=lambda trial: trial.score.attainment)
    return search.lowered(min(enough, key=lambda trial: search.cost(trial.plan)), MOST_RUNS)


class _Search:
    def __init__(self, trace: Trace, settings: FleetSettings, seed: int) -> None:
        self._trace, self._settings, self._seed = trace, settings, seed
        self._cell_seconds = settings.scrape_interval_seconds
        self._cells = int(trace.duration_seconds / self._cell_seconds) + 1
        self._startup_cells = ceil(settings.startup_seconds / self._cell_seconds) + 1
        self._allowed = int((1 - ATTAINMENT) * len(trace.requests))
        self._runs = 0
        self._tried: dict[Plan, Clairvoyant] = {}

    def tried(self, plan: Plan, *, whole: bool = True) -> Clairvoyant:
        """Simulate a plan; unless `whole`, one that is not enough only until that is certain.

        Plans come up again: a quarter of three replicas is one of them, and so is half. That counts as a run all the
        same, so that the search finds what it would find without a memory.
        """
        self._runs += 1
        plan = (*plan[: self._cells], *plan[-1:] * (self._cells - len(plan)))
        known = self._tried.get(plan)
        if known is None or (whole and not known.score.is_whole):
            known = self._tried[plan] = Clairvoyant(plan, self._simulated(plan, None if whole else self._allowed))
        return known

    def _simulated(self, plan: Plan, most_late: int | None) -> Score:
        """Simulate a plan, which is known from before the beginning."""
        asked = asked_ahead(plan, self._startup_cells)
        settings = replace(self._settings, start_replicas=asked[0], hold_seconds=0.0)
        planned = Planned(asked, self._cell_seconds)
        return simulate(self._trace, planned, settings, self._seed, most_late=most_late)

    def cost(self, plan: Plan) -> int:
        return paid_cells(plan, self._startup_cells)

    def fixed(self) -> list[Clairvoyant]:
        """Simulate fixed fleets up to one that misses nothing."""
        trials: list[Clairvoyant] = []
        for level in sorted({self._settings.bounded(level) for level in _LEVELS}):
            trials.append(self.tried((level,) * self._cells))
            if trials[-1].score.within == len(self._trace.requests):
                break
        return trials

    def priced(self, fixed: Sequence[Clairvoyant]) -> list[Clairvoyant]:
        """Simulate plans for several prices of a miss, closer and closer to the lowest that is enough.

        What those that are not enough come to is asked for only where no fixed fleet is: the best is returned then.
        """
        whole = not any(trial.is_enough for trial in fixed)
        levels = [trial.plan[0] for trial in fixed]
        by_level = [self._missed_by_bucket(trial) for trial in fixed]
        misses = list(zip(*by_level, strict=True))
        low, high, trials = _CHEAPEST_MISS, _DEAREST_MISS, list[Clairvoyant]()
        for _ in range(_PRICES):
            price = sqrt(low * high)
            chosen = cheapest_levels(misses, levels, _BUCKET_CELLS, self._startup_cells, price)
            trials.append(self.tried(tuple(level for level in chosen for _ in range(_BUCKET_CELLS)), whole=whole))
            low, high = (low, price) if trials[-1].is_enough else (price, high)
        return trials

    def _missed_by_bucket(self, trial: Clairvoyant) -> list[int]:
        counts = [0] * ceil(self._cells / _BUCKET_CELLS)
        for at in trial.score.missed_at_seconds:
            counts[int(at / self._cell_seconds) // _BUCKET_CELLS] += 1
        return counts

    def repaired(self, plan: Plan) -> Clairvoyant:
        """Add replicas where most requests are missed until it is enough, or it takes too long."""
        trial = self.tried(plan)
        for _ in range(_REPAIRS):
            if trial.is_enough:
                return trial
            parts = stretches(trial.plan)
            missed = self._missed_in(trial, [first for first, _ in parts])
            worst = sorted(range(len(parts)), key=lambda index: -missed[index])[: max(1, len(parts) // 16)]
            grown = [(*parts[index], self._more(trial.plan[parts[index][0]])) for index in worst]
            trial = self.tried(changed(trial.plan, grown))
        return trial

    def _more(self, replicas: int) -> int:
        return self._settings.bounded(max(replicas + 1, ceil(replicas * 1.05)))

    def _missed_in(self, trial: Clairvoyant, firsts: Sequence[int]) -> list[int]:
        """Return the misses of requests that came from each of some cells on and before the next of them."""
        owner, counts, index = [-1] * self._cells, [0] * len(firsts), -1
        for cell in range(self._cells):
            if index + 1 < len(firsts) and cell >= firsts[index + 1]:
                index += 1
            owner[cell] = index
        for at in trial.score.missed_at_seconds:
            found = owner[min(int(at / self._cell_seconds), self._cells - 1)]
            if found >= 0:
                counts[found] += 1
        return counts

    def lowered(self, best: Clairvoyant, most_runs: int) -> Clairvoyant:
        """Lower stretches for as long as 99 % are served and runs are left."""
        last_run, idle = self._runs + most_runs, 0
        kinds = [(kind, parity) for kind in _LOWERINGS for parity in (0, 1)]
        turn = 0
        while self._runs < last_run and idle < len(kinds):
            kind, parity = kinds[turn % len(kinds)]
            trial = self._lowered_once(best, kind, parity)
            if trial is None:
                turn, idle = turn + 1, idle + 1
            else:
                best, idle = trial, 0
        return best

    def _lowered_once(self, best: Clairvoyant, kind: tuple[float, float, float], parity: int) -> Clairvoyant | None:
        """Lower every second stretch; where that is too much, those that add the fewest misses for what they save."""
        moves = self._moves(best.plan, kind, parity)
        chosen = list(moves)
        for attempt in range(3):
            if not chosen:
                return None
            # Only what several moves miss together tells which of them to keep.
            trial = self.tried(changed(best.plan, chosen), whole=attempt == 0 and len(moves) > 1)
            if trial.is_enough:
                return trial
            chosen = self._affordable(best, trial, moves) if len(chosen) == len(moves) else chosen[: len(chosen) // 2]
        return None

    def _moves(self, plan: Plan, kind: tuple[float, float, float], parity: int) -> list[tuple[int, int, int]]:
        """Return the changes that save anything."""
        begin, end, share = kind
        moves, cost = [], self.cost(plan)
        for first, last in stretches(plan)[parity::2]:
            length, replicas = last - first, plan[first]
            lower = max(self._settings.min_replicas, replicas - max(1, int(share * replicas)))
            move = (first + int(begin * length), first + ceil(end * length), lower)
            if lower < replicas and self.cost(changed(plan, [move])) < cost:
                moves.append(move)
        return moves

    def _affordable(
        self, best: Clairvoyant, trial: Clairvoyant, moves: list[tuple[int, int, int]]
    ) -> list[tuple[int, int, int]]:
        """Return the moves that are worth most for the misses that are left to spend, the best ones first."""
        firsts, cost = [first for first, _, _ in moves], self.cost(best.plan)
        before, after = self._missed_in(best, firsts), self._missed_in(trial, firsts)
        added = [max(0, late - early) for early, late in zip(before, after, strict=True)]
        saved = [cost - self.cost(changed(best.plan, [move])) for move in moves]
        order: Callable[[int], float] = lambda index: added[index] / saved[index]  # noqa: E731 - mypy wants its type
        left, chosen = self._allowed - (best.score.requests - best.score.within), list[tuple[int, int, int]]()
        for index in sorted(range(len(moves)), key=order):
            left -= added[index]
            if left < 0:
                break
            chosen.append(moves[index])
        return chosen
