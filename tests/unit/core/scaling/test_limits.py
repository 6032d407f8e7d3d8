"""Each limit on its own: what it lets pass, what it makes of the rest, and when it runs out."""

from dataclasses import replace

import pytest

from batchedllm.api.scaling import ScaleDown, ScaleUp, Scaling
from batchedllm.core.scaling.limits import (
    Draft,
    Situation,
    apply,
    hold_seconds,
    most_removed,
    not_down_on_unknown,
    not_up_when_stuck,
    stabilized_down,
    stabilized_up,
    within_bounds,
    within_step,
    within_supply,
)
from batchedllm.core.scaling.types import Fleet, Memory, ScalingState, Step, Supply

NOW = 1000.0


def situation(base: int = 5, *, certain: bool = True, up=None, down=None, startup=None, **parts) -> Situation:
    """A fleet that has needed all of its replicas until now, or what `memory` says."""
    memory = {"needs": ((0.0, base),), "low_needs": ((0.0, base),), "observed_since_seconds": 0.0}
    fleet = {"pending": 0, "startup_seconds": startup, **parts.pop("fleet", {})}
    rules = Scaling(min_replicas=2, max_replicas=20, scale_up=up or ScaleUp(), scale_down=down or ScaleDown())
    state = ScalingState(rules, Fleet(base, base - fleet["pending"], **fleet), None)
    return Situation(state, Memory(**{**memory, **parts}), NOW, base, certain)


def test_bounds_are_named_by_what_set_them() -> None:
    assert within_bounds(Draft(30), situation()) == Draft(20, ("maxReplicas",))
    assert within_bounds(Draft(1), situation()) == Draft(2, ("minReplicas",))
    assert within_bounds(Draft(20), situation()) == Draft(20)


def test_nothing_is_removed_on_unknown_and_adding_goes_on() -> None:
    unknown = situation(certain=False)

    assert not_down_on_unknown(Draft(4), unknown) == Draft(5, ("unknownMetrics",))
    assert not_down_on_unknown(Draft(5), unknown) == Draft(5)
    assert not_down_on_unknown(Draft(6), unknown) == Draft(6)
    assert not_down_on_unknown(Draft(4), situation()) == Draft(4)


@pytest.mark.parametrize(("why", "name"), [("unschedulable", "unschedulableReplicas"), ("failing", "failingReplicas")])
def test_nothing_is_added_while_one_replica_cannot_start(why: str, name: str) -> None:
    stuck = situation(fleet={"pending": 1, why: 1})

    assert not_up_when_stuck(Draft(6), stuck) == Draft(5, (name,))
    assert not_up_when_stuck(Draft(5), stuck) == Draft(5)
    assert not_up_when_stuck(Draft(4), stuck) == Draft(4)
    assert not_up_when_stuck(Draft(6), situation()) == Draft(6)


def test_added_is_what_was_needed_all_through_the_window() -> None:
    patient = ScaleUp(stabilization_seconds=30)
    rising = situation(up=patient, low_needs=((980.0, 7), (990.0, 9)))

    assert stabilized_up(Draft(9), rising) == Draft(7, ("scaleUp.stabilizationSeconds",), 10.0)
    assert stabilized_up(Draft(7), rising) == Draft(7)
    assert stabilized_up(Draft(5), rising) == Draft(5)
    new = situation(up=patient, low_needs=((990.0, 9),), observed_since_seconds=990.0)
    assert stabilized_up(Draft(9), new) == Draft(5, ("scaleUp.stabilizationSeconds",), 20.0)


def test_removed_is_what_was_not_needed_at_any_time_of_the_window() -> None:
    patient = ScaleDown(stabilization_seconds=30)
    falling = situation(down=patient, needs=((980.0, 4), (990.0, 3)))

    assert stabilized_down(Draft(3), falling) == Draft(4, ("scaleDown.stabilizationSeconds",), 10.0)
    assert stabilized_down(Draft(4), falling) == Draft(4)
    assert stabilized_down(Draft(5), falling) == Draft(5)
    new = situation(down=patient, needs=((990.0, 3),), observed_since_seconds=990.0)
    assert stabilized_down(Draft(3), new) == Draft(5, ("scaleDown.stabilizationSeconds",), 20.0)


