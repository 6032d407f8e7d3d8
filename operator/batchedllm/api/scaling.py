"""`spec.scaling` of a BatchedLLM: who decides on the number of replicas, from what, and how fast."""

from typing import Literal

from pydantic import Field

from batchedllm.api.base import ApiModel, Rule, number
from batchedllm.api.schedules import WITHIN_THE_POLICY, Schedules


class QueueDepthSignal(ApiModel):
    """Requests that wait in the engines' queues."""

    per_replica: int = Field(
        default=4,
        ge=1,
        le=100000,
        description="Requests that may wait per replica; above it replicas are added until each holds a full batch "
        "and no more than this many waiting.",
    )
    drain_seconds: int | None = Field(
        default=None,
        ge=1,
        le=3600,
        description="Seconds in which a queue above `perReplica` is to be worked off, beside what arrives: the "
        "shorter, the more replicas are added for it. Left out: 60, or as long as a replica takes to start where "
        "that is longer, as what has queued during a start is late anyway.",
    )


class TokenRateSignal(ApiModel):
    """Tokens per second that arrive, prompt and output together, against what a replica was seen to hold."""

    target: int = Field(
        default=80,
        ge=10,
        le=100,
        description="Percent of its full speed that a replica is to hold for long; less where more make requests late.",
    )
    role: Literal["scale", "off"] = Field(default="scale", description="`off`: it asks for nothing.")


class PastDemandSignal(ApiModel):
    """Bursts of the past half hour, for which replicas are kept: a burst may be over before a new one has started."""

    role: Literal["scale", "off"] = Field(default="scale", description="`off`: it asks for nothing.")


class KvCacheUsageSignal(ApiModel):
    """Use of the KV cache, averaged over the replicas."""

    target: int = Field(
        default=80, ge=10, le=100, description="Percent of the blocks in use that replicas are held at."
    )
    role: Literal["scale", "off"] = Field(default="scale", description="`off`: not read.")


class GpuUtilizationSignal(ApiModel):
    """GPU utilization, in percent of the time in which any kernel ran (NVML), averaged over the replicas."""

    target: int = Field(default=80, ge=1, le=100, description="Percent that replicas are held at.")
    role: Literal["guard", "target", "off"] = Field(
        default="guard",
        description="`guard`: never adds replicas, keeps those there are while the GPUs are above the target, "
        "unless one fewer would be at most 80 % full, by batch or by tokens. "
        "`target`: adds and removes replicas towards the target; mind that NVML reads 100 % from a batch of 2 on. "
        "`off`: not read.",
    )


class GpuPowerSignal(ApiModel):
    """Power that the GPUs draw, as the mean over a replica's GPUs and over the replicas.

    It grows with the batch long after the utilization reads 100 %: by how much depends on GPU, model and precision.
    """

    target_watts: int = Field(
        ge=1,
        le=10000,
        description="Watts per GPU that replicas are added and removed towards. Measure it at the batch that you "
        "want to run at, and leave a reserve: at the GPU's power limit it says nothing more.",
    )


class Signals(ApiModel):
    """What the number of replicas is decided from."""

    queue_depth: QueueDepthSignal = Field(
        default_factory=QueueDepthSignal, description="Requests that wait in the engines' queues."
    )
    token_rate: TokenRateSignal = Field(default_factory=TokenRateSignal, description="Tokens per second that arrive.")
    past_demand: PastDemandSignal = Field(default_factory=PastDemandSignal, description="Bursts of the past half hour.")
    kv_cache_usage: KvCacheUsageSignal = Field(default_factory=KvCacheUsageSignal, description="Use of the KV cache.")
    gpu_utilization: GpuUtilizationSignal = Field(
        default_factory=GpuUtilizationSignal, description="How much of the time the GPUs were busy."
    )
    gpu_power: GpuPowerSignal | None = Field(
        default=None,
        description="Power that the GPUs draw. Left out: not read. Only engines with this project's exporter tell it.",
    )


