"""What was measured on real GPUs, as questions to the memory plan and the answers that the engine gave."""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from batchedllm.core.memory.architecture import describe
from batchedllm.core.memory.gpu_products import memory_of
from batchedllm.core.memory.model import ModelDescription, WeightFacts
from batchedllm.core.memory.plan_types import Gpu, Question, Settings
from batchedllm.core.memory.units import Bytes, Tokens
from gpu.cases import tensor_parallel

DATA = Path(__file__).parent / "data"
PRODUCTS = {"NVIDIA H200": "NVIDIA-H200", "NVIDIA H100 80GB HBM3": "NVIDIA-H100-80GB-HBM3"}
OFFLINE_SEQS, OFFLINE_TOKENS = 1024, Tokens(16384)
"""Defaults of the engine's offline class on these cards, with which the starts were made."""
ENGINE = "0.26.0"


@dataclass(frozen=True, slots=True)
class Start:
    """A start of the engine that came to its KV cache, or said why not."""

    name: str
    question: Question
    kv_tokens: int | None
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Profile:
    """One step that the engine profiled."""

    name: str
    question: Question
    peak: int
    weights: int
    facts: dict[str, Any]


@cache
def description(file: str, model: str) -> ModelDescription:
    """Return a measured model's description."""
    return describe(_read(file)["configs"][model])


def starts() -> list[Start]:
    """Return every start whose KV cache is known."""
    found = [_start("memory_truth", case) for case in _read("memory_truth")["cases"]]
    whole = [row for row in _read("memory_profiles")["profiles"] if "kv_tokens" in row]
    return found + [_start("memory_profiles", {**row, "gpu": "NVIDIA H200"}) for row in whole]


def two_gpus() -> list[Start]:
    """Return the starts on two H200, as the GPU harness asked for them (gpu.cases.tensor_parallel) and told of them."""
    result = json.loads((DATA.parent / "gpu/results/tensor-parallel.json").read_text())
    return [
        Start(one["name"], _spread(tensor_parallel.SPECS[one["name"]]), one["actualTokens"], one)
        for one in result["measured"]["starts"]
    ]


def _spread(spec: dict[str, Any]) -> Question:
    batching = spec["batching"]
    settings = Settings(
        utilization=spec["memory"]["gpuUtilization"],
        max_model_len=batching["maxModelLen"],
        max_num_seqs=batching["maxNumSeqs"],
        max_num_batched_tokens=batching["maxNumBatchedTokens"],
        kv_cache_dtype=spec["memory"].get("kvCacheDtype", "auto"),
        tensor_parallel=spec["gpu"]["perReplica"],
        enforce_eager="--enforce-eager" in spec["arguments"],
        engine_version=ENGINE,
    )
    config = json.loads((DATA / f"model_configs/{spec['model']}.json").read_text())
    gpu = Gpu(memory_of("NVIDIA-H200") or Bytes(0), "NVIDIA-H200")
    return Question(model=describe(config), weights=WeightFacts(), gpu=gpu, settings=settings)


def profiles() -> list[Profile]:
    """Return every profiled step."""
    found = []
    for row in _read("memory_profiles")["profiles"]:
        asked = question("memory_profiles", row["model"], "NVIDIA H200", row["args"], row["parameter_bytes"])
        for tokens, seqs, peak in row["steps"]:
            settings = replace(asked.settings, max_num_batched_tokens=tokens, max_num_seqs=seqs, utilization=0.9)
            found.append(Profile(row["name"], replace(asked, settings=settings), peak, row["weights"], row))
    return found


def question(
    file: str, model: str, gpu: str, arguments: dict[str, Any], parameter_bytes: int | None = None
) -> Question:
    """Return the question that a start answers; families that cannot be counted are told their parameters' bytes."""
    product = PRODUCTS[gpu]
    settings = Settings(
        utilization=arguments["gpu_memory_utilization"],
        max_model_len=arguments.get("max_model_len"),
        max_num_seqs=arguments.get("max_num_seqs", OFFLINE_SEQS),
        max_num_batched_tokens=arguments.get("max_num_batched_tokens", OFFLINE_TOKENS),
        kv_cache_dtype=arguments.get("kv_cache_dtype", "auto"),
        quantization=arguments.get("quantization"),
        enforce_eager=arguments.get("enforce_eager", False),
        engine_version=ENGINE,
    )
    described = description(file, model)
    told = None if described.parameters or parameter_bytes is None else Bytes(parameter_bytes)
    return Question(
        model=described,
        weights=WeightFacts(checkpoint_bytes=told),
        gpu=Gpu(memory_of(product) or Bytes(0), product),
        settings=settings,
    )


def _start(file: str, case: dict[str, Any]) -> Start:
    asked = question(file, case["model"], case["gpu"], case["args"], case.get("parameter_bytes"))
    return Start(case["name"], asked, case.get("kv_tokens"), case)


@cache
def _read(name: str) -> dict[str, Any]:
    return json.loads((DATA / f"{name}.json").read_text())
