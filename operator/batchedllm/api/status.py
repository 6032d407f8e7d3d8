"""`status` of a BatchedLLM: what the operator saw, what it did, and why."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.config import JsonDict

from batchedllm.api.base import ApiModel
from batchedllm.api.plan_status import Actual, Plan
from batchedllm.api.profile_status import Profile

TIME: JsonDict = {"format": "date-time"}
ListOfStrings = Annotated[list[str], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})]


class Condition(ApiModel):
    """One aspect of the resource's state, as KEP-1623 standardises it."""

    type: str = Field(description="Which aspect.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: int = Field(description="Generation of the spec that this speaks of.")
    last_transition_time: str = Field(json_schema_extra=TIME, description="When `status` last changed.")
    reason: str = Field(description="Why, in one word for programs.")
    message: str = Field(max_length=2048, description="Why, in words, and what to do next.")


class Load(ApiModel):
    """What the replicas reported together. A field that is absent was not measured; it is not 0."""

    reporting_replicas: int = Field(description="Replicas whose metrics are fresh.")
    queue_depth: int | None = Field(default=None, description="Requests that wait, all replicas together.")
    running: int | None = Field(default=None, description="Requests being computed, all replicas together.")
    gpu_utilization: int | None = Field(
        default=None, description="Percent of the time the GPUs were busy, mean over the replicas."
    )
    gpu_metrics_source: Literal["engine", "dcgm-exporter", "mixed", "none"] | None = Field(
        default=None,
        description="Who tells the GPUs' utilization: the engines (`engine`), NVIDIA's exporter on their nodes "
        "(`dcgm-exporter`), some replicas this and some that (`mixed`), or nobody (`none`).",
    )
    kv_cache_usage: int | None = Field(
        default=None, description="Percent of the KV cache blocks in use, mean over the replicas."
    )
    tokens_per_second: int | None = Field(
        default=None, description="Prompt and generated tokens per second, all replicas together."
    )


class Candidate(ApiModel):
    """The number of replicas that one signal asks for."""

    signal: str = Field(description="Name of the signal.")
    replicas: int | None = Field(default=None, description="Replicas it asks for. Absent: it has no opinion.")
    reason: str = Field(description="How it got there, with its inputs.")


class DecisionRecord(ApiModel):
    """One scaling decision that changed the number of replicas, or the reason why it did not change."""

    at: str = Field(json_schema_extra=TIME, description="When it was taken.")
    from_replicas: int = Field(alias="from", description="Replicas wanted before.")
    to_replicas: int = Field(alias="to", description="Replicas wanted after.")
    winner: str = Field(description="The signal that decided.")
    reason: str = Field(description="The decision in words.")
    candidates: Annotated[list[Candidate], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})] = Field(
        default_factory=list, description="What each signal asked for."
    )
    limited_by: ListOfStrings = Field(
        default_factory=list, description="Limits that changed the outcome, in the order they were applied."
    )


class Recommendation(ApiModel):
    """Something that was seen for ten minutes and that a change of the spec, or of the cluster, would better."""

    kind: str = Field(
        description="`GpuUnderused`, `LateWithoutQueue`, `MaxReplicasReached` or `NoNodeForReplicas`: for programs."
    )
    message: str = Field(max_length=2048, description="What was seen when it began, and what to change.")
    since: str = Field(json_schema_extra=TIME, description="Since when it is recommended.")


class Failure(ApiModel):
    """A pod, or the making of one, that does not work."""

    pod: str = Field(description="Name of the pod, or of the object that cannot make one.")
    reason: str = Field(description="What failed, in one word for programs.")
    message: str = Field(max_length=1024, description="What failed, in words, and what to do.")


class BatchedLLMStatus(ApiModel):
    """What the operator saw and did."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that the status speaks of."
    )
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = Field(default_factory=list, description="State by aspect.")
    replicas: int | None = Field(default=None, description="Replicas that exist.")
    ready_replicas: int | None = Field(default=None, description="Replicas that answer requests.")
    wanted_replicas: int | None = Field(default=None, description="Replicas that the Deployment is to have.")
    recommended_replicas: int | None = Field(
        default=None,
        description="Replicas that the operator would choose; only in the modes `recommend` and `external`.",
    )
    woken_by: str | None = Field(
        default=None, description="Value of the annotation `batchedllm.dev/wake` that was acted upon last."
    )
    selector: str | None = Field(default=None, description="Label selector of the pods, for the scale subresource.")
    image: str | None = Field(default=None, description="Engine image in use.")
    endpoint: str | None = Field(default=None, description="Address of the model within the cluster.")
    plan: Plan | None = Field(default=None, description="Whether the engine fits, in numbers.")
    actual: Actual | None = Field(default=None, description="What the engines report of their memory.")
    profile: Profile | None = Field(default=None, description="What a benchmark of the engine found.")
    load: Load | None = Field(default=None, description="What the replicas report together.")
    decisions: Annotated[list[DecisionRecord], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})] = Field(
        default_factory=list, description="The last scaling decisions, newest first, at most 20."
    )
    recommendations: Annotated[
        list[Recommendation],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind"]}),
    ] = Field(default_factory=list, description="What to change, from what was seen for long.")
    failures: Annotated[list[Failure], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})] = Field(
        default_factory=list, description="Pods that do not work, at most 10."
    )
