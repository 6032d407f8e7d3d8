"""Conditions of a BatchedLLM: their types, and the reasons a program may match on.

`Ready` is the summary. `Reconciling` and `Stalled` are abnormal-true (kstatus): present only while they hold.
Routine scaling changes none of the three.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class ConditionType(StrEnum):
    """The aspects of the state; `CONDITIONS` tells what each means."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    MEMORY_PLANNED = "MemoryPlanned"
    ENGINE_HEALTHY = "EngineHealthy"
    METRICS_CONTRACT = "MetricsContract"
    SCALING_ACTIVE = "ScalingActive"
    SCALING_LIMITED = "ScalingLimited"
    BENCHMARKED = "Benchmarked"


class Reason(StrEnum):
    """Machine-readable reasons of conditions; `REASONS` tells what each means."""

    PENDING = "Pending"
    SERVING = "Serving"
    PROGRESSING = "Progressing"
    NO_READY_REPLICAS = "NoReadyReplicas"
    SCALED_TO_ZERO = "ScaledToZero"
    INVALID_SPEC = "InvalidSpec"
    APPLY_REFUSED = "ApplyRefused"
    CHILD_NOT_OURS = "ChildNotOurs"
    FITS = "Fits"
    DOES_NOT_FIT = "DoesNotFit"
    PLAN_UNKNOWN = "PlanUnknown"
    NOT_PLANNED = "NotPlanned"
    PLAN_DRIFTED = "PlanDrifted"
    INSPECTING = "Inspecting"
    INSPECTION_FAILED = "InspectionFailed"
    BAD_MODEL_DESCRIPTION = "BadModelDescription"
    CONTRADICTING_SETTINGS = "ContradictingSettings"
    HEALTHY = "Healthy"
    STARTING = "Starting"
    AS_EXPECTED = "AsExpected"
    METRICS_MISSING = "MetricsMissing"
    NO_FRESH_METRICS = "NoFreshMetrics"
    SCALING = "Scaling"
    RECOMMENDING = "Recommending"
    EXTERNAL = "External"
    SWITCHED_OFF = "SwitchedOff"
    WITHIN_LIMITS = "WithinLimits"
    AT_MAX_REPLICAS = "AtMaxReplicas"
    AT_BUDGET = "AtBudget"
    MEASURED = "Measured"
    BENCHMARK_WAITING = "BenchmarkWaiting"
    BENCHMARK_RUNNING = "BenchmarkRunning"
    BENCHMARK_FAILED = "BenchmarkFailed"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL = "ImagePull"
    OUT_OF_HOST_MEMORY = "OOMKilled"
    OUT_OF_GPU_MEMORY = "OutOfGpuMemory"
    KV_CACHE_TOO_SMALL = "KVCacheTooSmall"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_SECURITY = "PodSecurity"
    CONFIGURATION = "ConfigurationError"
    CRASHED = "Crashed"
    NOT_ANSWERING = "NotAnswering"
    ENGINE_STALLED = "EngineStalled"
    EVICTED = "Evicted"
    GATED_MODEL = "GatedModel"
    NO_SUCH_MODEL = "NoSuchModel"
    NO_SUCH_REVISION = "NoSuchRevision"
    NO_NETWORK = "NoNetwork"
    NO_GPU = "NoGpu"
    OLD_DRIVER = "OldDriver"
    OLD_GPU = "OldGpu"
    TOO_FEW_GPUS = "TooFewGpus"
    TOO_LITTLE_GPU_MEMORY = "TooLittleGpuMemory"
    TOO_LITTLE_SHARED_MEMORY = "TooLittleSharedMemory"
    NO_TOKEN = "NoToken"  # noqa: S105 - a reason, no password
    NO_WEIGHTS = "NoWeights"
    ADMISSION_CONFIGURATION = "AdmissionConfigurationInvalid"


class ConditionMeaning(NamedTuple):
    """What a condition says."""

    when_true: str
    always_present: bool = True


CONDITIONS: Final[Mapping[ConditionType, ConditionMeaning]] = MappingProxyType(
    {
        ConditionType.READY: ConditionMeaning("At least one replica answers requests, or none is wanted."),
        ConditionType.RECONCILING: ConditionMeaning(
            "The cluster is being brought to the spec; wait.", always_present=False
        ),
        ConditionType.STALLED: ConditionMeaning(
            "Waiting will not help; the message says what to change.", always_present=False
        ),
        ConditionType.MEMORY_PLANNED: ConditionMeaning(
            "The engine fits into the GPU's memory. False: nothing is created or changed. Unknown: the plan cannot "
            "tell, the engine is started and finds out itself."
        ),
        ConditionType.ENGINE_HEALTHY: ConditionMeaning("No replica fails."),
        ConditionType.METRICS_CONTRACT: ConditionMeaning("The engines report what scaling needs, by a name we know."),
        ConditionType.SCALING_ACTIVE: ConditionMeaning(
            "The operator decides the number of replicas, from fresh signals."
        ),
        ConditionType.SCALING_LIMITED: ConditionMeaning(
            "A limit holds the number of replicas: maxReplicas, or pods that cannot be scheduled."
        ),
        ConditionType.BENCHMARKED: ConditionMeaning(
            "The engine was measured as it is now; present only where that was asked for.", always_present=False
        ),
    }
)
"""Every condition and what it means."""

