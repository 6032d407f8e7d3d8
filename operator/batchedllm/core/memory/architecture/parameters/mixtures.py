"""Mixtures of experts on Llama's plan: Mixtral, Qwen2-MoE, Qwen3-MoE, OLMoE."""

from collections.abc import Sequence

from batchedllm.core.memory.architecture.parameters.blocks import (
    Groups,
    attention,
    experts,
    final_norm,
    gated_feed_forward,
    replicated,
    vocabulary,
)
from batchedllm.core.memory.architecture.reading import Fields
from batchedllm.core.memory.architecture.sizes import Sizes


def mixtral(fields: Fields, sizes: Sizes) -> Groups:
    """Each layer a mixture."""
    layers = range(sizes.layers)
    count = fields.count("num_local_experts")
    return (
        *_frame(fields, sizes, norms=2 * sizes.hidden),
        *attention(sizes, layers),
        *replicated("router", count * sizes.hidden, layers),
        *experts(sizes.hidden, sizes.intermediate, count, layers),
    )


def qwen2_moe(fields: Fields, sizes: Sizes) -> Groups:
    """Besides its experts a mixture has a shared one, with a gate of its own."""
    mixed, plain = sparse_layers(fields, sizes.layers)
    shared = fields.optional_count("shared_expert_intermediate_size") or 0
    return (
        *_frame(fields, sizes, norms=2 * sizes.hidden),
        *attention(sizes, range(sizes.layers), bias=fields.value("qkv_bias") is not False),
        *_mixture(fields, sizes, mixed),
        *(gated_feed_forward(sizes.hidden, shared, mixed) if shared else ()),
        *replicated("gate of the shared expert", sizes.hidden if shared else 0, mixed),
        *gated_feed_forward(sizes.hidden, sizes.intermediate, plain),
    )


def qwen3_moe(fields: Fields, sizes: Sizes) -> Groups:
    """A norm over each head of the queries and of the keys; no shared expert."""
    mixed, plain = sparse_layers(fields, sizes.layers)
    bias = fields.flag("attention_bias")
    return (
        *_frame(fields, sizes, norms=2 * sizes.hidden + 2 * sizes.head),
        *attention(sizes, range(sizes.layers), bias=bias, output_bias=bias),
        *_mixture(fields, sizes, mixed),
        *gated_feed_forward(sizes.hidden, sizes.intermediate, plain),
    )


def olmoe(fields: Fields, sizes: Sizes) -> Groups:
    """Each layer a mixture; one norm over all queries, and one over all keys."""
    layers = range(sizes.layers)
    count = fields.count("num_experts")
    query_norms = (sizes.heads + sizes.kv_heads) * sizes.head
    return (
        *_frame(fields, sizes, norms=2 * sizes.hidden + query_norms),
        *attention(sizes, layers, bias=fields.flag("attention_bias")),
        *replicated("router", count * sizes.hidden, layers),
        *experts(sizes.hidden, sizes.intermediate, count, layers),
    )


def sparse_layers(fields: Fields, layers: int) -> tuple[Sequence[int], Sequence[int]]:
    """Layers with a mixture, and those without: every `decoder_sparse_step`-th is one unless it is excepted."""
    step = fields.optional_count("decoder_sparse_step") or 1
    dense = fields.items("mlp_only_layers") or ()
    if step == 1 and not dense:
        return range(layers), ()
    is_mixed = [(index + 1) % step == 0 and index not in dense for index in range(layers)]
    mixed = tuple(index for index in range(layers) if is_mixed[index])
    return mixed, tuple(index for index in range(layers) if not is_mixed[index])


def _mixture(fields: Fields, sizes: Sizes, layers: Sequence[int]) -> Groups:
    count = fields.count("num_experts", "num_local_experts")
    return (
        *replicated("router", count * sizes.hidden, layers),
        *experts(sizes.hidden, fields.count("moe_intermediate_size"), count, layers),
    )


def _frame(fields: Fields, sizes: Sizes, *, norms: int) -> Groups:
    return (
        *vocabulary(sizes, tied=fields.flag("tie_word_embeddings"), everywhere=True),
        *replicated("norms", norms, range(sizes.layers)),
        *final_norm(sizes.hidden, everywhere=True),
    )
