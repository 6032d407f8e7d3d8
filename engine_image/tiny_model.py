"""Write a tiny Llama without weights, for tests of a real vLLM on the CPU: `python tiny_model.py FOLDER`.

The folder holds what `vllm serve FOLDER --load-format dummy` needs and nothing else: config.json, a byte-level
BPE tokenizer and a chat template. Weights are random at every start, so answers are word salad; batching, metrics,
priorities, preemption and draining are vLLM's own. One token of KV cache takes 1,024 bytes (2 layers x key and value
x 2 heads x 64 x 2 bytes), so `--kv-cache-memory-bytes 64M` holds 65,536 tokens.
"""

import json
import sys
from pathlib import Path

WORDS = (
    "about after again all also always and answer any are ask back batch because been before begin better between "
    "both but call can change close come could count day did different does down each early engine even every example "
    "far few find first follow for from full gave get give good great group had hand has have help here high hold "
    "home hour how house idea important into its just keep kind know large last late learn leave left less let life "
    "light like line list little long look low made make many mean might model more most move much must name near "
    "need never new next night now number of off often old once one only open order other our out over own page part "
    "people place plan point queue quick quite rather read ready real request right run said same saw say see seem "
    "serve set shall she short should show side since slow small some soon sound stand start state step still stop "
    "story such sure take tell than that the their them then there these they thing think this those time to token "
    "told took toward true try turn two under until up upon use value very wait walk want warm was water way well went "
    "were what when where which while white who whole why will with word work world would write year you young your"
)
SPECIAL_TOKENS = ("<|begin|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>")
CHAT_TEMPLATE = (
    "{{ '<|begin|>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
EMBEDDING_ROWS_STEP = 64  # vLLM pads the vocabulary to a multiple of this


def byte_alphabet() -> list[str]:
    """Return the printable character that stands for each byte in byte-level BPE, in the order of the bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def vocabulary_and_merges() -> tuple[dict[str, int], list[list[str]]]:
    """Return the bytes and every beginning of ` word`, and the merges that build each from its left."""
    alphabet = byte_alphabet()
    tokens = list(alphabet)
    known = set(tokens)
    merges = []
    for word in WORDS.split():
        left = alphabet[ord(" ")]
        for letter in word:
            if left + letter not in known:
                known.add(left + letter)
                tokens.append(left + letter)
                merges.append([left, letter])
            left += letter
    return {token: index for index, token in enumerate([*tokens, *SPECIAL_TOKENS])}, merges


def filled(vocabulary: dict[str, int], size: int) -> dict[str, int]:
    """Return the vocabulary with made-up words up to so many, for a model that is larger than this one.

    Random weights answer with any of a model's tokens. One that its tokenizer does not know is no text, and as long as
    an answer has no text vLLM decodes it anew at each token, prompt and all (v1/engine/detokenizer.py).
    """
    space = byte_alphabet()[ord(" ")]
    return vocabulary | {f"{space}w{token}": token for token in range(len(vocabulary), size)}


def tokenizer(vocabulary: dict[str, int], merges: list[list[str]]) -> dict[str, object]:
    """Return tokenizer.json."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[token], "content": token, **special} for token in SPECIAL_TOKENS],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }


def config(vocabulary: dict[str, int]) -> dict[str, object]:
    """Return config.json. The head size is one of those that vLLM's CPU attention takes."""
    rows = -(-len(vocabulary) // EMBEDDING_ROWS_STEP) * EMBEDDING_ROWS_STEP
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": rows,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": 4096,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": vocabulary["<|begin|>"],
        "eos_token_id": vocabulary["<|end|>"],
    }


def write(folder: Path) -> None:
    """Write the model's files into the folder, which is made."""
    vocabulary, merges = vocabulary_and_merges()
    files: dict[str, object] = {
        "config.json": config(vocabulary),
        "tokenizer.json": tokenizer(vocabulary, merges),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|begin|>",
            "eos_token": "<|end|>",
            "model_max_length": 4096,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
