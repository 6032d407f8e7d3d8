"""What people are advised to change, from what was seen for long: each recommendation is one small function."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.readings import FleetLoad
from batchedllm.core.record import record
from batchedllm.core.scaling.schedule import policy_bounds
from batchedllm.core.scaling.types import Decision, Fleet

GPU_UNDERUSED: Final = "GpuUnderused"
LATE_WITHOUT_QUEUE: Final = "LateWithoutQueue"
MAX_REPLICAS_REACHED: Final = "MaxReplicasReached"
NO_NODE: Final = "NoNodeForReplicas"
ENGINE_STALLED: Final = "EngineStalled"
"""No recommendation but a condition; seen and told in the same way."""

PATIENCE_SECONDS: Final[Mapping[str, float]] = MappingProxyType(
    {GPU_UNDERUSED: 600.0, LATE_WITHOUT_QUEUE: 600.0, MAX_REPLICAS_REACHED: 600.0, NO_NODE: 600.0, ENGINE_STALLED: 30.0}
)
"""How long each must be seen before it is told, and be gone before it is told no more."""

BUSY_GPU_PERCENT: Final = 70.0
"""NVML reads 85 to 100 % from one request on (Llama 8B on an H200): below this a GPU has nothing to do at times."""

SHORT_QUEUE_PER_REPLICA: Final = 0.1
"""Waiting requests per replica up to which a queue counts as empty: requests are seen on their way into the batch."""

MOST_POD_NAMES: Final = 3


@record
class Scene:
    """What recommendations look at."""

    spec: BatchedLLMSpec
    fleet: Fleet
    load: FleetLoad | None
    decision: Decision


def found(scene: Scene) -> dict[str, str]:
    """Return what is seen now, in words, by kind."""
    seen = {kind: look(scene) for kind, look in LOOKS.items()}
    return {kind: words for kind, words in seen.items() if words}


def _gpu_underused(scene: Scene) -> str:
    load, wanted = scene.load, scene.fleet.wanted
    if load is None or load.gpu_utilization_percent_mean is None or load.queue_depth_total is None or wanted <= 1:
        return ""
    queue_is_short = load.queue_depth_total <= SHORT_QUEUE_PER_REPLICA * load.reporting_replicas
    if load.gpu_utilization_percent_mean >= BUSY_GPU_PERCENT or not queue_is_short or not load.is_complete:
        return ""
    bounds = scene.decision.bounds or policy_bounds(scene.spec.scaling)
    what = f"the GPUs of {wanted} replicas are less than {BUSY_GPU_PERCENT:.0f} % busy and nothing waits"
    if wanted <= bounds.low:
        return f"{what}, but {bounds.low_by} keeps {bounds.low}: lower it, fewer replicas with larger batches do"
    if scene.spec.scaling.mode == "auto":
        return (
            f"{what}: replicas are removed as the scale-down windows pass. To need fewer under load too, let each take "
            f"more requests at a time (batching.maxNumSeqs{_now(scene.spec.batching.max_num_seqs)})"
        )
    return f"{what}: run fewer; each takes up to batching.maxNumSeqs requests{_now(scene.spec.batching.max_num_seqs)}"


def _late_without_queue(scene: Scene) -> str:
    if not scene.decision.late_without_queue:
        return ""
    tokens = _now(scene.spec.batching.max_num_batched_tokens)
    return (
        "more requests are late than the SLO allows although few wait and the replicas have little to do: more "
        "replicas would not help. Make the steps smaller: lower batching.maxNumBatchedTokens"
        f"{tokens} or set batching.goal: latency"
    )


def _max_replicas_reached(scene: Scene) -> str:
    decision = scene.decision
    if decision.bounds is None or not decision.is_capped:
        return ""
    needed = max((one.replicas or 0 for one in decision.candidates), default=0)
    asked = f"; {needed} are asked for" if needed > decision.bounds.high else ""
    return f"more than the {decision.bounds.high} replicas of {decision.bounds.high_by} are needed{asked}: raise it"


def _no_node(scene: Scene) -> str:
    if scene.decision.given_up:
        reason = scene.decision.given_up
    elif scene.fleet.unschedulable:
        reason = scene.fleet.unschedulable_reason or "replicas find no node"
    else:
        return ""
    return f"add nodes with free GPUs, or lower scaling.maxReplicas to what the cluster holds: {reason}"


def _engine_stalled(scene: Scene) -> str:
    stalled = scene.load.stalled_pods if scene.load is not None else ()
    if not stalled:
        return ""
    names = ", ".join(stalled[:MOST_POD_NAMES]) + (" and others" if len(stalled) > MOST_POD_NAMES else "")
    return (
        f"requests wait in {names}, where neither tokens nor the GPU move; no replica is added for them. Look at "
        "the engine's log; deleting the pod starts a new one"
    )


def _now(value: int | None) -> str:
    return f", now {value}" if value is not None else ", now the engine's default"


LOOKS: Final[Mapping[str, Callable[[Scene], str]]] = MappingProxyType(
    {
        GPU_UNDERUSED: _gpu_underused,
        LATE_WITHOUT_QUEUE: _late_without_queue,
        MAX_REPLICAS_REACHED: _max_replicas_reached,
        NO_NODE: _no_node,
        ENGINE_STALLED: _engine_stalled,
    }
)
"""Each says in words what is seen and what to change; empty: it is not seen."""
