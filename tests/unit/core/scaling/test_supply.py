"""Replicas that find no node: waited for, given up, and tried again with longer and longer pauses."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.api.scaling import ScaleDown, ScaleUp, Scaling
from batchedllm.core.readings import FleetLoad
from batchedllm.core.scaling import supply
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.types import Decision, Fleet, ScalingState, Supply

UP = ScaleUp(unschedulable_seconds=600, unschedulable_pause_seconds=300)
POLICY = Scaling(max_replicas=9, scale_up=UP, scale_down=ScaleDown(max_step=10))
NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
BUSY = 900.0


def short_of(unschedulable: int, wanted: int = 5) -> Fleet:
    ready = wanted - unschedulable
    return Fleet(wanted, ready, unschedulable, unschedulable, unschedulable_reason=NO_GPU)


def observed(*looks: tuple[float, Fleet], fewest: int = 1) -> Supply:
    found = Supply()
    for at, fleet in looks:
        found = supply.observe(found, at, fleet, UP, fewest)
    return found


# What is known of the nodes


def test_replicas_may_wait_for_a_node_until_the_deadline() -> None:
    assert not observed((0.0, short_of(3)), (599.0, short_of(3))).rests(599.0)
    assert observed((0.0, short_of(3)), (600.0, short_of(3))).rests(600.0)


def test_those_that_have_a_node_are_what_is_left() -> None:
    found = observed((0.0, short_of(3)), (600.0, short_of(3)))

    assert (found.ceiling, found.given_up, found.retry_at_seconds) == (2, 3, 900.0)
    assert supply.words(found, UP) == f"3 replicas found no node within 600 s and are given up for 300 s: {NO_GPU}"


def test_a_node_that_comes_in_time_ends_the_wait() -> None:
    found = observed((0.0, short_of(3)), (599.0, short_of(0)), (600.0, short_of(3)), (700.0, short_of(3)))

    assert not found.rests(700.0)


def test_the_smallest_fleet_is_never_given_up() -> None:
    assert observed((0.0, short_of(3)), (600.0, short_of(3)), fewest=4).ceiling == 4
    assert observed((0.0, short_of(3)), (6000.0, short_of(3)), fewest=5).ceiling is None


def test_pauses_double_up_to_an_hour() -> None:
    found, now, pauses = Supply(), 0.0, []
    for _ in range(7):
        found = supply.observe(found, now, short_of(3), UP, 1)
        found = supply.observe(found, now + 600, short_of(3), UP, 1)
        pauses.append(found.pause_seconds)
        now = found.retry_at_seconds

    assert pauses == [300, 600, 1200, 2400, 3600, 3600, 3600]


def test_a_look_during_the_pause_changes_nothing() -> None:
    found = observed((0.0, short_of(3)), (600.0, short_of(3)))

    assert supply.observe(found, 700.0, short_of(1, wanted=3), UP, 1) == found


def test_a_try_after_the_pause_gets_the_whole_deadline_again() -> None:
    found = observed((0.0, short_of(3)), (600.0, short_of(3)), (900.0, short_of(3)), (1499.0, short_of(3)))

    assert not found.rests(1499.0)


def test_replicas_that_got_ready_beyond_those_that_were_left_end_it() -> None:
    found = observed((0.0, short_of(3)), (600.0, short_of(3)), (700.0, Fleet(3, 3, 0)))

    assert found == Supply()


def test_failures_are_forgotten_an_hour_after_the_pause_and_not_before() -> None:
    given_up = observed((0.0, short_of(3)), (600.0, short_of(3)))

    assert supply.observe(given_up, 4499.0, Fleet(2, 2, 0), UP, 1).failures == 1
    assert supply.observe(given_up, 4500.0, Fleet(2, 2, 0), UP, 1) == Supply()


def test_one_replica_is_told_of_as_one() -> None:
    assert supply.words(Supply(ceiling=4, given_up=1, pause_seconds=300), UP).startswith(
        "1 replica found no node within 600 s and is given up"
    )


# What decisions make of it


class Run:
    """Decisions on a fleet in which only `nodes` replicas find a place, while the queue stays long."""

    def __init__(self, nodes: int, wanted: int = 5, policy: Scaling = POLICY) -> None:
        self.nodes, self.wanted, self.now = nodes, wanted, 0.0
        self.state = ScalingState(policy, Fleet(wanted, wanted, 0), None)
        self.silent: tuple[str, ...] = ()

    def look(self, seconds: float = 0.0) -> Decision:
        self.now += seconds
        ready = min(self.nodes, self.wanted)
        fleet = Fleet(self.wanted, ready, self.wanted - ready, self.wanted - ready, unschedulable_reason=NO_GPU)
        load = FleetLoad(ready, self.silent, BUSY, 8.0 * ready, 0.5, None, 100.0, no_gpu_metrics=True)
        decision, self.state = decide(replace(self.state, fleet=fleet, load=load), self.now)
        self.wanted = decision.to_replicas
        return decision


def test_while_replicas_wait_for_a_node_the_number_is_held() -> None:
    run = Run(nodes=2)

    assert [run.look(at).to_replicas for at in (0, 300, 299)] == [5, 5, 5]
    assert run.look().limited_by == ("unschedulableReplicas",)


def test_after_the_deadline_the_number_goes_back_to_what_has_a_node_with_the_schedulers_words() -> None:
    run = Run(nodes=2)
    run.look()
    decision = run.look(600)

    assert (decision.from_replicas, decision.to_replicas, decision.winner) == (5, 2, "capacityGivenUp")
    assert f"3 replicas found no node within 600 s and are given up for 300 s: {NO_GPU}" in decision.reason
    assert decision.given_up.endswith(NO_GPU)


def test_what_was_given_up_is_not_asked_for_again_before_the_pause_is_over_and_then_it_is() -> None:
    run = Run(nodes=2)
    run.look()
    run.look(600)

    held = run.look(100)
    assert (held.to_replicas, held.limited_by, held.retry_seconds) == (2, ("capacityGivenUp",), 200.0)
    again = run.look(200)
    assert again.to_replicas > 2
    assert again.given_up == ""


def test_once_there_are_nodes_again_the_fleet_grows_to_what_is_needed() -> None:
    run = Run(nodes=2)
    run.look()
    run.look(600)
    run.nodes = 9
    run.look(300)
    for _ in range(4):
        run.look(15)

    assert run.wanted == 9


def test_nothing_is_given_up_while_metrics_are_unknown() -> None:
    run = Run(nodes=2)
    run.look()
    run.silent = ("silent",)

    assert run.look(600).to_replicas == 5


def test_giving_up_keeps_to_the_steps_of_scale_down() -> None:
    run = Run(nodes=2, policy=POLICY.model_copy(update={"scale_down": ScaleDown(max_step=1, period_seconds=30)}))
    run.look()

    assert [run.look(at).to_replicas for at in (600, 15, 15, 30, 30)] == [4, 4, 3, 2, 2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 900)), max_size=40), st.integers(1, 5))
def test_whatever_nodes_come_and_go_the_fleet_stays_within_its_bounds_and_the_memory_small(looks, fewest) -> None:
    run = Run(nodes=2, policy=POLICY.model_copy(update={"min_replicas": fewest}))
    for nodes, seconds in looks:
        run.nodes = nodes
        assert fewest <= run.look(seconds).to_replicas <= 9
        assert run.state.memory.supply.pause_seconds <= supply.LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize("nodes", [0, 1, 4])
def test_a_shortage_that_never_ends_is_tried_less_and_less_often(nodes: int) -> None:
    run, tries = Run(nodes=nodes), 0
    for _ in range(24 * 240):
        before = run.wanted
        tries += run.look(15).to_replicas > before and before <= max(1, nodes)

    assert tries <= 30, "at least 50 minutes lie between two tries in the end"