def test_replicas_that_do_not_serve_yet_are_given_up_after_a_minute_and_those_that_do_are_kept() -> None:
    needs = ((800.0, 5), (930.0, 3))
    pending = situation(needs=needs, fleet={"pending": 1})

    assert stabilized_down(Draft(3), pending) == Draft(4, ("scaleDown.stabilizationSeconds",), 40.0)
    assert stabilized_down(Draft(3), situation(needs=needs)).replicas == 5
    assert stabilized_down(Draft(3), situation(needs=((950.0, 5), (950.0, 3)), fleet={"pending": 1})).replicas == 5


def test_a_lower_need_must_last_as_set_or_else_for_some_starts_and_no_longer_than_is_worth_it() -> None:
    assert hold_seconds(situation(down=ScaleDown(stabilization_seconds=7)).state) == 7
    assert hold_seconds(situation(startup=80.0).state) == 200.0
    assert hold_seconds(situation(startup=6.0).state) == 60
    assert hold_seconds(situation(startup=200.0).state) == 240
    assert hold_seconds(situation(startup=500.0).state) == 500.0


def test_given_up_replicas_are_not_asked_for_before_the_pause_is_over() -> None:
    supply = Supply(ceiling=4, retry_at_seconds=NOW + 50, given_up=1)
    short = situation(supply=supply)

    assert within_supply(Draft(6), short) == Draft(4, ("capacityGivenUp",), 50.0)
    assert within_supply(Draft(5), short) == Draft(4, ("capacityGivenUp",), 50.0)
    assert within_supply(Draft(4), short) == Draft(4)
    assert within_supply(Draft(6), situation(supply=replace(supply, ceiling=1))).replicas == 2
    assert within_supply(Draft(6), situation(supply=supply, certain=False)).replicas == 5
    assert within_supply(Draft(6), situation(supply=replace(supply, retry_at_seconds=NOW))) == Draft(6)
    assert within_supply(Draft(6), situation()) == Draft(6)


def test_the_steps_of_one_period_are_counted_together() -> None:
    up, down = ScaleUp(max_step=3, period_seconds=60), ScaleDown(max_step=2, period_seconds=60)
    moved = situation(up=up, down=down, steps=(Step(980.0, 2), Step(990.0, -1)))

    assert within_step(Draft(9), moved) == Draft(6, ("scaleUp.maxStep",), 40.0)
    assert within_step(Draft(6), moved) == Draft(6)
    assert within_step(Draft(5), moved) == Draft(5)
    assert within_step(Draft(4), moved) == Draft(4)
    assert within_step(Draft(2), moved) == Draft(4, ("scaleDown.maxStep",), 40.0)


def test_most_that_go_at_once_are_as_set_or_else_a_tenth_and_those_that_do_not_serve() -> None:
    assert most_removed(situation(down=ScaleDown(max_step=7))) == 7
    assert most_removed(situation(5)) == 1
    assert most_removed(situation(39)) == 3
    assert most_removed(situation(5, fleet={"pending": 4})) == 4


def test_the_first_limit_that_runs_out_says_when_to_look_again_and_never_at_once() -> None:
    draft = Draft(9).limited(8, "one", 30.0).limited(7, "other", 5.0).limited(6, "third", 20.0)

    assert draft == Draft(6, ("one", "other", "third"), 5.0)
    assert draft.limited(6, "now", 0.0).retry_seconds == 0.1
    assert Draft(9).limited(8, "one").retry_seconds is None


def test_a_bound_that_a_tighter_limit_made_irrelevant_is_not_named() -> None:
    lasting = {"low_needs": ((0.0, 30),)}

    assert apply(Draft(30), situation(up=ScaleUp(max_step=2), **lasting)) == Draft(7, ("scaleUp.maxStep",), 15.0)
    assert apply(Draft(30), situation(**lasting)) == Draft(20, ("maxReplicas",))
