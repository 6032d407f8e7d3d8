"""What is kept over a restart of the operator."""

import json
from dataclasses import replace

import pytest

from batchedllm.core.scaling.capacity import Capacity, Work
from batchedllm.core.scaling.experience import Experience, from_json
from batchedllm.core.scaling.history import History
from batchedllm.core.scaling.levels import COUNT
from batchedllm.core.scaling.traffic import Sizes

LEARNED = Experience(
    Capacity(full_tokens_per_second=31_234.5678, full_samples=30.0, fastest_step_seconds=0.0049).with_busy(
        Work(20_000, 0.02)
    ),
    History().after(2.0, 50_000.0, 12.0, is_met_anyway=False),
    Sizes(10.0, 12_345.0, 8.0, 1_600.0),
)


def test_it_is_the_same_after_a_restart_to_three_digits() -> None:
    again = from_json(json.loads(json.dumps(LEARNED.to_json())))

    assert again.capacity.tokens_per_second == pytest.approx(LEARNED.capacity.tokens_per_second, rel=1e-3)
    assert again.capacity.fastest_step_seconds == pytest.approx(0.0049, rel=1e-3)
    assert again.history.unmet == pytest.approx(LEARNED.history.unmet, rel=1e-3)
    assert again.sizes.tokens == pytest.approx(LEARNED.sizes.tokens, rel=1e-3)
    assert from_json(again.to_json()) == again


def test_it_is_small() -> None:
    assert len(json.dumps(LEARNED.to_json())) < 4096


def edited(part: str, **values) -> dict:
    document = LEARNED.to_json()
    return {**document, part: {**document[part], **values}}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 2},
        "text",
        {"version": 1, "capacity": {}},
        edited("capacity", answered=[1.0]),
        edited("capacity", answered=["a"] * COUNT),
        edited("capacity", full_samples=-1.0),
        edited("capacity", full_samples=True),
        edited("capacity", unknown_field=1.0),
        edited("capacity", answered=None),
        edited("capacity", late=1.0),
        edited("capacity", full_tokens_per_second=0.0),
        edited("capacity", full_tokens_per_second=1e9),
        edited("capacity", full_samples=None),
        edited("history", seconds=float("inf")),
        edited("history", seconds=0.0),
        edited("history", demand_square_sum=1e31),
        edited("sizes", prompts=1e-9),
        edited("sizes", answers=1e-9),
        edited("sizes", prompts=None, prompt_tokens_sum=float("nan")),
    ],
)
def test_what_is_not_of_this_form_is_forgotten_and_learned_again(document) -> None:
    assert from_json(document) == Experience()


@pytest.mark.parametrize(
    "document",
    [
        edited("capacity", full_tokens_per_second=1.0),
        edited("capacity", full_tokens_per_second=1e8),
        edited("capacity", answered=[1e30] * COUNT),
        edited("capacity", fastest_step_seconds=None),
        edited("sizes", prompts=1.0, prompt_tokens_sum=1e8),
        edited("sizes", prompts=1.0, prompt_tokens_sum=0.0),
        edited("sizes", answers=1.0, output_tokens_sum=1e8),
        edited("sizes", answers=1.0, output_tokens_sum=0.0),
    ],
)
def test_what_is_just_possible_is_kept(document) -> None:
    part = next(name for name in ("capacity", "sizes") if document[name] != LEARNED.to_json()[name])
    kept = from_json(document)

    assert kept != Experience()
    assert kept.to_json()[part] == pytest.approx(document[part])


@pytest.mark.parametrize(
    "document",
    [
        edited("capacity", full_tokens_per_second=0.999),
        edited("capacity", full_tokens_per_second=1.001e8),
        edited("capacity", answered=[1.001e30] * COUNT),
        edited("sizes", prompts=1.0, prompt_tokens_sum=1.001e8),
        edited("sizes", answers=1.0, output_tokens_sum=1.001e8),
        {**LEARNED.to_json(), "version": 1},
        {**LEARNED.to_json(), "version": 2},
        edited("capacity", least_tokens_per_second_sum=0.0, full_samples=0.0, busy_weight=1e9),
        {**LEARNED.to_json(), "history": {"seconds": 1.0}},
        {**LEARNED.to_json(), "sizes": None},
        {**LEARNED.to_json(), "capacity": []},
    ],
)
def test_what_is_just_impossible_is_forgotten(document) -> None:
    assert from_json(document) == Experience()


def test_before_any_step_was_seen_there_is_no_fastest_one() -> None:
    fresh = replace(LEARNED, capacity=Capacity())
    assert from_json(fresh.to_json()).capacity.fastest_step_seconds is None