REASONS: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.PENDING: "Seen for the first time; the children are being made.",
        Reason.SERVING: "Requests are answered.",
        Reason.PROGRESSING: "Replicas start, or are replaced by ones with new settings.",
        Reason.NO_READY_REPLICAS: "No replica answers yet; the message says why.",
        Reason.SCALED_TO_ZERO: "No replica is wanted.",
        Reason.INVALID_SPEC: "The operator cannot read the spec; children are left as they are. Change the spec.",
        Reason.APPLY_REFUSED: "The API server refused a child, with its own words. Change what they name.",
        Reason.CHILD_NOT_OURS: "An object of the name exists and is not ours. Rename one, or delete that object.",
        Reason.FITS: "Weights, activations and one request of maxModelLen fit; the message has the numbers.",
        Reason.DOES_NOT_FIT: "They do not; the message has the numbers and the smallest changes that fit.",
        Reason.PLAN_UNKNOWN: "Something about the model, the GPU or the engine is not known; the message says what.",
        Reason.NOT_PLANNED: "The plan is switched off (`memory.gate: off`).",
        Reason.PLAN_DRIFTED: "The engine has more than 3 % more or less KV cache than was planned.",
        Reason.INSPECTING: "A short pod without a GPU reads the model's config.",
        Reason.INSPECTION_FAILED: "The model could not be inspected; the message says what to do.",
        Reason.BAD_MODEL_DESCRIPTION: "The ConfigMap of `model.configMap` is missing, or is no model's config.",
        Reason.CONTRADICTING_SETTINGS: "The engine would refuse these settings; the message names the field.",
        Reason.HEALTHY: "No replica fails.",
        Reason.STARTING: "No replica has answered yet.",
        Reason.AS_EXPECTED: "All metrics are there.",
        Reason.METRICS_MISSING: "The engine does not report a metric; what depends on it is unknown, not 0.",
        Reason.NO_FRESH_METRICS: "No replica has reported lately; nothing is scaled down.",
        Reason.SCALING: "Decisions are taken and applied.",
        Reason.RECOMMENDING: "Decisions are taken and only shown (mode `recommend`).",
        Reason.EXTERNAL: "Somebody else scales (mode `external`).",
        Reason.SWITCHED_OFF: "The number is fixed (mode `off`).",
        Reason.WITHIN_LIMITS: "No limit changes the outcome.",
        Reason.AT_MAX_REPLICAS: "More would be wanted than maxReplicas allows.",
        Reason.AT_BUDGET: "More would be wanted than what is left of scaling.budget allows.",
        Reason.MEASURED: "`status.profile` holds what a benchmark found.",
        Reason.BENCHMARK_WAITING: "For replicas, which come first, or for a free GPU; the message says which.",
        Reason.BENCHMARK_RUNNING: "A pod of its own measures the engine.",
        Reason.BENCHMARK_FAILED: "The benchmark ended without a result; the message says why and what to do.",
        Reason.UNSCHEDULABLE: "No node takes a pod; the message has the scheduler's words.",
        Reason.IMAGE_PULL: "The image cannot be pulled: check its name and imagePullSecrets.",
        Reason.OUT_OF_HOST_MEMORY: "The kernel killed the engine: raise resources.limits.memory.",
        Reason.OUT_OF_GPU_MEMORY: "Out of GPU memory: lower gpuUtilization, maxNumSeqs or maxNumBatchedTokens.",
        Reason.KV_CACHE_TOO_SMALL: "One request of maxModelLen does not fit: lower it, or give more memory.",
        Reason.QUOTA_EXCEEDED: "A ResourceQuota of the namespace is used up.",
        Reason.POD_SECURITY: "Pod Security admission refuses the pods.",
        Reason.CONFIGURATION: "The pod names a Secret, volume or setting that does not exist or is not valid.",
        Reason.CRASHED: "The engine ended; the message has the line of its log that matters.",
        Reason.NOT_ANSWERING: "The engine runs and does not answer its health check.",
        Reason.ENGINE_STALLED: "Requests wait in an engine while neither its tokens nor its GPU move.",
        Reason.EVICTED: "The node evicted the pod.",
        Reason.GATED_MODEL: "The hub refuses the model: accept its terms, and name a Secret with that account's token.",
        Reason.NO_SUCH_MODEL: "The hub, or the volume, has no such model: check model.id and model.source.",
        Reason.NO_SUCH_REVISION: "The model has no such version: check model.revision.",
        Reason.NO_NETWORK: "The hub cannot be reached: allow the pod to, or serve from a volume (model.source.pvc).",
        Reason.NO_GPU: "The engine sees no GPU: check gpu.resource, the device plugin and pod.runtimeClassName.",
        Reason.OLD_DRIVER: "The node's NVIDIA driver is too old for the image.",
        Reason.OLD_GPU: "The GPU is of a generation that the image has no code for: choose other nodes.",
        Reason.TOO_FEW_GPUS: "The engine needs more GPUs than the pod has: check gpu.perReplica.",
        Reason.TOO_LITTLE_GPU_MEMORY: "Something else uses the GPU: give the engine one of its own.",
        Reason.TOO_LITTLE_SHARED_MEMORY: "Shared memory is too small: raise engine.sharedMemory.",
        Reason.NO_TOKEN: "The Secret of model.source.huggingFace.tokenSecretRef holds no token.",
        Reason.NO_WEIGHTS: "The model's folder has no weights: check what the volume holds.",
        Reason.ADMISSION_CONFIGURATION: "A pod cannot use its admission configuration or its file of API keys. A pod "
        "that serves goes on with what it had; one that starts answers 503 until the file is mended.",
    }
)
"""Every reason and what it means."""
