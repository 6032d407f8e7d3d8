"""Which runs the judge makes, in which order, and what it concludes from some for others."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from batchedllm.sim.policies.reachable import Reactive
from batchedllm.sim.policies.registry import NAMES, STATIC, knob_of
from bench.scaling.cases import SETTINGS, Window, World
from bench.scaling.results import Figures, Results
from bench.scaling.tasks import OWN, VARIANTS, Task

ENOUGH: Final = 0.95
"""A that is aimed at."""
AFFORDABLE: Final = 1.5
"""K that is aimed at."""
PEERS: Final = tuple(name for name in NAMES if name != "token-rate-85")
"""Of the two token rates one: they differ in the knob."""

_UTILIZATIONS: Final = (0.5, 0.8)
_HOLDS_SECONDS: Final = (300.0, 900.0)
_FLOORS: Final = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Parts of the smallest fixed fleet that does."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is judged."""

    titles: tuple[str, ...]
    startups: tuple[int, ...]
    seeds: int
    peers: tuple[str, ...] = PEERS
    clairvoyant_seeds: int = 1
    """How many seeds the clairvoyant plans for; a plan takes minutes, and its hours hardly differ between seeds."""

    def cells(self) -> Iterator[World]:
        """Each traffic with each start-up, of the first seed, on the half that is scored."""
        for title, startup in product(self.titles, self.startups):
            yield World(title, startup_seconds=startup)

    def seeded(self, world: World) -> list[World]:
        """Return the same world with each seed."""
        return [replace(world, seed=seed) for seed in range(1, self.seeds + 1)]

    def foreseen(self, world: World) -> list[World]:
        """Return the same world with each seed that the clairvoyant plans for."""
        return self.seeded(world)[: self.clairvoyant_seeds]


def capacity_task(title: str) -> Task:
    """What one replica holds of some traffic; the first seed's stands for all."""
    return Task(World(title, "whole"), "capacity")


def _in(world: World, window: Window) -> World:
    return replace(world, window=window)


# -- knobs: tuned on the first half


def tuning(scope: Scope) -> list[Task]:
    """Return every peer with every value of its knob on the first half, and ours as it is."""
    tasks = []
    for cell in scope.cells():
        first = _in(cell, "first")
        tasks.append(Task(first, OWN))
        tasks += [Task(first, peer, value) for peer in scope.peers for value in knob_of(peer).grid]
    return tasks


def best_knob(results: Results, world: World, peer: str, most_hours: float | None = None) -> float | None:
    """Return the value for the lowest cost with A >= 0.95 on the first half, else for the highest A.

    With `most_hours` it is the highest A at no more than that cost, else the lowest cost.
    """
    first = _in(world, "first")
    tried = [(value, results.get(Task(first, peer, value))) for value in knob_of(peer).grid]
    found = [(value, one) for value, one in tried if one is not None]
    if len(found) < len(tried):
        return None
    if most_hours is not None:
        affordable = [(value, one) for value, one in found if one["replicaHours"] <= most_hours]
        if not affordable:
            return min(found, key=lambda pair: float(pair[1]["replicaHours"]))[0]
        return max(affordable, key=lambda pair: float(pair[1]["A"]))[0]
    enough = [(value, one) for value, one in found if one["A"] >= ENOUGH]
    if enough:
        return min(enough, key=lambda pair: float(pair[1]["replicaHours"]))[0]
    return max(found, key=lambda pair: float(pair[1]["A"]))[0]


# -- scores: on the second half


def tuned(results: Results, world: World, peer: str) -> Task | None:
    """Return a peer with its best knob."""
    value = best_knob(results, world, peer)
    return None if value is None else Task(world, peer, value)


def at_our_cost(results: Results, world: World, peer: str) -> Task | None:
    """Return a peer with the knob that was best for what ours cost."""
    ours = results.get(Task(_in(world, "first"), OWN))
    value = None if ours is None else best_knob(results, replace(world, seed=1), peer, ours["replicaHours"])
    return None if value is None else Task(world, peer, value)


def scoring(scope: Scope, results: Results) -> list[Task]:
    """Return ours, the clairvoyant, and each peer with its default, its best knob and that for our cost."""
    tasks: list[Task | None] = []
    for cell in scope.cells():
        tasks += [Task(world, "clairvoyant") for world in scope.foreseen(cell)]
        for world in scope.seeded(cell):
            tasks.append(Task(world, OWN))
            for peer in scope.peers:
                of_cell = (tuned(results, cell, peer), at_our_cost(results, cell, peer))
                tasks += [replace(task, world=world) for task in of_cell if task is not None]
                tasks.append(Task(world, peer, knob_of(peer).default))
    return [task for task in dict.fromkeys(tasks) if task is not None]


