"""From a config.json to a description: what is read, what is refused, and what is admitted not to be known."""

import json
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.core.memory.architecture import InvalidModelConfig, describe
from batchedllm.core.memory.architecture.families import KNOWN, NOT_REPRESENTED
from batchedllm.core.memory.model import Experts, FullAttention, WeightFacts
from batchedllm.core.memory.weights import rank_weights

CONFIGS = {
    path.stem: json.loads(path.read_text())
    for path in (Path(__file__).parents[4] / "data/model_configs").glob("*.json")
}


def test_what_a_plan_asks_of_a_model_is_read(config):
    model = describe(config("llama-3.1-8b"))

    assert model.model_type == "llama"
    assert model.dtype == "bfloat16"
    assert (model.vocabulary_size, model.hidden_size, model.intermediate_size) == (128256, 4096, 14336)
    assert (model.attention_heads, model.kv_heads, model.head_size) == (32, 8, 128)
    assert model.layers == (FullAttention(8, 128, 128),) * 32
    assert model.longest_length == 131072
    assert model.quantization is None
    assert model.experts is None
    assert model.unknown == model.uncounted == ()


@pytest.mark.parametrize(
    ("name", "experts"),
    [
        ("mixtral-8x7b", Experts(8, 2, 14336)),
        ("qwen3-30b-a3b", Experts(128, 8, 768)),
        ("deepseek-v3", Experts(256, 8, 2048)),
        ("gpt-oss-120b", Experts(128, 4, 2880)),
        ("jamba-v0.1", Experts(16, 2, 14336)),
        ("qwen2.5-7b", None),
    ],
)
def test_a_mixture_is_described_by_its_experts(config, name, experts):
    assert describe(config(name)).experts == experts


@pytest.mark.parametrize("nest", ["text_config", "llm_config", "language_config"])
def test_the_language_model_may_be_nested(config, nest):
    """LLaVA and others; the dtype may stand inside or outside."""
    inner = config("qwen2.5-7b", torch_dtype=...)

    outside = describe({"model_type": "multimodal", "torch_dtype": "float16", nest: inner})

    assert outside.model_type == "qwen2"
    assert outside.dtype == "float16"
    assert outside.hidden_size == 3584


def test_a_language_model_may_be_nested_twice(config):
    """Qwen2.5-Omni: the thinker has a text model in it."""
    omni = {"model_type": "qwen2_5_omni", "thinker_config": {"text_config": config("qwen2.5-7b"), "audio_config": {}}}

    assert describe(omni).hidden_size == 3584


def test_a_nested_config_leaves_out_what_its_family_assumes(config):
    """Gemma-3-4B names neither its heads nor its vocabulary."""
    model = describe(config("gemma-3-4b"))

    assert (model.attention_heads, model.kv_heads, model.head_size) == (8, 4, 256)
    assert model.vocabulary_size == 262208


@pytest.mark.parametrize(
    ("field", "dtype"),
    [("torch_dtype", "float16"), ("dtype", "bfloat16"), ("torch_dtype", "torch.bfloat16")],
)
def test_the_dtype_has_two_names(config, field, dtype):
    model = describe(config("llama-3.1-8b", **{"torch_dtype": ..., field: dtype}))

    assert model.dtype == dtype.removeprefix("torch.")


def test_without_a_dtype_a_checkpoint_is_taken_for_single_precision(config):
    assert describe(config("gpt2")).dtype == "float32"