class ScaleUp(ApiModel):
    """How fast replicas are added."""

    max_step: int = Field(default=16, ge=1, le=1000, description="Most replicas added within `periodSeconds`.")
    period_seconds: int = Field(default=15, ge=1, le=3600, description="Seconds that `maxStep` counts for.")
    stabilization_seconds: int = Field(
        default=0, ge=0, le=3600, description="Seconds a need must last before replicas are added."
    )
    unschedulable_seconds: int = Field(
        default=600,
        ge=10,
        le=86400,
        description="Seconds that replicas may wait for a node. Then they are given up, down to `minReplicas`, so "
        "that they do not block. Longer than a cluster autoscaler needs to bring a node.",
    )
    unschedulable_pause_seconds: int = Field(
        default=300,
        ge=10,
        le=3600,
        description="Seconds after which replicas that were given up are tried again, if still needed; doubled each "
        "time in a row, up to an hour.",
    )


class ScaleDown(ApiModel):
    """How fast replicas are removed."""

    max_step: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Most replicas removed within `periodSeconds`. Unset: a tenth of them, at least one.",
    )
    period_seconds: int = Field(default=30, ge=1, le=3600, description="Seconds that `maxStep` counts for.")
    stabilization_seconds: int | None = Field(
        default=None,
        ge=0,
        le=86400,
        description="Seconds in which a lower need must never have been exceeded. Unset: two and a half times as long "
        "as a replica was seen to take to start, 60 to 240 s, or as long as a start if that is longer; 240 s before "
        "one was.",
    )


class Budget(ApiModel):
    """What replicas may cost."""

    replica_hours_per_day: int = Field(
        ge=1,
        le=24000,
        description="Most replica-hours within any 24 hours. `minReplicas` run all day and are part of it; what is "
        "left bounds the replicas above them, such that it always lasts for another hour. The lower bounds of "
        "schedules are kept even when it is spent.",
    )


class Scaling(ApiModel):
    """How many replicas there are, and who decides."""

    mode: Literal["auto", "recommend", "external", "off"] = Field(
        default="auto",
        description="`auto`: the operator decides and scales. `recommend`: it decides and only says so in the status; "
        "the Deployment's replicas are left alone. `external`: an HPA, KEDA or a person scales through the `scale` "
        "subresource (or the Deployment itself, while `spec.replicas` is unset). `off`: `spec.replicas`, or "
        "`minReplicas` where it is unset.",
    )
    min_replicas: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Fewest replicas. 0: none after `idleSeconds` without a request. Requests do not wake the model, "
        "nobody is there to take them. A new value of the annotation `batchedllm.dev/wake` does, for `idleSeconds`; "
        "so does `kubectl scale --replicas=1`, until it is set to 0, and a schedule with a `minReplicas`.",
    )
    max_replicas: int = Field(default=1, ge=1, le=1000, description="Most replicas.")
    idle_seconds: int = Field(
        default=600,
        ge=10,
        le=604800,
        description="Seconds without a request after which no replica is left, where `minReplicas` is 0.",
    )
    signals: Signals = Field(default_factory=Signals, description="What the number of replicas is decided from.")
    scale_up: ScaleUp = Field(default_factory=ScaleUp, description="How fast replicas are added.")
    scale_down: ScaleDown = Field(default_factory=ScaleDown, description="How fast replicas are removed.")
    prediction: Literal["off", "seasonal"] = Field(
        default="off",
        description="`seasonal`: what was needed at this time a day and a week ago, less a fifth, is asked for, by "
        "as long ahead as a replica takes to start. It never removes replicas.",
    )
    budget: Budget | None = Field(
        default=None, description="What replicas may cost, in the modes `auto` and `recommend`. Unset: no limit."
    )
    schedules: Schedules = Field(
        default_factory=list,
        description="Other bounds at some times, in the modes `auto` and `recommend` and for the number that is "
        "recommended in mode `external`. Of several that hold, the first in the list that sets a bound decides it.",
    )
    rules = (
        *WITHIN_THE_POLICY,
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "must be at most maxReplicas",
            f"'is ' + {number('self.minReplicas')} + ', must be at most maxReplicas (' + "
            f"{number('self.maxReplicas')} + ')'",
            ".minReplicas",
        ),
        Rule(
            "!has(self.budget) || self.budget.replicaHoursPerDay >= 24 * self.minReplicas",
            "must be at least 24 times minReplicas, which run all day",
            f"'is ' + {number('self.budget.replicaHoursPerDay')} + ', must be at least 24 times minReplicas (' + "
            f"{number('self.minReplicas')} + '), which run all day'",
            ".budget.replicaHoursPerDay",
        ),
    )
