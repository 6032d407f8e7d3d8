"""From the options of `batchedllm plan` to the question that they put to the memory plan."""

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from batchedllm.cli.documents import DocumentError
from batchedllm.cli.plan_arguments import FLAGS, option_of
from batchedllm.cli.plan_files import described, json_object, total_size
from batchedllm.core.memory.architecture.quantization import ONLINE
from batchedllm.core.memory.errors import InvalidSettings
from batchedllm.core.memory.fixes import fixes
from batchedllm.core.memory.gpu_products import PRODUCTS, memory_of
from batchedllm.core.memory.model import ModelDescription, WeightFacts
from batchedllm.core.memory.plan import plan
from batchedllm.core.memory.plan_types import Fix, Gpu, Plan, Question, Settings
from batchedllm.core.memory.units import Bytes

_SETTINGS: Final = {
    "gpu_utilization": "utilization",
    "max_model_len": "max_model_len",
    "max_num_seqs": "max_num_seqs",
    "max_num_batched_tokens": "max_num_batched_tokens",
    "tensor_parallel": "tensor_parallel",
    "pipeline_parallel": "pipeline_parallel",
    "kv_cache_dtype": "kv_cache_dtype",
    "dtype": "dtype",
    "quantization": "quantization",
    "engine_version": "engine_version",
}
"""The setting of each option."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is planned, and how its settings are called where they were given."""

    name: str
    question: Question
    fields: frozenset[str] = frozenset()
    """Paths of the resource's fields that no flag overrides: they are told by these names."""

    def spoken(self, text: str) -> str:
        """Return the text with the names of settings as the user knows them."""
        for path, flag in FLAGS.items():
            text = _name_of(path).sub(f"spec.{path}" if path in self.fields else flag, text)
        return text


@dataclass(frozen=True, slots=True)
class Base:
    """What is planned but for the flags."""

    name: str = ""
    model_id: str | None = None
    """Where the model is to be looked up in the catalogue."""
    described: tuple[ModelDescription, WeightFacts] | None = None
    """The model as the file itself describes it."""
    no_model: str = "no model is given, expected --model-config FILE, --model ID or -f FILE"
    """What to say where no model is known."""
    gpu: Gpu | None = None
    no_gpu: str = "no GPU is given, expected --gpu-memory SIZE or --gpu PRODUCT"
    settings: Callable[[ModelDescription], Settings] = lambda _model: Settings()
    fields: frozenset[str] = frozenset()


@cache
def _name_of(path: str) -> re.Pattern[str]:
    """Return what finds a field by its path, or by its last part where that is no word of the language."""
    parent, _, leaf = path.rpartition(".")
    start = rf"(?:{re.escape(parent)}\.)" + ("" if leaf.islower() else "?")
    return re.compile(rf"(?<![\w.-]){start}{leaf}(?!\w)" if parent else rf"\b{leaf}\b")


def case_of(options: argparse.Namespace) -> Case:
    """Return what the options ask. Raises DocumentError where they are at fault."""
    base = _base(options)
    name, model, weights = _model(options, base)
    question = Question(model, _weights(options) or weights, _gpu(options, base), _settings(options, base, model))
    overridden = {path for path, flag in FLAGS.items() if getattr(options, option_of(flag)) is not None}
    return Case(name, question, base.fields - overridden)


def answered(case: Case, question: Question | None = None) -> tuple[Plan, tuple[Fix, ...]]:
    """Plan the case, or another question about it. Raises DocumentError for settings that the engine would refuse."""
    asked = question or case.question
    try:
        found = plan(asked)
        return found, fixes(asked, found)
    except InvalidSettings as error:
        raise DocumentError(case.spoken(str(error))) from error


def _base(options: argparse.Namespace) -> Base:
    if options.filename is not None:
        base: Base = import_module("batchedllm.cli.plan_manifest").base_of(options.filename, options.name)
        return base
    if options.name is not None:
        raise DocumentError("--name chooses among the BatchedLLMs of a file, expected -f FILE with it")
    return Base()


def _model(options: argparse.Namespace, base: Base) -> tuple[str, ModelDescription, WeightFacts]:
    if options.model_config is not None:
        name = base.name or Path(options.model_config).stem
        return name, described(options.model_config, "--model-config"), WeightFacts()
    if options.model is None and base.described is not None:
        return base.name, *base.described
    model_id = options.model or base.model_id
    if model_id is None:
        raise DocumentError(base.no_model)
    entry = _catalogue_entry(model_id, "--model" if options.model else "spec.model.id")
    weights = WeightFacts(checkpoint_bytes=entry.get("weightsBytes"))
    return base.name or model_id, described(entry["config"], model_id), weights


def _catalogue_entry(model_id: str, field: str) -> Mapping[str, Any]:
    from batchedllm.catalogue import models  # noqa: PLC0415 - a config.json makes it needless

    known = models()
    if model_id in known:
        return known[model_id]
    by_key = {one.lower(): one for one in known}
    near = [by_key[key] for key in get_close_matches(model_id.lower(), by_key, n=3, cutoff=0.5)]
    raise DocumentError(
        f"{field} is {model_id}, which is not in the built-in catalogue, expected one that is, such as "
        f"{', '.join(near or sorted(known)[:3])}; or give the model's config.json with --model-config"
    )


def _weights(options: argparse.Namespace) -> WeightFacts | None:
    if options.safetensors_index is not None:
        index = json_object(options.safetensors_index, "--safetensors-index")
        return WeightFacts(checkpoint_bytes=total_size(index, f"--safetensors-index {options.safetensors_index}"))
    if options.weights_bytes is not None:
        return WeightFacts(checkpoint_bytes=Bytes(options.weights_bytes))
    return None if options.model_params is None else WeightFacts(parameters=options.model_params)


def _gpu(options: argparse.Namespace, base: Base) -> Gpu:
    if options.gpu_memory is not None:
        return Gpu(Bytes(options.gpu_memory), base.gpu.product if base.gpu else None)
    if options.gpu is not None:
        return _product_gpu(options.gpu)
    if base.gpu is None:
        raise DocumentError(base.no_gpu)
    return base.gpu


def _product_gpu(product: str) -> Gpu:
    memory = memory_of(product)
    if memory is not None:
        return Gpu(memory, product)
    names = {name.lower(): one.name for one in PRODUCTS for name in (one.name, *one.aliases)}
    near = dict.fromkeys(names[name] for name in get_close_matches(product.lower(), names, n=3, cutoff=0.5))
    hint = " or ".join(near or [PRODUCTS[0].name, PRODUCTS[1].name])
    raise DocumentError(f"--gpu is {product}, expected a known product such as {hint}; or give --gpu-memory")


def _settings(options: argparse.Namespace, base: Base, model: ModelDescription) -> Settings:
    given = {setting: getattr(options, option) for option, setting in _SETTINGS.items()}
    changes: dict[str, Any] = {setting: value for setting, value in given.items() if value is not None}
    settings = replace(base.settings(model), **changes)
    if options.enforce_eager:
        settings = replace(settings, enforce_eager=True)
    method = settings.quantization
    if method is not None and model.quantization is None and method not in ONLINE:
        where = "--quantization" if options.quantization else "spec.model.quantization"
        raise DocumentError(
            f"{where} is {method}, expected one that the engine applies to a checkpoint without any: "
            f"{', '.join(sorted(ONLINE))}"
        )
    return settings
