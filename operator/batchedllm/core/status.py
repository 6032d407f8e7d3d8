"""The status of a BatchedLLM, and whether it is worth writing.

Load figures move all the time; a status that differs in nothing else is written at most every few seconds.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from batchedllm.api import names
from batchedllm.core.advice import Advice
from batchedllm.core.conditions import Situation, dated, timestamp, verdicts
from batchedllm.core.container_state import time_of
from batchedllm.core.decision_log import ADVISED_MODES, with_news
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.manifests.service import endpoint
from batchedllm.core.readings import FleetLoad
from batchedllm.core.reconcile_types import Manifest
from batchedllm.core.wake import woken_by

LOAD_WRITE_SECONDS: Final = 5
"""Shortest time between two writes of a status in which only the load differs."""

MAX_FAILURES: Final = 10


def build_status(situation: Situation, resource: Manifest, image: str, now: datetime) -> dict[str, Any]:
    """Return the whole status, as it is to be applied."""
    owner, observed, mode = owner_of(resource), situation.observed, situation.spec.scaling.mode
    previous = resource.get("status") or {}
    generation = resource["metadata"]["generation"]
    found: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": dated(verdicts(situation), previous, generation, now),
        "replicas": len(observed.replicas),
        "readyReplicas": sum(one.is_ready for one in observed.replicas),
        "wantedReplicas": situation.wanted,
        "wokenBy": woken_by(resource),
        "selector": ",".join(f"{label}={value}" for label, value in names.selector(owner.name).items()),
        "image": image,
        "endpoint": endpoint(owner),
        "recommendations": recommended(situation.advice, previous, now),
        "decisions": with_news(situation.decision, mode, previous, now),
        "failures": [
            {"pod": one.pod, "reason": str(one.reason), "message": one.message}
            for one in observed.failures[:MAX_FAILURES]
        ],
    }
    if mode in ADVISED_MODES:
        found["recommendedReplicas"] = situation.decision.to_replicas
    if situation.load is not None and situation.load.reporting_replicas > 0:
        found["load"] = rounded(situation.load)
    return {field: value for field, value in found.items() if value not in ([], "")}


def recommended(advice: Advice, previous: Mapping[str, Any], now: datetime) -> list[dict[str, str]]:
    """Return the recommendations; one that was there before keeps the time since when it is."""
    since = {one["kind"]: one["since"] for one in previous.get("recommendations") or ()}
    return [
        {"kind": kind, "message": message, "since": since.get(kind, timestamp(now))}
        for kind, message in advice.recommendations.items()
    ]


def rounded(load: FleetLoad) -> dict[str, int | str]:
    """Return the load in whole numbers, and who told of the GPUs; what is unknown is left out."""
    fraction = load.kv_cache_usage_fraction_mean
    values = {
        "reportingReplicas": load.reporting_replicas,
        "queueDepth": load.queue_depth_total,
        "running": load.running_total,
        "gpuUtilization": load.gpu_utilization_percent_mean,
        "kvCacheUsage": None if fraction is None else fraction * 100,
        "tokensPerSecond": load.tokens_per_second_total,
    }
    numbers = {field: round(value) for field, value in values.items() if value is not None}
    return {**numbers, "gpuMetricsSource": load.gpu_metrics_source}


def write_after_seconds(wanted: Mapping[str, Any], resource: Manifest, now: datetime) -> float | None:
    """When `wanted` is to be written: 0 now, later for mere load, None if the resource says it already."""
    there = resource.get("status") or {}
    if wanted == there:
        return None
    if _without_load(wanted) != _without_load(there):
        return 0
    written = _written_at(resource)
    if written is None:
        return 0
    return min(LOAD_WRITE_SECONDS, max(0.0, LOAD_WRITE_SECONDS - (now - written).total_seconds()))


def _without_load(status: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in status.items() if field != "load"}


def _written_at(resource: Manifest) -> datetime | None:
    """When we last wrote the status: the API server keeps the time with the field manager."""
    for entry in resource["metadata"].get("managedFields") or ():
        if entry.get("manager") == names.STATUS_FIELD_MANAGER and "time" in entry:
            return time_of(entry["time"])
    return None
