"""Plan = actual: BatchedLLMs of different shape, length, batch, share and cache type, planned before they start."""

import contextlib
import json
from statistics import median
from typing import Any

from gpu.budget import OutOfTimeError
from gpu.results import Check
from gpu.scene import Json, Scene, SceneError, resource, sample

LEAST_SECONDS = 60
MEDIAN_PERCENT, MOST_PERCENT = 1.0, 3.0
LEAST_RESOURCES = 6
_EAGER = ("--enforce-eager",)
_PLAN_SECONDS = 120
SPECS: dict[str, Json] = {
    "llama-8b-long": {
        "model": "llama-3.1-8b",
        "arguments": _EAGER,
        "memory": {"gpuUtilization": 0.5},
        "batching": {"maxModelLen": 16384, "maxNumSeqs": 256, "maxNumBatchedTokens": 8192},
    },
    "llama-8b-auto": {
        "model": "llama-3.1-8b",
        "arguments": _EAGER,
        "memory": {"gpuUtilization": 0.3},
        "batching": {"maxModelLen": "auto", "maxNumSeqs": 64, "maxNumBatchedTokens": 2048},
    },
    "deepseek-mla": {
        "model": "deepseek-v2-lite",
        "arguments": _EAGER,
        "memory": {"gpuUtilization": 0.6},
        "batching": {"maxModelLen": 8192, "maxNumSeqs": 128, "maxNumBatchedTokens": 4096},
    },
    "olmoe-mixture": {
        "model": "olmoe-1b-7b",
        "arguments": _EAGER,
        "memory": {"gpuUtilization": 0.35},
        "batching": {"maxModelLen": 4096, "maxNumSeqs": 256, "maxNumBatchedTokens": 8192},
    },
    "llama-8b-fp8": {
        "model": "llama-3.1-8b",
        "arguments": _EAGER,
        "memory": {"gpuUtilization": 0.35, "kvCacheDtype": "fp8"},
        "batching": {"maxModelLen": 32768, "maxNumSeqs": 32, "maxNumBatchedTokens": 2048},
    },
    "qwen-7b": {
        "model": "qwen2.5-7b",
        "arguments": _EAGER,
        "memory": {"gpuUtilization": 0.4},
        "batching": {"maxModelLen": 8192, "maxNumSeqs": 512, "maxNumBatchedTokens": 16384},
    },
    "llama-1b-small": {
        "model": "llama-3.2-1b",
        "arguments": _EAGER,
        "memory": {"gpuUtilization": 0.15},
        "batching": {"maxModelLen": 65536, "maxNumSeqs": 1024, "maxNumBatchedTokens": 4096},
    },
}
"""Without CUDA graphs, which are a rule of their own (tests/data/memory_truth.json) and cost a minute a start."""


def run(scene: Scene, measured: Json) -> None:
    """Start each alone, and the one that was farthest off again; keep what the operator learned."""
    compare(scene, measured, SPECS)
    again = _farthest(measured["starts"])
    if again and scene.budget.left_seconds > LEAST_SECONDS:
        learned = scene.wait(lambda: _plan(scene, again), f"the plan of {again}", 30)
        measured["second"] = _start(scene, again, learned)
    corrections = scene.cluster.kubectl(
        "get", "configmap", "batchedllm-corrections", "-n", "batchedllm-system", "--ignore-not-found", "-o", "json"
    )
    if corrections.strip():
        measured["corrections"] = json.loads(json.loads(corrections)["data"]["corrections.json"])["corrections"]
    end(scene, SPECS)


def compare(scene: Scene, measured: Json, specs: dict[str, Json]) -> None:
    """Plan all before any has started, so that none has learned of another; then start each alone."""
    scene.apply(*(_resource(scene, name, specs[name]) for name in specs))
    planned = {
        name: scene.wait(lambda name=name: _plan(scene, name), f"the plan of {name}", _PLAN_SECONDS) for name in specs
    }
    starts: list[Json] = []
    measured |= {"starts": starts, "plans": {name: _short(one) for name, one in planned.items()}}
    for name in specs:
        starts.append(_start(scene, name, planned[name]))
        if scene.budget.left_seconds < LEAST_SECONDS:
            break


def end(scene: Scene, specs: dict[str, Json]) -> None:
    """Delete them all, as far as the time goes."""
    with contextlib.suppress(SceneError, OutOfTimeError):
        for name in specs:
            scene.stop(name)


def _resource(scene: Scene, name: str, settings: Json) -> Json:
    spec = dict(settings)
    model = spec.pop("model")
    described = None if scene.inspects else f"model-{model}"
    return resource(name, model, replicas=0, described_by=described, **spec)


