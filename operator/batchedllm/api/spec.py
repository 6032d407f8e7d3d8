"""`spec` of a BatchedLLM: what the user asks for.

Fields become engine arguments, children of Kubernetes, or scaling policy; there is none that nothing reads.
Units are in the name or the description; every default is the one the API server fills in.
"""

from typing import Annotated, Literal

from pydantic import Field

from batchedllm.api.admission import ADMISSION_RULES, Admission, Priority
from batchedllm.api.base import ApiModel, MemorySize, Rule, int_or_string, number
from batchedllm.api.model import Model
from batchedllm.api.pod import Engine, Pod
from batchedllm.api.scaling import Scaling
from batchedllm.api.slo import Slo
from batchedllm.api.tuning import Tuning

TokensOrAuto = Annotated[
    Annotated[int, Field(gt=0)] | Literal["auto"],
    int_or_string(
        Rule(
            "type(self) == int ? self > 0 : self == 'auto'",
            "must be a number of tokens greater than 0 (without quotes), or auto",
        ),
        max_length=16,
    ),
]
"""A number of tokens, or `auto`."""


class Gpu(ApiModel):
    """The accelerators of one replica."""

    resource: str = Field(
        default="nvidia.com/gpu",
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        description="Extended resource that the pods request.",
    )
    per_replica: int = Field(
        default=1,
        ge=0,
        le=64,
        description="GPUs of one replica; more than one becomes `--tensor-parallel-size`. 0: an engine on the CPU.",
    )
    product: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="Only nodes whose label `nvidia.com/gpu.product` (GPU feature discovery) says this.",
    )
    memory: MemorySize | None = Field(
        default=None,
        description="Memory of one GPU, for the memory plan, as CUDA counts it (nvidia-smi's total is close). Unset: "
        "by `product`, else by the labels of the nodes.",
    )


class Memory(ApiModel):
    """How the engine uses the GPU's memory."""

    gpu_utilization: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Fraction of the GPU's total memory for weights, activations and KV cache, over 0 and up to 1 "
        "(`--gpu-memory-utilization`). Unset: the engine's default.",
    )
    kv_cache_dtype: str | None = Field(
        default=None,
        min_length=1,
        max_length=32,
        pattern=r"^[a-z0-9_]+$",
        description="Data type of the KV cache, such as `auto` or `fp8` (`--kv-cache-dtype`). Unset: engine's default.",
    )
    kv_cache_memory: MemorySize | None = Field(
        default=None,
        description="Memory of the KV cache on each GPU, or of an engine on the CPU, in bytes "
        "(`--kv-cache-memory-bytes`). The engine then ignores `gpuUtilization`. Unset: what the GPU has left.",
    )
    gate: Literal["enforce", "warn", "off"] = Field(
        default="enforce",
        description="What happens when the plan says that the engine does not fit. `enforce`: nothing is created or "
        "changed. `warn`: the condition says so, and the engine is started all the same. `off`: nothing is planned.",
    )
    inspection: Literal["auto", "never"] = Field(
        default="auto",
        description="Whether a short pod without a GPU may read the model's config with the engine image to plan "
        "exactly. `auto`: where neither `model.configMap` nor the built-in catalogue describes the model.",
    )


class Batching(ApiModel):
    """How many requests and tokens one engine step takes."""

    goal: Literal["latency", "balanced", "throughput"] | None = Field(
        default=None,
        description="What the memory plan chooses the settings for that are left open here: `latency` small steps and "
        "batches, `throughput` large ones. It also fits `maxModelLen: auto`. `status.plan.chosen` says what and why. "
        "Unset, or where nothing can be planned: the engine's defaults.",
    )
    max_model_len: TokensOrAuto | None = Field(
        default=None,
        description="Most tokens of one request, prompt and output together (`--max-model-len`). `auto`: the longest "
        "that fits, found by the engine. Unset: what the model's configuration says, or `auto` where the memory plan "
        "is Unknown, or there is none.",
    )
    max_num_seqs: int | None = Field(
        default=None,
        ge=1,
        le=65536,
        description="Most requests in one batch (`--max-num-seqs`). Unset: the engine's default for the GPU.",
    )
    max_num_batched_tokens: int | None = Field(
        default=None,
        ge=1,
        le=16777216,
        description="Most tokens in one engine step (`--max-num-batched-tokens`). Unset: the engine's default.",
    )
    rules = (
        Rule(
            "!has(self.maxNumBatchedTokens) || !has(self.maxNumSeqs) || self.maxNumBatchedTokens >= self.maxNumSeqs",
            "must be at least maxNumSeqs: each request of a batch takes a token per step",
            f"'is ' + {number('self.maxNumBatchedTokens')} + ', must be at least maxNumSeqs (' + "
            f"{number('self.maxNumSeqs')} + '): each request of a batch takes a token per step'",
            ".maxNumBatchedTokens",
        ),
    )


