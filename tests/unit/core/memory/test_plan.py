"""The plan as a whole: terms, verdicts, lengths, and what it says about itself."""

import json
import time
from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest

from batchedllm.core.memory.architecture import describe
from batchedllm.core.memory.errors import InvalidSettings
from batchedllm.core.memory.model import FullAttention, NoCache, StateSpace, StateTensor
from batchedllm.core.memory.plan import plan
from batchedllm.core.memory.plan_types import Correction, Verdict
from batchedllm.core.memory.units import GIB, MIB, Bytes, Certainty
from memory_models import gpu, model, question


def test_requested_is_the_engines_rounding_up_of_the_share():
    asked = question(utilization=0.9)
    assert plan(asked).bill.requested == ceil(asked.gpu.memory * 0.9)


def test_terms_add_up_to_what_is_requested():
    bill = plan(question(utilization=0.9)).bill
    assert bill.requested == bill.weights.bytes + bill.activation.bytes + bill.non_torch.bytes + bill.kv_cache


def test_an_8b_model_fits_an_h100_with_the_engines_defaults():
    planned = plan(question())
    assert planned.verdict is Verdict.FITS
    assert planned.settings.defaulted == ("utilization", "max_model_len", "max_num_seqs", "max_num_batched_tokens")
    assert (planned.settings.utilization, planned.settings.max_num_seqs) == (0.92, 1024)
    assert planned.settings.max_num_batched_tokens == 8192
    assert planned.settings.max_model_len == 131072


def test_tokens_are_the_concurrency_times_the_length_as_the_engine_says_it():
    cache = plan(question(max_model_len=8192)).kv_cache
    assert cache.tokens == int(cache.blocks / cache.blocks_per_request * 8192)
    assert (cache.block_size, cache.bytes_per_block, cache.blocks_per_request) == (16, 2 * MIB, 512)


def test_weights_beyond_the_budget_do_not_fit():
    planned = plan(question(model(layers=200)))
    assert planned.verdict is Verdict.DOES_NOT_FIT
    assert "GiB" in planned.why
    assert planned.bill.kv_cache < 0
    assert planned.largest_max_model_len is None


def test_a_length_beyond_the_cache_does_not_fit_and_the_longest_that_does_is_said():
    planned = plan(question(utilization=0.3, max_model_len=131072))
    assert planned.verdict is Verdict.DOES_NOT_FIT
    again = plan(question(utilization=0.3, max_model_len=planned.largest_max_model_len))
    assert again.verdict is Verdict.FITS
    assert plan(question(utilization=0.3, max_model_len=planned.largest_max_model_len + 1)).verdict is not Verdict.FITS


def test_auto_takes_the_longest_that_fits():
    planned = plan(question(utilization=0.3, max_model_len="auto"))
    assert planned.verdict is Verdict.FITS
    assert planned.settings.max_model_len == planned.largest_max_model_len
    assert planned.settings.max_model_len % 16 == 0


def test_auto_takes_the_models_longest_where_that_fits():
    assert plan(question(max_model_len="auto")).settings.max_model_len == 131072


def test_largest_length_for_the_wanted_concurrency():
    planned = plan(question(max_num_seqs=16, max_model_len=8192))
    longest = planned.largest_for_concurrency
    assert plan(question(max_num_seqs=16, max_model_len=longest)).kv_cache.concurrency >= 16
    assert plan(question(max_num_seqs=16, max_model_len=longest + 16)).kv_cache.concurrency < 16


def test_a_share_of_all_the_memory_leaves_none_for_the_cuda_context():
    planned = plan(question(utilization=1.0))
    assert planned.verdict is Verdict.DOES_NOT_FIT
    assert "CUDA context" in planned.why


def test_what_is_not_known_makes_the_verdict_unknown_and_shows_the_rest():
    planned = plan(question(model(unknown=("Its adapters are of an unknown kind",))))
    assert planned.verdict is Verdict.UNKNOWN
    assert "adapters" in planned.why
    assert planned.bill.weights.bytes > 14 * GIB


def test_a_kv_dtype_that_only_the_backend_knows_is_unknown():
    planned = plan(question(kv_cache_dtype="int8_per_token_head"))
    assert planned.verdict is Verdict.UNKNOWN
    assert "int8_per_token_head" in planned.why


def test_fp8_doubles_the_tokens():
    one, two = plan(question(max_model_len=8192)), plan(question(max_model_len=8192, kv_cache_dtype="fp8"))
    assert two.kv_cache.tokens == pytest.approx(2 * one.kv_cache.tokens, rel=1e-4)


def test_graphs_count_in_the_budget_from_the_version_that_estimates_them():
    old, new = plan(question()).bill, plan(question(engine_version="0.32.0")).bill
    assert not old.cuda_graphs_in_budget
    assert new.cuda_graphs_in_budget
    missing = new.cuda_graphs.bytes + new.persistent.bytes
    assert new.kv_cache == old.kv_cache - missing
    assert new.headroom > old.headroom


