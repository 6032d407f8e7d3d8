"""Llama and the dense families that follow its plan: Mistral, Phi-3, Granite, Qwen2, Qwen3, GLM-4."""

from batchedllm.core.memory.architecture.parameters.blocks import (
    Groups,
    attention,
    final_norm,
    gated_feed_forward,
    replicated,
    vocabulary,
)
from batchedllm.core.memory.architecture.reading import Fields
from batchedllm.core.memory.architecture.sizes import Sizes


def llama(fields: Fields, sizes: Sizes) -> Groups:
    """Two norms a layer; biases where the config asks for them."""
    bias = fields.flag("attention_bias")
    return dense(fields, sizes, bias=bias, output_bias=bias)


def qwen2(fields: Fields, sizes: Sizes) -> Groups:
    """Queries, keys and values have a bias, whatever the config says; the output has none."""
    return dense(fields, sizes, bias=True)


def qwen3(fields: Fields, sizes: Sizes) -> Groups:
    """A norm over each head of the queries and of the keys."""
    bias = fields.flag("attention_bias")
    return dense(fields, sizes, bias=bias, output_bias=bias, head_norms=2 * sizes.head)


def glm4(fields: Fields, sizes: Sizes) -> Groups:
    """Norms behind the attention and the feed-forward layer too; the output has no bias, whatever the config says."""
    return dense(fields, sizes, bias=fields.flag("attention_bias"), norms=4)


def dense(
    fields: Fields,
    sizes: Sizes,
    *,
    bias: bool = False,
    output_bias: bool = False,
    head_norms: int = 0,
    norms: int = 2,
    everywhere: bool = False,
) -> Groups:
    """Attention and a gated feed-forward layer, `norms` norms of the hidden size a layer and one at the end."""
    layers = range(sizes.layers)
    return (
        *vocabulary(sizes, tied=fields.flag("tie_word_embeddings"), everywhere=everywhere),
        *attention(sizes, layers, bias=bias, output_bias=output_bias),
        *gated_feed_forward(sizes.hidden, sizes.intermediate, layers, bias=fields.flag("mlp_bias")),
        *replicated("norms", norms * sizes.hidden + head_norms, layers),
        *final_norm(sizes.hidden, everywhere=everywhere),
    )
