"""What holds for every memory plan, whatever is asked."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from batchedllm.core.memory.errors import InvalidSettings
from batchedllm.core.memory.fixes import (
    GPUS,
    HIGHEST_UTILIZATION,
    KV_DTYPE,
    LENGTH,
    QUANTIZATION,
    SEQS,
    TOKENS,
    UTILIZATION,
    changed,
    fixes,
)
from batchedllm.core.memory.goals import GOALS, choose
from batchedllm.core.memory.model import (
    ChunkedAttention,
    Experts,
    FullAttention,
    LatentAttention,
    ModelDescription,
    NoCache,
    SlidingAttention,
    StateSpace,
    StateTensor,
    WeightFacts,
)
from batchedllm.core.memory.plan import plan
from batchedllm.core.memory.plan_types import Correction, Gpu, Plan, Question, Settings, Verdict
from batchedllm.core.memory.units import GIB, Bytes
from memory_models import parameter_groups
from memory_models import question as an_8b

KNOWN_PRODUCTS = st.sampled_from([None, "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB", "NVIDIA-L4", "NVIDIA-B200"])


@st.composite
def layers(draw, kv_heads: int):
    size = draw(st.sampled_from([64, 96, 128, 256]))
    full = FullAttention(kv_heads, size, size)
    window = SlidingAttention(kv_heads, size, size, draw(st.integers(1, 8192)))
    chunk = ChunkedAttention(kv_heads, size, size, draw(st.integers(1, 16384)))
    state = StateSpace(
        "mamba2", (StateTensor(draw(st.integers(1, 10**7)), 4, sharded=True), StateTensor(64, 2, sharded=False))
    )
    kinds = draw(
        st.sampled_from(
            [
                (full,),
                (window,),
                (full, window),
                (full, chunk),
                (LatentAttention(576),),
                (state,),
                (full, state),
                (full, NoCache()),
            ]
        )
    )
    return (list(kinds) * draw(st.integers(1, 60)))[: draw(st.integers(1, 80))]


@st.composite
def models(draw) -> ModelDescription:
    kv_heads = draw(st.sampled_from([1, 2, 4, 8, 32]))
    caches = draw(layers(kv_heads))
    hidden = 128 * kv_heads * draw(st.integers(1, 8))
    inner = draw(st.integers(64, 30_000))
    vocabulary = draw(st.integers(1000, 300_000))
    experts = draw(st.none() | st.builds(Experts, st.integers(2, 256), st.integers(1, 8), st.integers(64, 15_000)))
    known = draw(st.booleans())
    return ModelDescription(
        model_type=draw(st.sampled_from(["llama", "qwen3", "gemma2", "opt", "mamba2", "something"])),
        dtype=draw(st.sampled_from(["bfloat16", "float16", "float32"])),
        vocabulary_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        attention_heads=hidden // 128,
        kv_heads=kv_heads,
        head_size=128,
        layers=tuple(caches),
        parameters=parameter_groups(len(caches), hidden, inner, kv_heads, vocabulary) if known else (),
        longest_length=draw(st.integers(1, 2_000_000)),
        experts=experts,
        unknown=draw(st.sampled_from([(), (), (), ("something odd",)])),
    )


@st.composite
def questions(draw, **fixed) -> Question:
    wanted = {
        "utilization": draw(st.none() | st.floats(0.01, 1.0)),
        "max_model_len": draw(st.none() | st.just("auto") | st.integers(1, 300_000)),
        "max_num_seqs": draw(st.none() | st.integers(1, 2048)),
        "max_num_batched_tokens": draw(st.none() | st.integers(1, 65_536)),
        "kv_cache_dtype": draw(st.sampled_from(["auto", "auto", "fp8", "nvfp4", "int8_per_token_head"])),
        "tensor_parallel": draw(st.sampled_from([1, 1, 1, 2, 4, 8])),
        "pipeline_parallel": draw(st.sampled_from([1, 1, 1, 2, 3])),
        "enforce_eager": draw(st.booleans()),
        "engine_version": draw(st.sampled_from([None, "0.26.0", "0.32.0", "0.99"])),
        **fixed,
    }
    weights = WeightFacts(parameters=draw(st.none() | st.integers(10**6, 10**12)))
    gpu = Gpu(Bytes(draw(st.integers(1, 300 * GIB))), draw(KNOWN_PRODUCTS))
    correction = draw(
        st.none() | st.builds(Correction, st.integers(-GIB, GIB), st.integers(-GIB, GIB), starts=st.just(3))
    )
    return Question(draw(models()), weights, gpu, Settings(**wanted), correction)


def planned(question: Question) -> Plan:
    """Plan, or skip what the engine would refuse."""
    try:
        return plan(question)
    except InvalidSettings:
        assume(condition=False)
        raise


def tokens(one: Plan) -> int:
    return one.kv_cache.tokens if one.kv_cache is not None else 0


def any_settings(chance: Random) -> Settings:
    """What may be set, from the least to more than anything holds, and half of it left to the engine."""

    def maybe(*values):
        return chance.choice(values) if chance.random() < 0.5 else None

    return Settings(
        utilization=maybe(0.01, 0.9, 1.0, chance.uniform(0.01, 1.0)),
        max_model_len=maybe("auto", 1, chance.randint(1, 300_000)),
        max_num_seqs=maybe(1, chance.randint(1, 2048)),
        max_num_batched_tokens=maybe(1, chance.randint(1, 65_536)),
        kv_cache_dtype=chance.choice(("auto", "auto", "fp8", "nvfp4", "int8_per_token_head")),
        tensor_parallel=chance.choice((1, 1, 2, 8)),
        pipeline_parallel=chance.choice((1, 1, 2, 3)),
        enforce_eager=chance.random() < 0.5,
        engine_version=chance.choice((None, "0.26.0", "0.32.0", "0.99")),
    )


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions(), st.integers(0, 2**32))
def test_ten_thousand_questions_are_answered_or_refused(question, seed):
    """Ten settings for each of a thousand models: to make one up takes longer than all that is asked of it."""
    chance = Random(seed)
    settings = (question.settings, *(any_settings(chance) for _ in range(9)))
    for asked in settings:
        answered_or_refused(replace(question, settings=asked))


def test_many_of_such_questions_are_answered_and_some_of_them_fit():
    """A plan that refused everything would pass the test above."""
    chance = Random(7)
    answers = [answered_or_refused(replace(an_8b(), settings=any_settings(chance))) for _ in range(300)]

    assert sum(one is not None for one in answers) >= 200
    assert sum(one is not None and one.verdict is Verdict.FITS for one in answers) >= 100


def answered_or_refused(question: Question) -> Plan | None:
    try:
        one = plan(question)
    except InvalidSettings:
        return None
    assert one.why
    assert one.bill.requested <= question.gpu.memory + 1
    if one.kv_cache is not None:
        assert one.kv_cache.tokens >= 0
        assert one.kv_cache.blocks_per_request >= 1
    if one.verdict is Verdict.FITS:
        assert one.bill.kv_cache > 0
        assert one.largest_max_model_len >= one.settings.max_model_len
    return one


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions())
def test_a_refusal_names_the_field_and_the_next_step(question):
    too_long = replace(question.settings, max_model_len=question.model.longest_length + 1)
    with pytest.raises(InvalidSettings) as caught:
        plan(replace(question, settings=too_long))
    assert caught.value.field
    assert caught.value.next_step


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
# Set, because the engine's defaults grow with the GPU, and with them what a step takes.
@given(questions(max_model_len=4096, max_num_seqs=64, max_num_batched_tokens=2048), st.integers(0, 64 * GIB))
def test_more_memory_never_lowers_the_cache(question, more):
    larger = replace(question, gpu=replace(question.gpu, memory=Bytes(question.gpu.memory + more)))
    assert tokens(planned(larger)) >= tokens(planned(question))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions(max_num_seqs=64, max_num_batched_tokens=2048), st.integers(1, 100_000), st.integers(0, 100_000))
def test_a_longer_length_never_raises_the_concurrency(question, length, more):
    short = replace(question, settings=replace(question.settings, max_model_len=length))
    long = replace(question, settings=replace(question.settings, max_model_len=length + more))
    one, other = planned(short).kv_cache, planned(long).kv_cache
    if one is not None and other is not None:
        assert other.concurrency <= one.concurrency


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions())
def test_each_fix_fits_is_the_smallest_of_its_kind_and_is_stable(question):
    one = planned(question)
    found = fixes(question, one)
    assert len(found) <= 3
    assert not found or one.verdict is Verdict.DOES_NOT_FIT
    for fix in found:
        again = changed(question, fix)
        after = plan(again)
        assert after.verdict is Verdict.FITS
        assert fixes(again, after) == ()
        for smaller in _smaller(fix, one):
            assert not _fits(changed(question, replace(fix, becomes=smaller)))


RISKIER = (HIGHEST_UTILIZATION + 1) / 100
"""A higher utilization is never proposed, even where it would fit."""


def _smaller(fix, one: Plan) -> list[str]:
    """Return values between what was and what is proposed, next to the proposal."""
    if fix.setting == UTILIZATION:
        upwards = float(fix.becomes) > one.settings.utilization
        step = round(float(fix.becomes) + (-0.01 if upwards else 0.01), 2)
        between = step > one.settings.utilization if upwards else step < min(one.settings.utilization, RISKIER)
        return [f"{step:.2f}"] if between else []
    if fix.setting in {LENGTH, TOKENS, SEQS}:
        return [str(int(fix.becomes) + 1)] if int(fix.becomes) + 1 < int(fix.was) else []
    if fix.setting == GPUS:
        half = int(fix.becomes) // 2
        return [str(half)] if half > int(fix.was) else []
    assert fix.setting in {KV_DTYPE, QUANTIZATION}
    return []


def _fits(question: Question) -> bool:
    try:
        return plan(question).verdict is Verdict.FITS
    except InvalidSettings:
        return False


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions())
def test_the_longest_that_fits_fits_and_is_stable(question):
    one = planned(question)
    if one.verdict is not Verdict.FITS:
        return
    longest = replace(question, settings=replace(question.settings, max_model_len=one.settings.max_model_len))
    again = plan(longest)
    assert again.verdict is Verdict.FITS
    assert again.kv_cache == one.kv_cache


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions(), st.sampled_from(sorted(GOALS)))
def test_a_goal_is_stable_and_keeps_what_was_set(question, goal):
    try:
        choice = choose(goal, question)
    except InvalidSettings:
        assume(condition=False)
        raise
    for name in ("max_num_seqs", "max_num_batched_tokens", "utilization"):
        asked = getattr(question.settings, name)
        assert asked is None or getattr(choice.settings, name) == asked
    assert plan(replace(question, settings=choice.settings)) == choice.plan
    if choice.plan.verdict is Verdict.FITS:
        again = choose(goal, replace(question, settings=choice.settings))
        assert again.plan.verdict is Verdict.FITS