def test_no_graphs_with_eager():
    assert plan(question(enforce_eager=True)).bill.cuda_graphs.bytes == 0


def test_an_unknown_version_uses_the_newest_and_says_so():
    planned = plan(question(engine_version="0.99.1"))
    assert planned.settings.engine_version == "0.32.0"
    assert "0.99.1" in planned.notes[0]


def test_another_version_than_the_measured_one_is_less_sure():
    assert plan(question()).bill.activation.certainty is Certainty.CALIBRATED
    assert plan(question(engine_version="0.32.0")).bill.activation.certainty is Certainty.ESTIMATED


def test_a_correction_moves_its_term_and_is_named():
    correction = Correction(activation_bytes=100 * MIB, starts=3, name="image | gpu | llama")
    plain, corrected = plan(question()), plan(replace(question(), correction=correction))
    assert corrected.bill.activation.bytes == plain.bill.activation.bytes + 100 * MIB
    assert corrected.bill.kv_cache == plain.bill.kv_cache - 100 * MIB
    assert "image | gpu | llama" in corrected.notes[-1]


def test_tensor_parallel_divides_weights_and_cache():
    one, two = plan(question(max_model_len=8192)), plan(question(max_model_len=8192, tensor_parallel=2))
    assert two.bill.weights.bytes == pytest.approx(one.bill.weights.bytes / 2, rel=0.01)
    assert two.kv_cache.bytes_per_block == one.kv_cache.bytes_per_block / 2


def test_replicated_heads_are_not_divided():
    eight = plan(question(tensor_parallel=8)).kv_cache.bytes_per_block
    assert plan(question(tensor_parallel=16)).kv_cache.bytes_per_block == eight


def test_pipeline_bills_the_stage_with_the_fewest_blocks():
    planned = plan(question(pipeline_parallel=3, max_model_len=8192))
    assert planned.kv_cache.bytes_per_block == 11 * 16 * 4096
    assert planned.verdict is Verdict.FITS


def test_a_model_of_states_only_has_a_block_for_each_request():
    state = StateSpace("mamba", (StateTensor(1024 * 1024, 4, sharded=True),))
    planned = plan(question(model(caches=[state] * 24)))
    assert planned.kv_cache.bytes_per_block == 24 * 4 * MIB
    assert planned.kv_cache.blocks_per_request == 1


@pytest.mark.parametrize(
    ("kind", "version", "prefix_caching", "states"),
    [
        ("mamba2", "0.32.0", None, 3),
        ("mamba2", "0.32.0", False, 1),
        ("mamba2", "0.26.0", None, 1),
        ("mamba2", "0.26.0", True, 2),
        ("mamba", "0.32.0", None, 2),
        ("gated_delta_net", "0.32.0", None, 2),
        ("gated_delta_net", "0.32.0", False, 1),
    ],
)
def test_states_beside_attention_are_kept_more_than_once_for_the_prefix_cache(kind, version, prefix_caching, states):
    """A third block of Mamba-2's for the checkpoint that it writes in the middle of a prefill."""
    state = StateSpace(kind, (StateTensor(2048, None, sharded=True),))
    hybrid = model(caches=[state, FullAttention(8, 128, 128)])

    planned = plan(question(hybrid, max_model_len=1600, engine_version=version, prefix_caching=prefix_caching))

    assert planned.kv_cache.blocks_per_request == 1600 // 16 + states


def test_a_model_without_cache_fits_if_its_weights_do():
    planned = plan(question(model(caches=[NoCache()] * 4)))
    assert planned.verdict is Verdict.FITS
    assert planned.kv_cache is None
    assert planned.largest_max_model_len == 131072


def test_more_memory_than_the_gpu_has_is_no_plan():
    with pytest.raises(InvalidSettings, match=r"gpu\.memory"):
        plan(question(on=gpu(0)))


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-v2", "gemma-3-27b", "llama4-scout-text", "qwen3-next-80b"])
def test_one_plan_takes_less_than_a_millisecond(name):
    config = json.loads((Path(__file__).parents[3] / f"data/model_configs/{name}.json").read_text())
    asked = [question(describe(config), max_model_len=length) for length in range(4096, 8192, 256)]

    best = min(_seconds_a_plan(asked) for _ in range(20))

    assert best < 0.001


def _seconds_a_plan(asked) -> float:
    """Time of the processor, which other processes of a machine under load do not lengthen much."""
    start = time.process_time()
    for one in asked:
        plan(one)
    return (time.process_time() - start) / len(asked)


def test_bytes_are_whole_numbers():
    bill = plan(question()).bill
    for term in (bill.weights, bill.persistent, bill.activation, bill.cuda_graphs, bill.non_torch):
        assert isinstance(term.bytes, int)
    assert isinstance(bill.kv_cache, int)
    assert Bytes(bill.headroom) > 0