class Rollout(ApiModel):
    """How replicas start, are replaced, and stop."""

    drain_seconds: int = Field(
        default=60,
        ge=0,
        le=3600,
        description="Seconds that running requests get to finish when a replica stops (`--shutdown-timeout`).",
    )
    startup_seconds: int = Field(
        default=1800,
        ge=30,
        le=86400,
        description="Seconds a replica may take from its start until it answers; then it is started again.",
    )
    max_surge: int = Field(
        default=1, ge=0, le=64, description="Replicas above the wanted number while a new version rolls out."
    )
    max_unavailable: int = Field(
        default=0, ge=0, le=64, description="Replicas that may be missing while a new version rolls out."
    )
    rules = (
        Rule(
            "self.maxSurge > 0 || self.maxUnavailable > 0",
            "must be greater than 0 where maxSurge is 0, else no version can ever roll out",
            None,
            ".maxUnavailable",
        ),
    )


class BatchedLLMSpec(ApiModel):
    """What is served, on which GPUs, with which batches, and how it scales."""

    model: Model = Field(description="Which model is served.")
    gpu: Gpu = Field(default_factory=Gpu, description="The GPUs of one replica.")
    memory: Memory = Field(default_factory=Memory, description="How the engine uses the GPU's memory.")
    batching: Batching = Field(default_factory=Batching, description="How the engine batches.")
    priority: Priority = Field(default_factory=Priority, description="Which requests are served first.")
    admission: Admission = Field(default_factory=Admission, description="When requests are turned away.")
    slo: Slo = Field(default_factory=Slo, description="How long users may have to wait.")
    scaling: Scaling = Field(default_factory=Scaling, description="How many replicas there are.")
    tuning: Tuning = Field(default_factory=Tuning, description="What is measured to batch better.")
    rollout: Rollout = Field(default_factory=Rollout, description="How replicas start, are replaced, and stop.")
    engine: Engine = Field(default_factory=Engine, description="The image that serves, and what it gets beside.")
    pod: Pod = Field(default_factory=Pod, description="Where and as whom the pods run.")
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=10000,
        description="Replicas wanted by the `scale` subresource (kubectl scale, HPA, KEDA). Read in the scaling modes "
        "`external` and `off`, and in mode `auto` where `scaling.minReplicas` is 0: then as the fewest replicas. The "
        "operator never writes it.",
    )
    rules = (
        Rule(
            "!has(self.replicas) || self.scaling.mode in ['external', 'off'] || "
            "self.scaling.mode == 'auto' && self.scaling.minReplicas == 0 || "
            "oldSelf.hasValue() && has(oldSelf.value().replicas) && oldSelf.value().replicas == self.replicas",
            "is only read in the scaling modes external and off, and in auto where minReplicas is 0",
            f"'is ' + {number('self.replicas')} + ', but is only read in the scaling modes external and off, and in "
            "auto where minReplicas is 0; in mode ' + self.scaling.mode + ' set scaling.minReplicas and "
            "scaling.maxReplicas'",
            ".replicas",
            also_on_create=True,
        ),
        *ADMISSION_RULES,
    )

    @property
    def needs_middleware(self) -> bool:
        """Whether anything is asked for that the engine alone cannot do."""
        return self.admission.has_limits or any(one.has_limits for one in self.priority.classes)

    @property
    def uses_middleware(self) -> bool:
        """Whether requests are admitted before the engine: as `admission.mode` says, or by what is asked for."""
        if self.admission.mode != "auto":
            return self.admission.mode == "middleware"
        return self.needs_middleware or (bool(self.priority.classes) and self.engine.image is None)
