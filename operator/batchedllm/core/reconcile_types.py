"""What the shell gathers for one reconciliation, and what the core tells it to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from batchedllm.core.memory.correction import CorrectionKey
from batchedllm.core.memory.plan_types import Correction
from batchedllm.core.planning.lesson import Lesson
from batchedllm.core.planning.node_gpus import NodeGpu
from batchedllm.core.readings import FleetLoad
from batchedllm.core.scaling.types import Decision, Memory

Manifest = Mapping[str, Any]
"""A Kubernetes object as JSON."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the installation decides for all resources."""

    engine_image: str
    """Image of a BatchedLLM that names none."""
    catalogue: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Descriptions of common models by their id: `config` and `weightsBytes` (batchedllm/catalogue)."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """One look at the cluster, and the time of it."""

    resource: Manifest
    """The BatchedLLM as the API server holds it."""
    children: tuple[Manifest, ...]
    """Live children (all kinds we make) found by label."""
    pods: tuple[Manifest, ...]
    replica_sets: tuple[Manifest, ...] = ()
    warnings: tuple[Manifest, ...] = ()
    """Kubernetes Events of type Warning about the children and their pods."""
    log_tails: Mapping[str, str] = field(default_factory=dict)
    """Last lines of the previous run of failed pods' engines, by pod name."""
    start_logs: Mapping[str, str] = field(default_factory=dict)
    """What engines that serve said of their memory when they started, by pod name; only of those that were read."""
    load: FleetLoad | None = None
    load_is_new: bool = False
    """Whether this process has only just begun to ask the pods, so that the load may be known better in a moment."""
    misconfigured_pods: tuple[str, ...] = ()
    """Pods, ready or not, whose middleware cannot use its configuration or its file of keys."""
    memory: Memory = field(default_factory=Memory)
    refusals: tuple["Refusal", ...] = ()
    """Children that the API server refused in the previous reconciliation of the same generation."""
    inspections: tuple[Manifest, ...] = ()
    """Pods that read the model's config."""
    neighbour_inspections: tuple[Manifest, ...] = ()
    """Such pods of other BatchedLLMs in the namespace."""
    neighbour_records: tuple[Manifest, ...] = ()
    """ConfigMaps in which other BatchedLLMs of the namespace keep what inspections found."""
    benchmarks: tuple[Manifest, ...] = ()
    """Pods that measure the engine."""
    description: Manifest | None = None
    """The ConfigMap that `model.configMap` names; None where it names none, or none is there."""
    node_gpus: tuple[NodeGpu, ...] | None = None
    """GPUs of the cluster's nodes; None where they are not needed, or may not be read."""
    corrections: Mapping[CorrectionKey, Correction] = field(default_factory=dict)
    """What earlier starts have taught."""


@dataclass(frozen=True, slots=True)
class Now:
    """The time, twice: intervals are taken from the monotonic clock, status gets the wall clock."""

    wall: datetime
    monotonic_seconds: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server did not take a child."""

    kind: str
    name: str
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """A child to delete; the uid makes sure that it is the one we saw."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A Kubernetes Event to post about the BatchedLLM."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to do. Empty tuples and a `status` of None mean: nothing to write."""

    apply: tuple[Manifest, ...] = ()
    """Children to apply, only those that differ from what is there."""
    mark: tuple[Manifest, ...] = ()
    """Pods to annotate before anything is applied, as patches: they are to go first, or no longer are."""
    delete: tuple[Deletion, ...] = ()
    status: Manifest | None = None
    """The status to apply; None where it already says so."""
    notices: tuple[Notice, ...] = ()
    look_again_seconds: float | None = None
    decision: Decision | None = None
    memory: Memory = field(default_factory=Memory)
    wants_logs_of: tuple[str, ...] = ()
    """Failed pods whose log would tell more; the shell fetches the tails for the next reconciliation."""
    wants_start_log_of: str = ""
    """A pod that serves and whose first lines tell what its memory went to; empty if none is to be read."""
    lesson: Lesson | None = None
    """What a replica's start teaches later plans."""