@pytest.mark.parametrize("document", [None, [], "llama", 7, 1.5, True])
def test_what_is_no_object_is_no_config(document):
    with pytest.raises(InvalidModelConfig, match="the document"):
        describe(document)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": ...}, "hidden_size is missing, but a positive whole number is expected"),
        ({"hidden_size": None}, "hidden_size is missing, but a positive whole number is expected"),
        ({"hidden_size": 0}, "hidden_size is 0, but a positive whole number is expected"),
        ({"hidden_size": -4096}, "hidden_size is -4096, but a positive whole number is expected"),
        ({"hidden_size": "4096"}, "hidden_size is '4096', but a positive whole number is expected"),
        ({"hidden_size": 40.5}, r"hidden_size is 40\.5, but a positive whole number is expected"),
        ({"hidden_size": [4096]}, "hidden_size is of type list, but a positive whole number is expected"),
        ({"hidden_size": True}, "hidden_size is True, but a positive whole number is expected"),
        ({"num_hidden_layers": ...}, "num_hidden_layers is missing"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, but at most 10000 is expected"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        (
            {"num_attention_heads": 33, "head_dim": ...},
            r"num_attention_heads is 33, but a divisor of hidden_size \(4096\)",
        ),
        ({"num_key_value_heads": 7}, r"num_key_value_heads is 7, but a divisor of num_attention_heads \(32\)"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"intermediate_size": [14336, -1]}, "intermediate_size is -1, but a positive whole number is expected"),
        ({"layer_types": ["full_attention"]}, "layer_types is '1 entries', but one entry for each of the 32 layers"),
    ],
)
def test_a_refusal_names_the_field_its_value_and_what_was_expected(config, changes, message):
    with pytest.raises(InvalidModelConfig, match=message) as refusal:
        describe(config("llama-3.1-8b", **changes))

    assert "check that the file is the config.json of the model itself" in str(refusal.value)


def test_a_long_value_is_cut_short(config):
    with pytest.raises(InvalidModelConfig) as refusal:
        describe(config("llama-3.1-8b", vocab_size="9" * 1000))

    assert len(str(refusal.value)) < 250


def test_whole_numbers_may_be_written_with_a_point(config):
    assert describe(config("llama-3.1-8b", hidden_size=4096.0)).hidden_size == 4096


def test_an_unknown_family_is_described_and_said_to_be_unknown(config):
    model = describe(config("llama-3.1-8b", model_type="llama9"))

    assert len(model.layers) == 32
    assert model.parameters == ()
    assert model.unknown == ("the model type llama9 is not known: its caches are taken for those of attention",)
    assert model.uncounted == ("the parameters of the model type llama9",)


def test_a_config_without_a_model_type_is_unknown(config):
    assert "model type is missing" in describe(config("llama-3.1-8b", model_type=...)).unknown[0]


def test_a_vision_tower_that_is_not_counted_is_named(config):
    model = describe(
        {"model_type": "llava", "text_config": config("llama-2-7b"), "vision_config": {"hidden_size": 1024}}
    )

    assert model.uncounted == ("the vision tower",)
    assert model.unknown == ()


def test_gemma_3_brings_a_vision_tower_that_is_counted(config):
    assert describe(config("gemma-3-4b")).uncounted == ()


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=6,
)
_borrowed = st.sampled_from([value for config in CONFIGS.values() for value in config.values()])
_types = st.sampled_from(sorted({*KNOWN, *NOT_REPRESENTED, "gemma3", "nobody"}))
_names = st.sampled_from(sorted({field for config in CONFIGS.values() for field in config}))


@settings(max_examples=600, deadline=None)
@given(
    name=st.sampled_from(sorted(CONFIGS)),
    model_type=st.none() | _types,
    changes=st.dictionaries(_names, _values | _borrowed, max_size=6),
    gone=st.sets(_names, max_size=4),
)
def test_a_mutilated_config_is_described_or_refused_and_nothing_else(name, model_type, changes, gone):
    """Whatever happened to the file: no other exception, and no endless or negative model."""
    mutilated = {field: value for field, value in {**CONFIGS[name], **changes}.items() if field not in gone}
    mutilated["model_type"] = model_type or mutilated.get("model_type")

    try:
        model = describe(mutilated)
    except InvalidModelConfig:
        return

    terms = rank_weights(
        model, WeightFacts(), dtype=model.dtype, quantization=None, tensor_parallel=4, pipeline_parallel=3
    )
    assert len(terms) == 12
    assert all(term.bytes >= 0 <= term.error_bytes for term in terms)
    assert model.longest_length > 0


@given(document=_values)
def test_any_json_is_described_or_refused(document):
    with suppress(InvalidModelConfig):
        describe(document)


def test_a_description_and_its_weights_take_less_than_half_a_millisecond(config):
    """For 128 layers of two kinds; the best of several runs, as the machine may be busy."""
    large = config("gpt-oss-120b", num_hidden_layers=128, layer_types=["sliding_attention", "full_attention"] * 64)
    best = 1.0
    for _ in range(50):
        start = perf_counter()
        model = describe(large)
        rank_weights(model, WeightFacts(), dtype="auto", quantization=None, tensor_parallel=8, pipeline_parallel=2)
        best = min(best, perf_counter() - start)

    assert best < 0.0005