def _plan(scene: Scene, name: str) -> Json | None:
    """Return the plan, once it is one."""
    plan = scene.status(name).get("plan") or {}
    return plan if plan.get("kvCache") else None


def _short(plan: Json) -> Json:
    kept = (
        "verdict",
        "confidence",
        "modelSource",
        "engineVersion",
        "bytes",
        "kvCache",
        "maxModelLen",
        "notes",
        "chosen",
    )
    return {name: plan[name] for name in kept if name in plan}


def _start(scene: Scene, name: str, plan: Json) -> Json:
    """Start one, hold what it reports against its plan, and let it go. What fails is told and is no end of the case."""
    found: Json = {"name": name, "plannedTokens": plan["kvCache"]["tokens"], "notes": plan.get("notes", [])}
    scene.scale(name, 1)
    try:
        (pod,) = scene.wait_ready(name)[:1]
        status = scene.wait(lambda: _told(scene, name), f"status.actual of {name}", 30)
        text = scene.metrics(pod)
        found |= {
            "actualTokens": status["actual"]["kvCacheTokens"],
            "tokensOfMetrics": tokens_of(text),
            "driftPercent": status["actual"].get("driftPercent"),
            "actualBytes": status["actual"].get("bytes"),
            "planCorrected": (status.get("plan") or {}).get("kvCache", {}).get("tokens"),
            "memoryPlanned": scene.condition(name, "MemoryPlanned").get("reason"),
            "length": sample(text, "vllm:max_model_len"),
        }
    except SceneError as error:
        found["error"] = str(error)[-1500:]
        scene.keep_logs(f"plan-actual-{name}")
    with contextlib.suppress(SceneError, OutOfTimeError):
        scene.rest(name)
    return found


def _told(scene: Scene, name: str) -> Json | None:
    status = scene.status(name)
    return status if (status.get("actual") or {}).get("kvCacheTokens") else None


def tokens_of(text: str) -> int | None:
    """Return the tokens of the KV cache as the engine's own cache configuration has them: blocks times their size."""
    for line in text.splitlines():
        if line.startswith("vllm:cache_config_info{"):
            labels = dict(
                part.split("=", 1) for part in line[line.index("{") + 1 : line.rindex("}")].split('",') if "=" in part
            )
            values = {name: value.strip('"') for name, value in labels.items()}
            blocks, size = values.get("num_gpu_blocks", ""), values.get("block_size", "")
            if blocks.isdecimal() and size.isdecimal():
                return int(blocks) * int(size)
    return None


def _farthest(starts: list[Json]) -> str | None:
    known = [one for one in starts if error_percent(one) is not None]
    return max(known, key=lambda one: abs(error_percent(one) or 0))["name"] if known else None


def error_percent(start: Json) -> float | None:
    """Return by how many percent of the actual tokens the plan was off; positive: it promised too many."""
    planned, actual = start.get("plannedTokens"), start.get("actualTokens")
    return 100 * (planned - actual) / actual if planned and actual else None


def judge(measured: Json) -> list[Check]:
    """Hold the errors against their bounds, and the second start against the first."""
    errors = {one["name"]: error_percent(one) for one in measured["starts"]}
    return [*judge_errors(errors, LEAST_RESOURCES), *_second(measured, errors)]


def judge_errors(errors: dict[str, float | None], least: int) -> list[Check]:
    """Hold errors in percent, of at least so many resources, against their bounds. None: it did not start."""
    known = {name: abs(one) for name, one in errors.items() if one is not None}
    broken = sorted(name for name, one in errors.items() if one is None)
    checks = [
        Check("resources started and compared", len(known), f"at least {least}", len(known) >= least),
        Check("resources that did not start", broken, "none", not broken),
    ]
    if not known:
        return checks
    middle, most = median(known.values()), max(known.values())
    return [
        *checks,
        Check("median error of KV tokens, %", middle, f"at most {MEDIAN_PERCENT}", middle <= MEDIAN_PERCENT),
        Check("largest error of KV tokens, %", most, f"at most {MOST_PERCENT}", most <= MOST_PERCENT),
    ]


def _second(measured: Json, errors: dict[str, float | None]) -> list[Check]:
    again: Any = measured.get("second")
    if not again:
        return [Check("second start", None, "made", holds=False)]
    before, after = errors.get(again["name"]), error_percent(again)
    shrunk = before is not None and after is not None and abs(after) <= abs(before)
    return [
        Check(
            f"error of {again['name']} at its second start, %", [before, after], "no larger than at the first", shrunk
        )
    ]