def whole(scope: Scope) -> list[Task]:
    """Return ours and the clairvoyant on all of the traffic."""
    cells = [_in(cell, "whole") for cell in scope.cells()]
    ours = [Task(world, OWN) for cell in cells for world in scope.seeded(cell)]
    return [*ours, *(Task(world, "clairvoyant") for cell in cells for world in scope.foreseen(cell))]


# -- what could be reached


def fixed(world: World, replicas: int) -> Task:
    """Return a fixed fleet."""
    return Task(world, f"{STATIC}{replicas}")


def smallest_fixed(results: Results, world: World) -> tuple[int | None, Task | None]:
    """Return the smallest fixed fleet that reaches A >= 0.95, or what is to be run to know it."""
    low, high = 0, SETTINGS.max_replicas
    while high - low > 1:
        middle = (low + high) // 2
        task = fixed(world, middle)
        figures = results.get(task)
        if figures is None:
            return None, task
        low, high = (low, middle) if figures["A"] >= ENOUGH else (middle, high)
    return high, None


def reactives(smallest: int) -> list[Reactive]:
    """Return the family of which the best is what could be reached."""
    floors = sorted({int(part * smallest) for part in _FLOORS})
    return [Reactive(*member) for member in product(_UTILIZATIONS, _HOLDS_SECONDS, floors)]


def reaching(scope: Scope, results: Results) -> list[Task]:
    """Return what is to be run next to know what could be reached, on the first seed."""
    tasks = []
    for cell in scope.cells():
        smallest, missing = smallest_fixed(results, cell)
        if missing is not None:
            tasks.append(missing)
        elif smallest is not None:
            tasks += [Task(cell, "clairvoyant"), *(Task(cell, "reachable", None, one) for one in reactives(smallest))]
    return tasks


def best_reachable(results: Results, world: World) -> Task | None:
    """Return the cheapest with A >= 0.95 at K <= 1.5, else the highest A at that K, else the lowest cost.

    None while runs are missing.
    """
    smallest, missing = smallest_fixed(results, world)
    if missing is not None or smallest is None:
        return None
    tasks = [Task(world, "reachable", None, one) for one in reactives(smallest)]
    found: list[tuple[Task, Figures]] = [(task, one) for task in tasks if (one := results.get(task)) is not None]
    best = results.cheapest_hours(world)
    if not found or best is None:
        return None
    affordable = [(task, one) for task, one in found if one["replicaHours"] <= AFFORDABLE * best]
    enough = [(task, one) for task, one in affordable if one["A"] >= ENOUGH]
    if affordable and not enough:
        return max(affordable, key=lambda pair: float(pair[1]["A"]))[0]
    return min(enough or found, key=lambda pair: float(pair[1]["replicaHours"]))[0]


# -- what ours depends on

STUDY_STARTUP_SECONDS: Final = 120
SCRAPE_SECONDS: Final = (1.0, 2.0, 5.0, 15.0)
SCRAPE_LOSS: Final = 0.2


def study_worlds(scope: Scope, title: str) -> dict[str, World]:
    """Return the worlds that ours is tried in, by what is different."""
    usual = World(title, startup_seconds=STUDY_STARTUP_SECONDS)
    worlds = {f"a scrape every {seconds:g} s": replace(usual, scrape_seconds=seconds) for seconds in SCRAPE_SECONDS}
    lost = f"{SCRAPE_LOSS:.0%} of the scrapes lost"
    return worlds | {lost: replace(usual, scrape_loss=SCRAPE_LOSS)} if title in scope.titles else {}


def studies(scope: Scope) -> list[Task]:
    """Return ours with other scrapes, and with something taken away or broken."""
    tasks = []
    for title in scope.titles:
        tried = [Task(world, OWN) for world in study_worlds(scope, title).values()]
        usual = World(title, startup_seconds=STUDY_STARTUP_SECONDS)
        tried += [Task(usual, OWN + variant) for variant in VARIANTS]
        tasks += [replace(task, world=world) for task in tried for world in scope.seeded(task.world)]
        tasks += [Task(world, "clairvoyant") for world in scope.foreseen(usual)]
    return tasks
