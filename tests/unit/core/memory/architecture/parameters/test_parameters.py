"""Parameters counted from the config are those of the checkpoint, one by one."""

import pytest

from batchedllm.core.memory.architecture import describe
from batchedllm.core.memory.architecture.parameters import COUNTED

TOTALS = {
    "opt-125m": 125_239_296,
    "opt-1.3b": 1_315_758_080,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "llama-2-7b": 6_738_415_616,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.2-3b": 3_212_749_824,
    "mistral-7b-v0.1": 7_241_732_096,
    "mistral-7b-v0.3": 7_248_023_552,
    "mistral-nemo-12b": 12_247_782_400,
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 140_620_634_112,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-72b": 72_706_203_648,
    "qwen1.5-moe-a2.7b": 14_315_784_192,
    "qwen2-57b-a14b": 57_408_658_944,
    "qwen3-0.6b": 596_049_920,
    "qwen3-8b": 8_190_735_360,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-235b-a22b": 235_093_634_560,
    "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984,
    "gemma-2-27b": 27_227_128_320,
    "gemma-3-1b": 999_885_952,
    "gemma-3-4b": 4_300_079_472,
    "gemma-3-27b": 27_432_406_640,
    "phi-3-mini-4k": 3_821_079_552,
    "phi-3-mini-128k": 3_821_079_552,
    "phi-4": 14_659_507_200,
    "phi-4-mini": 3_836_021_760,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v2": 235_741_434_880,
    "deepseek-v3-bf16": 671_026_419_200,
    "gpt-oss-20b": 20_914_757_184,
    "opt-350m": 331_196_416,
    "opt-6.7b": 6_658_473_984,
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "falcon-7b": 6_921_720_704,
    "falcon-40b": 41_303_293_952,
    "falcon-rw-1b": 1_311_625_216,
    "falcon-11b": 11_102_822_400,
    "gpt-oss-120b": 116_829_156_672,
    "deepseek-v3": 671_026_419_200,
    "granite-3.1-8b": 8_170_848_256,
    "glm-4-9b-0414": 9_400_279_040,
    "olmoe-1b-7b": 6_919_161_856,
}
"""As the model cards show them; Transformers 5.19 counts the same."""


def counted(model):
    """Parameters of the checkpoint: not what the engine derives from them."""
    groups = [group for group in model.parameters if not group.derived]
    return sum(group.parameters * (1 if group.layers is None else len(group.layers)) for group in groups)


@pytest.mark.parametrize(("name", "total"), TOTALS.items())
def test_the_total_is_that_of_the_model_card(config, name, total):
    assert counted(describe(config(name))) == total


def test_every_family_that_is_counted_has_such_a_total(config):
    assert {describe(config(name)).model_type for name in TOTALS} == set(COUNTED)


def test_biases_are_counted_where_the_config_asks_for_them(config):
    """A bias for queries, keys, values and output, and for the three projections of the feed-forward layer."""
    plain = counted(describe(config("llama-3.2-1b")))

    biased = counted(describe(config("llama-3.2-1b", attention_bias=True, mlp_bias=True)))

    assert biased - plain == 16 * (2048 + 2 * 512 + 2048 + 2 * 8192 + 2048)


def test_tied_embeddings_are_counted_once(config):
    tied = counted(describe(config("llama-3.2-1b")))

    untied = counted(describe(config("llama-3.2-1b", tie_word_embeddings=False)))

    assert untied - tied == 128256 * 2048


def test_gemma_ties_its_embeddings_without_saying_so(config):
    """What equals the default of Transformers is left out of the file."""
    assert "tie_word_embeddings" not in config("gemma-2-9b")
    assert counted(describe(config("gemma-2-9b", tie_word_embeddings=True))) == TOTALS["gemma-2-9b"]


def test_a_mixture_may_have_plain_layers_between(config):
    every = counted(describe(config("qwen3-30b-a3b")))

    second = counted(describe(config("qwen3-30b-a3b", decoder_sparse_step=2, mlp_only_layers=[47])))

    mixture = 128 * 3 * 2048 * 768 + 128 * 2048
    assert every - second == 25 * (mixture - 3 * 2048 * 6144)


def test_layers_that_predict_further_tokens_are_not_loaded(config):
    """DeepSeek-V3's file has 684.5 billion parameters, its model 671."""
    assert counted(describe(config("deepseek-v3", num_nextn_predict_layers=0))) == TOTALS["deepseek-v3"]


def test_what_the_engine_may_copy_is_no_parameter(config):
    derived = [group for group in describe(config("deepseek-v2-lite")).parameters if group.derived]

    assert [group.name for group in derived] == ["absorbed keys and values"]
    assert derived[0].parameters == 512 * 16 * (128 + 128)
