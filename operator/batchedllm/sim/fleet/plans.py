"""Plans of who knows the future: replicas for each cell of time, what they cost, and the cheapest for given misses.

A replica is asked for its start-up before it is needed and paid for from then on, as everybody's are.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby

Plan = tuple[int, ...]
"""Replicas that are to serve in each cell of time."""


def asked_ahead(plan: Sequence[int], startup_cells: int) -> Plan:
    """Return what to ask for in each cell so that the plan's replicas are ready in theirs."""
    asked, ahead = [0] * len(plan), deque[int]()
    for cell in range(len(plan) - 1, -1, -1):
        while ahead and plan[ahead[-1]] <= plan[cell]:
            ahead.pop()
        ahead.append(cell)
        if ahead[0] > cell + startup_cells:
            ahead.popleft()
        asked[cell] = plan[ahead[0]]
    return tuple(asked)


def paid_cells(plan: Sequence[int], startup_cells: int) -> int:
    """Return how many cells of a replica's time a plan pays for."""
    return sum(asked_ahead(plan, startup_cells))


def stretches(plan: Sequence[int]) -> list[tuple[int, int]]:
    """Return where the plan stays the same: first cell, and cell after the last."""
    found, first = [], 0
    for _, group in groupby(plan):
        last = first + sum(1 for _ in group)
        found.append((first, last))
        first = last
    return found


def changed(plan: Sequence[int], changes: Iterable[tuple[int, int, int]]) -> Plan:
    """Return the plan with other numbers in some stretches: first cell, cell after the last, replicas."""
    cells = list(plan)
    for first, last, replicas in changes:
        cells[first:last] = [replicas] * (last - first)
    return tuple(cells)


def cheapest_levels(
    misses: Sequence[Sequence[float]], levels: Sequence[int], cells: int, startup_cells: int, price: float
) -> list[int]:
    """Return the level of each bucket of time for the lowest cost, where a miss costs as much as `price` paid cells.

    `misses` are, for each bucket, those of a fleet of each level; a bucket is so many cells long. More replicas than in
    the bucket before cost their start-up as well, so that keeping them over a short gap is weighed against it. Dynamic
    programming: every bucket knows the cheapest way to each level.
    """
    costs = [levels[index] * cells + price * missed for index, missed in enumerate(misses[0])]
    ways: list[list[int]] = []
    for bucket in misses[1:]:
        before = _cheapest_befores(costs, levels, startup_cells)
        ways.append([index for index, _ in before])
        costs = [before[index][1] + levels[index] * cells + price * missed for index, missed in enumerate(bucket)]
    index = min(range(len(levels)), key=costs.__getitem__)
    chosen = [index]
    for way in reversed(ways):
        index = way[index]
        chosen.append(index)
    return [levels[index] for index in reversed(chosen)]


def _cheapest_befores(costs: Sequence[float], levels: Sequence[int], startup_cells: int) -> list[tuple[int, float]]:
    """Return, for each level, the cheapest level to come from and what getting here cost."""
    best = [(index, cost) for index, cost in enumerate(costs)]
    for index in range(len(levels) - 2, -1, -1):
        if best[index + 1][1] < best[index][1]:
            best[index] = best[index + 1]
    below, below_cost = 0, costs[0]
    for index in range(1, len(levels)):
        grown = below_cost + (levels[index] - levels[index - 1]) * startup_cells
        below, below_cost = (below, grown) if grown < costs[index] else (index, costs[index])
        if below_cost < best[index][1]:
            best[index] = (below, below_cost)
    return best
