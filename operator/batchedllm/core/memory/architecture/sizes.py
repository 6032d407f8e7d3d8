"""The sizes that every decoder has, whatever its family calls them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from batchedllm.core.memory.architecture.errors import InvalidModelConfig
from batchedllm.core.memory.architecture.reading import LARGEST_COUNT, Fields, whole

MOST_LAYERS: Final = 10_000
_HIDDEN: Final = ("hidden_size", "n_embd", "d_model")
_LAYERS: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS: Final = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_VOCABULARY: Final = ("vocab_size", "padded_vocab_size")
_INTERMEDIATE: Final = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "d_ff")
_KV_HEADS: Final = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups")
"""In vLLM's order (get_total_num_kv_heads of its model_arch_config_convertor)."""
_FALCON: Final = ("falcon", "RefinedWeb", "RefinedWebModel")
_WITHOUT_ATTENTION: Final = ("mamba", "mamba2", "falcon_mamba")
_FOUR: Final = 4
"""GPT-2 and Falcon name no feed-forward width when it is the usual multiple of the hidden size."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the whole model: no parallelism."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head: int


def read_sizes(fields: Fields) -> Sizes:
    """Read them, or raise InvalidModelConfig."""
    hidden = fields.count(*_HIDDEN)
    layers = fields.count(*_LAYERS)
    if layers > MOST_LAYERS:
        raise InvalidModelConfig("num_hidden_layers", layers, f"at most {MOST_LAYERS}")
    heads = 0 if fields.model_type in _WITHOUT_ATTENTION else fields.count(*_HEADS)
    head = _head_size(fields, hidden, heads) if heads else 0
    return Sizes(
        vocabulary=fields.count(*_VOCABULARY),
        hidden=hidden,
        intermediate=_intermediate(fields) or _FOUR * hidden,
        layers=layers,
        heads=heads,
        kv_heads=_kv_heads(fields, heads) if heads else 0,
        head=head,
    )


def _intermediate(fields: Fields) -> int | None:
    """The widest, where the config has one for each layer."""
    widths = fields.items(*_INTERMEDIATE)
    if widths is None:
        return fields.optional_count(*_INTERMEDIATE)
    counted = [width for width in map(whole, widths) if width is not None]
    for width in counted:
        if not 0 <= width <= LARGEST_COUNT:
            raise InvalidModelConfig(_INTERMEDIATE[0], width, "a positive whole number")
    return max(counted, default=0) or None


def _head_size(fields: Fields, hidden: int, heads: int) -> int:
    own = fields.optional_count("head_dim", "hidden_size_per_head", "attention_head_dim", "kv_channels")
    if own is not None:
        return own
    if hidden % heads:
        raise InvalidModelConfig("num_attention_heads", heads, f"a divisor of hidden_size ({hidden})")
    return hidden // heads


def _kv_heads(fields: Fields, heads: int) -> int:
    kv_heads = _named_kv_heads(fields, heads) or heads
    if heads % kv_heads:
        raise InvalidModelConfig("num_key_value_heads", kv_heads, f"a divisor of num_attention_heads ({heads})")
    return kv_heads


def _named_kv_heads(fields: Fields, heads: int) -> int | None:
    if fields.model_type in _FALCON and not fields.flag("new_decoder_architecture") and fields.flag("multi_query"):
        return 1
    if fields.model_type == "nemotron-nas":
        return next(filter(None, (block_kv_heads(block, heads) for block in fields.items("block_configs") or ())), None)
    nested = Fields(fields.mapping("attn_config"))
    return fields.optional_count(*_KV_HEADS) or nested.optional_count("kv_n_heads")


def block_kv_heads(block: object, heads: int) -> int | None:
    """Key-value heads of one of the blocks of a Nemotron that a search has thinned out; None without attention."""
    attention = block.get("attention") if isinstance(block, Mapping) else None
    if not isinstance(attention, Mapping):
        raise InvalidModelConfig("block_configs", block, "a list of objects with an attention each")
    fields = Fields(attention)
    if fields.flag("no_op") or fields.flag("replace_with_linear"):
        return None
    return max(1, heads // fields.count("n_heads_in_group"))
