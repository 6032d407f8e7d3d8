"""Folders of models without weights: a config.json of a public model's shape, and a made-up tokenizer as large."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
_CONFIGS = ROOT / "tests/data/model_configs"
_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "olmoe": "OlmoeForCausalLM",
}
_YARN = {"beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707}
_ADDED: dict[str, dict[str, Any]] = {
    "deepseek-v2-lite": {
        "n_group": 1,
        "topk_group": 1,
        "norm_topk_prob": False,
        "routed_scaling_factor": 1.0,
        "scoring_func": "softmax",
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
    },
    "olmoe-1b-7b": {"hidden_act": "silu", "norm_topk_prob": False, "rms_norm_eps": 1e-5},
}
"""What the engine needs and no plan reads, as the models' own configs have it."""
SHAPES = ("llama-3.1-8b", "llama-3.2-1b", "qwen2.5-7b", "qwen3-0.6b", "deepseek-v2-lite", "olmoe-1b-7b")


def config(name: str) -> dict[str, Any]:
    """Return config.json of a shape, complete enough for an engine to start with made-up weights."""
    document: dict[str, Any] = json.loads((_CONFIGS / f"{name}.json").read_text())
    document |= {"architectures": [_ARCHITECTURES[document["model_type"]]], **_ADDED.get(name, {})}
    if document.get("rope_scaling", None) and document["rope_scaling"].get("type") == "yarn":
        document["rope_scaling"] = {**document["rope_scaling"], **_YARN}
    return {"bos_token_id": 1, "eos_token_id": 2, **document}


def _tiny_model() -> ModuleType:
    specification = importlib.util.spec_from_file_location("tiny_model", ROOT / "engine_image/tiny_model.py")
    if specification is None or specification.loader is None:
        raise ImportError(f"{ROOT}/engine_image/tiny_model.py cannot be loaded")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def write(folder: Path) -> None:
    """Write every shape's folder below `folder`, readable for the pods' user."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    tiny = _tiny_model()
    tiny.write(folder / "tiny")
    vocabulary, merges = tiny.vocabulary_and_merges()
    for name in SHAPES:
        target = folder / name
        target.mkdir(exist_ok=True)
        document = config(name)
        words = tiny.filled(vocabulary, document["vocab_size"])
        (target / "tokenizer.json").write_text(json.dumps(tiny.tokenizer(words, merges)))
        settings = json.loads((folder / "tiny/tokenizer_config.json").read_text())
        settings["model_max_length"] = document["max_position_embeddings"]
        (target / "tokenizer_config.json").write_text(json.dumps(settings))
        (target / "config.json").write_text(json.dumps(document, indent=1))
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
