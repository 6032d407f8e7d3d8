"""The changes that were made, and what is left of the allowed change."""

from dataclasses import replace

from batchedllm.core.scaling.steps import added, free_in_seconds, merged, observe, propose, removed
from batchedllm.core.scaling.types import Memory, Proposal, Step

STEPS = Memory(steps=(Step(10.0, 3), Step(20.0, -2), Step(30.0, 1)))


def test_added_and_removed_are_counted_apart_and_only_within_the_period() -> None:
    assert (added(STEPS, 40.0, 60.0), removed(STEPS, 40.0, 60.0)) == (4, 2)
    assert (added(STEPS, 40.0, 25.0), removed(STEPS, 40.0, 25.0)) == (1, 2)
    assert (added(STEPS, 40.0, 30.0), removed(STEPS, 40.0, 15.0)) == (1, 0)


def test_the_oldest_change_of_the_period_is_the_next_to_count_no_more() -> None:
    assert free_in_seconds(STEPS, 40.0, 60.0) == 30.0
    assert free_in_seconds(STEPS, 40.0, 25.0) == 5.0
    assert free_in_seconds(Memory(), 40.0, 25.0) == 25.0


def test_steps_of_one_second_and_direction_are_one_dated_to_the_later() -> None:
    before = (Step(10.0, 3), Step(100.0, 2))

    assert merged(before, Step(100.5, 1)) == (Step(10.0, 3), Step(100.5, 3))
    assert merged(before, Step(100.5, -1)) == (*before, Step(100.5, -1))
    assert merged(before, Step(101.0, 1)) == (*before, Step(101.0, 1))
    assert merged((Step(100.0, -2),), Step(100.5, -2)) == (Step(100.5, -4),)
    assert merged((), Step(100.0, 1)) == (Step(100.0, 1),)


def test_a_change_that_was_proposed_is_dated_to_the_proposal_and_any_other_to_now() -> None:
    waiting = propose(Memory(last_wanted=3), 10.0, 3, 5)
    assert waiting.proposal == Proposal(10.0, 5)

    assert observe(waiting, 12.0, 5, 60.0).steps == (Step(10.0, 2),)
    assert observe(waiting, 12.0, 4, 60.0).steps == (Step(12.0, 1),)
    assert observe(waiting, 12.0, 5, 60.0).proposal is None
    assert observe(waiting, 12.0, 3, 60.0) == waiting
    assert propose(waiting, 14.0, 3, 3) == waiting


def test_what_is_older_than_any_period_is_forgotten() -> None:
    assert observe(STEPS, 80.0, 2, 60.0) == replace(STEPS, steps=(Step(30.0, 1),), last_wanted=2)
