"""Learning from starts, and saying how far a plan was off."""

import json
from dataclasses import replace

import pytest

from batchedllm.core.memory.actual import Actual
from batchedllm.core.memory.correction import (
    LARGEST,
    MOST_ENTRIES,
    CorrectionKey,
    correction_for,
    learn,
    table_from_json,
    table_to_json,
    with_correction,
)
from batchedllm.core.memory.drift import drifts, noteworthy
from batchedllm.core.memory.plan import plan
from batchedllm.core.memory.plan_types import Correction
from batchedllm.core.memory.units import GIB, MIB
from memory_models import question

KEY = CorrectionKey("registry/engine:1", "NVIDIA-H100-80GB-HBM3", "llama")
PLANNED = plan(question(max_model_len=8192))


def measured(**off: int) -> Actual:
    bill = PLANNED.bill
    return Actual(
        weights=bill.weights.bytes + off.get("weights", 0),
        activation=bill.activation.bytes + off.get("activation", 0),
        non_torch=bill.non_torch.bytes + off.get("non_torch", 0),
    )


def test_the_first_start_moves_all_the_way():
    correction = learn(None, PLANNED.bill, measured(activation=200 * MIB), KEY)
    assert correction == Correction(activation_bytes=200 * MIB, starts=1, name=str(KEY))


def test_learning_settles_on_what_starts_have_in_common():
    correction = None
    for _ in range(20):
        bill = plan(replace(question(max_model_len=8192), correction=correction)).bill
        correction = learn(correction, bill, measured(activation=300 * MIB, weights=-50 * MIB), KEY)
    assert correction.activation_bytes == pytest.approx(300 * MIB, abs=8 * MIB)
    assert correction.weights_bytes == pytest.approx(-50 * MIB, abs=8 * MIB)
    assert correction.starts == 20


def test_old_starts_are_forgotten():
    settled = Correction(activation_bytes=300 * MIB, starts=1000)
    correction = settled
    for _ in range(30):
        bill = plan(replace(question(max_model_len=8192), correction=correction)).bill
        correction = learn(correction, bill, measured(), KEY)
    assert abs(correction.activation_bytes) < 10 * MIB


def test_what_a_log_rounds_away_is_no_error():
    assert learn(None, PLANNED.bill, measured(activation=5 * MIB), KEY).activation_bytes == 0


def test_a_start_that_is_far_off_teaches_nothing():
    before = Correction(activation_bytes=MIB, starts=4)
    after = learn(before, PLANNED.bill, measured(weights=20 * GIB), KEY)
    assert after == replace(before, name=str(KEY))


def test_one_start_moves_a_term_by_a_bounded_step():
    correction = learn(None, PLANNED.bill, measured(activation=3 * GIB), KEY)
    assert correction.activation_bytes == 512 * MIB


def test_the_sum_alone_corrects_the_activation_peak():
    actual = Actual(kv_cache=PLANNED.bill.kv_cache - 100 * MIB)
    assert learn(None, PLANNED.bill, actual, KEY).activation_bytes == 100 * MIB


def test_nothing_said_nothing_learned():
    assert learn(None, PLANNED.bill, Actual(), KEY) == Correction(name=str(KEY))


def test_the_table_survives_json():
    table = {KEY: Correction(activation_bytes=5, starts=2, name=str(KEY))}
    assert table_from_json(table_to_json(table)) == table


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"format": 2, "corrections": []}',
        '{"format": 1}',
        '{"format": 1, "corrections": [1, {"engine_image": "a"}]}',
    ],
)
def test_what_is_no_table_is_an_empty_one(text):
    assert table_from_json(text) == {}


def test_an_edited_entry_is_bounded():
    content = json.loads(table_to_json({KEY: Correction(starts=1)}))
    content["corrections"][0]["weights_bytes"] = 10**18
    content["corrections"].append({**content["corrections"][0], "starts": "many"})
    table = table_from_json(json.dumps(content))
    assert [value.weights_bytes for value in table.values()] == [LARGEST]


def test_a_full_table_forgets_what_was_not_touched_for_longest():
    table: dict[CorrectionKey, Correction] = {}
    for index in range(MOST_ENTRIES + 1):
        table = with_correction(table, replace(KEY, model_family=str(index)), Correction(starts=1))
    assert len(table) == MOST_ENTRIES
    assert replace(KEY, model_family="0") not in table


def test_drift_by_term():
    actual = replace(measured(activation=100 * MIB), kv_tokens=PLANNED.kv_cache.tokens, blocks=PLANNED.kv_cache.blocks)
    found = {drift.term: drift for drift in drifts(PLANNED, actual)}
    assert found["activation"].percent < -5
    assert found["kvTokens"].percent == 0
    assert noteworthy(tuple(found.values())) is None


def test_a_drift_of_the_cache_above_three_percent_is_noteworthy():
    actual = Actual(kv_tokens=int(PLANNED.kv_cache.tokens * 0.9))
    drift = noteworthy(drifts(PLANNED, actual))
    assert drift is not None
    assert drift.percent == pytest.approx(11.1, abs=0.1)
    assert noteworthy(()) is None


def test_graphs_are_compared_with_what_the_budget_took():
    new = plan(question(engine_version="0.32.0"))
    actual = Actual(cuda_graphs=GIB, cuda_graphs_estimate=new.bill.cuda_graphs.bytes)
    assert {drift.term: drift.percent for drift in drifts(new, actual)}["cudaGraphs"] == 0


OLD, NEW = (replace(KEY, image_digest=f"registry/engine@sha256:{digit * 64}") for digit in "12")


def test_a_correction_holds_for_the_digest_that_it_was_learned_of_and_no_other():
    table = {OLD: Correction(starts=3)}

    assert correction_for(table, OLD) == Correction(starts=3)
    assert correction_for(table, NEW) is None


def test_while_no_digest_is_known_the_last_one_learned_under_the_images_name_holds():
    table = {KEY: Correction(starts=1), NEW: Correction(starts=2), OLD: Correction(starts=3)}
    table = with_correction(table, NEW, Correction(starts=4))

    assert correction_for(table, KEY) == Correction(starts=4)
    assert correction_for(table, replace(KEY, engine_image="registry/engine:2")) is None


def test_an_entry_that_tells_no_digest_does_not_hold_for_one():
    assert correction_for({KEY: Correction(starts=1)}, NEW) is None


def test_the_digest_is_written_and_read_and_shown_in_short():
    table = {OLD: Correction(starts=1, name=str(OLD)), KEY: Correction(starts=2, name=str(KEY))}

    assert table_from_json(table_to_json(table)) == table
    assert str(OLD) == "registry/engine:1 (111111111111) | NVIDIA-H100-80GB-HBM3 | llama"


def test_a_table_of_before_digests_were_kept_is_read():
    content = json.loads(table_to_json({KEY: Correction(starts=2, name=str(KEY))}))
    del content["corrections"][0]["image_digest"]

    assert table_from_json(json.dumps(content)) == {KEY: Correction(starts=2, name=str(KEY))}
