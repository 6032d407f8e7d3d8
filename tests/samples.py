"""Small objects of Kubernetes for the tests of the core: what the API server would hold, as plain JSON."""

from datetime import UTC, datetime
from typing import Any

import server_side_apply
from batchedllm.api import names
from batchedllm.core.readings import FleetLoad
from batchedllm.core.reconcile_types import Defaults, Gathered, Now

NOW = Now(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 1000.0)
DEFAULTS = Defaults(engine_image="batchedllm.dev/engine:test")
UID = "0b1c2d3e-0000-4000-8000-000000000001"


def resource(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A BatchedLLM that was seen before, so that a reconciliation goes all the way."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "llama", "namespace": "models", "uid": UID, "generation": 1, **metadata},
        "spec": {"model": {"id": "org/llama"}, **(spec or {})},
        "status": {"observedGeneration": 1, "conditions": []},
    }


def pod(name: str, *, ready: bool = True, state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """A pod of the engine; `state` is that of its container."""
    container = {"name": names.ENGINE_CONTAINER, "restartCount": 0, "state": {"running": {}}, **(state or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "models", "labels": names.labels("llama")},
        "spec": {"containers": [{"name": names.ENGINE_CONTAINER, "image": DEFAULTS.engine_image}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [container],
            **status,
        },
    }


def stored(manifest: Any, **status: Any) -> dict[str, Any]:
    """`manifest` as the API server gives it back after we applied it: with an uid, an owner of the fields, defaults."""
    live = server_side_apply.apply(None, manifest, names.FIELD_MANAGER)
    live["metadata"] |= {"uid": f"uid-{live['kind']}", "resourceVersion": "7"}
    if live["kind"] == "Deployment":
        live["spec"].setdefault("replicas", 1)
        live["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
        live["status"] = {"replicas": live["spec"]["replicas"], "updatedReplicas": live["spec"]["replicas"]}
    live.setdefault("status", {}).update(status)
    return live


def gathered(cr: dict[str, Any], **rest: Any) -> Gathered:
    """One look at the cluster in which only `rest` is there beside `cr`."""
    return Gathered(resource=cr, children=rest.pop("children", ()), pods=rest.pop("pods", ()), **rest)


def load(**values: Any) -> FleetLoad:
    """A fleet of one idle replica that reports everything; `values` differ."""
    told = {
        "reporting_replicas": 1,
        "silent_pods": (),
        "queue_depth_total": 0.0,
        "running_total": 0.0,
        "kv_cache_usage_fraction_mean": 0.0,
        "gpu_utilization_percent_mean": 0.0,
        "tokens_per_second_total": 0.0,
        "gpu_metrics_source": "engine",
    }
    return FleetLoad(**(told | values))
