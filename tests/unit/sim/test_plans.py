"""What a plan costs, and the cheapest one for given misses."""

from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from batchedllm.sim.fleet.plans import asked_ahead, changed, cheapest_levels, paid_cells, stretches

plans = st.lists(st.integers(0, 9), min_size=1, max_size=30)


def test_replicas_are_asked_for_before_they_are_needed():
    assert asked_ahead((1, 1, 1, 3, 1, 1), 2) == (1, 3, 3, 3, 1, 1)
    assert asked_ahead((3, 1, 1, 3), 2) == (3, 3, 3, 3)
    assert paid_cells((1, 1, 1, 3, 1, 1), 2) == 12


@given(plans, st.integers(0, 8))
def test_what_is_asked_for_is_the_most_that_is_needed_until_a_replica_could_start(plan, startup):
    assert asked_ahead(plan, startup) == tuple(max(plan[cell : cell + startup + 1]) for cell in range(len(plan)))


def test_stretches_and_changes():
    assert stretches((1, 1, 2, 1)) == [(0, 2), (2, 3), (3, 4)]
    assert changed((1, 1, 2, 1), [(0, 1, 5), (2, 4, 0)]) == (5, 1, 0, 0)


def _cost(chosen, misses, levels, startup, price):
    total = sum(level * 2 + price * misses[bucket][levels.index(level)] for bucket, level in enumerate(chosen))
    return total + sum(startup * max(0, after - before) for before, after in pairwise(chosen))


@given(
    st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=1, max_size=5),
    st.integers(0, 9),
    st.sampled_from((0.1, 1.0, 10.0)),
)
def test_no_other_levels_are_cheaper(misses, startup, price):
    levels = [1, 2, 5]
    chosen = cheapest_levels(misses, levels, 2, startup, price)
    best = min(_cost(one, misses, levels, startup, price) for one in product(levels, repeat=len(misses)))
    assert abs(_cost(chosen, misses, levels, startup, price) - best) < 1e-6


def test_a_gap_that_is_shorter_than_a_startup_is_not_worth_a_pause():
    burst, calm = [9, 0], [0, 0]
    assert cheapest_levels([burst, calm, burst], [1, 2], 2, 9, 10.0) == [2, 2, 2]
    assert cheapest_levels([burst, calm, burst], [1, 2], 10, 9, 10.0) == [2, 1, 2]
