"""Who describes the model: the user, the catalogue, or an inspection, in this order."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from batchedllm.api.conditions import Reason
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.planning.inspection import Inspection, Result, inspect
from batchedllm.core.planning.inspection_pod import Subject, inspection_key
from batchedllm.core.planning.model_facts import (
    ModelFacts,
    NoFacts,
    from_catalogue,
    from_config_map,
    from_inspection,
)
from batchedllm.core.planning.model_record import kept, model_record, results_of
from batchedllm.core.planning.running_images import digests
from batchedllm.core.planning.short_pods import deletions
from batchedllm.core.reconcile_types import Defaults, Gathered


@dataclass(frozen=True, slots=True)
class Search:
    """What is known of the model, and what inspecting it asks for."""

    facts: ModelFacts | NoFacts
    inspection: Inspection = field(default_factory=Inspection)
    record: dict[str, Any] | None = None
    """The ConfigMap that keeps what inspections found."""


def search(gathered: Gathered, spec: BatchedLLMSpec, defaults: Defaults, now: datetime) -> Search:
    """Return what describes the model, or what is done to find out."""
    owner = owner_of(gathered.resource)
    subject = Subject(owner, spec, spec.engine.image or defaults.engine_image)
    results = kept(owner, gathered.children)
    facts = _described(gathered, spec, defaults.catalogue)
    if facts is not None:
        record = model_record(owner, results, inspection_key(subject))
        return Search(facts, Inspection(is_over=True, delete=deletions(gathered.inspections)), record)
    return _inspected(gathered, subject, results, now)


def known_model(gathered: Gathered, spec: BatchedLLMSpec, defaults: Defaults) -> ModelFacts | None:
    """Return what describes the model already; nothing is inspected for it."""
    owner = owner_of(gathered.resource)
    facts = _described(gathered, spec, defaults.catalogue)
    if facts is None:
        key = inspection_key(Subject(owner, spec, spec.engine.image or defaults.engine_image))
        result = kept(owner, gathered.children).get(key)
        facts = None if result is None else from_inspection(result.document)
    return facts if isinstance(facts, ModelFacts) else None


def _inspected(gathered: Gathered, subject: Subject, results: Mapping[str, Result], now: datetime) -> Search:
    """Take what an inspection found, here or for another BatchedLLM of the namespace, and else inspect.

    A result for another digest than the replicas run goes on counting until the new one is there, and holds nothing up.
    """
    key, running = inspection_key(subject), digests(gathered.pods, subject.image)
    before = results.get(key)
    candidates = (before, results_of(gathered.neighbour_records).get(key))
    known = next((one for one in candidates if one is not None and one.holds_for(running)), None)
    if known is None and before is not None:
        subject = replace(subject, running=min(running))
    step = inspect(subject, gathered.inspections, known, now, gathered.neighbour_inspections)
    result = step.result or before
    if result is None:
        return Search(NoFacts(step.reason, step.message), step, model_record(subject.owner, results, key))
    return Search(from_inspection(result.document), step, model_record(subject.owner, {**results, key: result}, key))


def _described(
    gathered: Gathered, spec: BatchedLLMSpec, catalogue: Mapping[str, Mapping[str, Any]]
) -> ModelFacts | NoFacts | None:
    """Return what describes the model without an inspection; None if only that can."""
    if spec.model.config_map is not None:
        return from_config_map(spec.model.config_map, gathered.description)
    is_of_the_hub = spec.model.source is None or spec.model.source.pvc is None
    entry = catalogue.get(spec.model.id) if is_of_the_hub else None
    if entry is not None:
        return from_catalogue(entry)
    if spec.memory.inspection == "never":
        why = "nothing describes the model: set model.configMap, or let memory.inspection be auto"
        return NoFacts(Reason.PLAN_UNKNOWN, why)
    return None
