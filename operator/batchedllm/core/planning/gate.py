"""Between the spec and its children: what is planned, and whether anything may be made.

Order: the GPU, the model (described, or inspected), the plan. Whatever is not known opens the gate, because the engine
finds out itself; only numbers close it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from batchedllm.api.conditions import ConditionType, Reason
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.benchmark.run import known_profile
from batchedllm.core.conditions import Truth, Verdict
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.manifests.pod_template import ANNOTATION_TEMPLATE, template_fingerprint
from batchedllm.core.memory.correction import CorrectionKey, correction_for
from batchedllm.core.memory.engine_versions import version_of_image
from batchedllm.core.memory.errors import InvalidSettings
from batchedllm.core.memory.fixes import fixes
from batchedllm.core.memory.plan import plan
from batchedllm.core.memory.plan_cpu import fixes_on_cpu, plan_on_cpu
from batchedllm.core.memory.plan_types import Plan, Question
from batchedllm.core.memory.plan_types import Verdict as Answer
from batchedllm.core.observed import find
from batchedllm.core.planning import known_part
from batchedllm.core.planning.choice import (
    Chosen,
    chosen_for,
    chosen_without_plan,
    kept,
    length_of_unknown,
    with_chosen,
)
from batchedllm.core.planning.gpu_facts import GpuFacts, gpu_facts
from batchedllm.core.planning.host import host_cautions
from batchedllm.core.planning.model_facts import ModelFacts, NoFacts
from batchedllm.core.planning.model_search import Search, known_model, search
from batchedllm.core.planning.question import settings_of
from batchedllm.core.planning.report import no_plan_status, plan_status
from batchedllm.core.planning.running_images import newest_digest
from batchedllm.core.planning.short_pods import deletions
from batchedllm.core.reconcile_types import Defaults, Deletion, Gathered, Manifest

_REASONS: Final[Mapping[Answer, tuple[Truth, Reason]]] = {
    Answer.FITS: ("True", Reason.FITS),
    Answer.DOES_NOT_FIT: ("False", Reason.DOES_NOT_FIT),
    Answer.UNKNOWN: ("Unknown", Reason.PLAN_UNKNOWN),
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that was made, and all that is learned by it."""

    question: Question
    plan: Plan
    key: CorrectionKey


@dataclass(frozen=True, slots=True)
class Gate:
    """What the memory plan means for a reconciliation."""

    condition: Verdict
    spec: BatchedLLMSpec
    """With what the plan chose filled in."""
    holds: bool = False
    """Whether the children stay as they are."""
    is_final: bool = False
    """With `holds`: waiting will not help."""
    planned: Planned | None = None
    status: Mapping[str, Any] | None = None
    """`status.plan`, where there is anything to tell in it."""
    record: dict[str, Any] | None = None
    """The ConfigMap that keeps what inspections found."""
    apply: tuple[Manifest, ...] = ()
    delete: tuple[Deletion, ...] = ()
    look_again_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Deployed:
    """The Deployment that is there, if any."""

    resource: Manifest
    deployment: Manifest | None
    default_image: str

    def serves(self, spec: BatchedLLMSpec) -> bool:
        """Tell whether its pods are just those that a spec asks for."""
        if self.deployment is None:
            return False
        annotations = self.deployment["spec"]["template"]["metadata"].get("annotations") or {}
        wanted = template_fingerprint(owner_of(self.resource), spec, self.default_image)
        return bool(annotations.get(ANNOTATION_TEMPLATE) == wanted)


@dataclass(frozen=True, slots=True)
class _Case:
    """One BatchedLLM whose GPU and model are known."""

    gathered: Gathered
    spec: BatchedLLMSpec
    gpu: GpuFacts
    facts: ModelFacts
    key: CorrectionKey
    deployed: _Deployed

    @property
    def question(self) -> Question:
        """What the plan is asked."""
        correction = correction_for(self.gathered.corrections, self.key)
        settings = settings_of(self.spec, self.facts, self.key.engine_image)
        return Question(self.facts.model, self.facts.weights, self.gpu.gpu, settings, correction)


def gate(gathered: Gathered, spec: BatchedLLMSpec, defaults: Defaults, now: datetime) -> Gate:
    """Plan the memory of one BatchedLLM, or say why that is not possible."""
    unneeded = deletions(gathered.inspections)
    image = spec.engine.image or defaults.engine_image
    resource = gathered.resource
    there = find(gathered.children, "Deployment", resource["metadata"]["name"])
    deployed = _Deployed(resource, there, defaults.engine_image)
    if spec.memory.gate == "off":
        off = NoFacts(Reason.NOT_PLANNED, "memory.gate is off: nothing is planned")
        return replace(_unplanned(spec, off, deployed, {}), delete=unneeded)
    gpu = gpu_facts(spec, gathered.node_gpus)
    if isinstance(gpu, NoFacts):
        model = known_model(gathered, spec, defaults)
        known = {} if model is None else known_part.of_model(model, spec, image)
        return replace(_unplanned(spec, gpu, deployed, known), delete=unneeded)
    found = search(gathered, spec, defaults, now)
    if isinstance(found.facts, NoFacts):
        known = {} if gpu.is_cpu else known_part.of_gpu(gpu.gpu, spec, image)
        return _with_steps(_without_facts(found, found.facts, spec, deployed, known), found)
    product = gpu.gpu.product or f"{gpu.gpu.memory} bytes"
    digest = newest_digest(gathered.pods, image)
    key = CorrectionKey(image, product, found.facts.model.model_type, digest)
    return _with_steps(_planned(_Case(gathered, spec, gpu, found.facts, key, deployed)), found)


def _with_steps(made: Gate, found: Search) -> Gate:
    """Add what the search for the model's description asks for."""
    step = found.inspection
    return replace(
        made, record=found.record, apply=step.apply, delete=step.delete, look_again_seconds=step.look_again_seconds
    )


def _without_facts(
    found: Search, facts: NoFacts, spec: BatchedLLMSpec, deployed: _Deployed, known: Mapping[str, int]
) -> Gate:
    """Wait while the model is being inspected; hold back for a description that is wrong; else go on without."""
    if facts.reason is Reason.BAD_MODEL_DESCRIPTION:
        enforces = spec.memory.gate == "enforce"
        made = _held(spec, facts, deployed) if enforces else _unplanned(spec, facts, deployed, known)
        return replace(made, condition=_condition("False", facts.reason, facts.message), is_final=enforces)
    waits = facts.reason is Reason.INSPECTING and not found.inspection.is_over
    return _held(spec, facts, deployed) if waits else _unplanned(spec, facts, deployed, known)


def _held(spec: BatchedLLMSpec, why: NoFacts, deployed: _Deployed) -> Gate:
    """Make nothing as long as there is no plan; what serves keeps what a plan chose for it."""
    chosen = kept(spec, deployed.resource, deployed.serves)
    status = no_plan_status(why.message, {}, chosen) if chosen else None
    return Gate(_condition("Unknown", why.reason, why.message), with_chosen(spec, chosen), holds=True, status=status)


def _unplanned(spec: BatchedLLMSpec, why: NoFacts, deployed: _Deployed, known: Mapping[str, int]) -> Gate:
    """Go on without a plan: with what one chose for this very spec before, so that its loss restarts nothing.

    Else with the length that the engine finds, where the spec leaves it open.
    """
    version = version_of_image(spec.engine.image or deployed.default_image)
    serves = deployed.serves
    chosen = kept(spec, deployed.resource, serves) or chosen_without_plan(spec, version, serves)
    status = no_plan_status(why.message, known, chosen) if chosen or known else None
    return Gate(_condition("Unknown", why.reason, why.message), with_chosen(spec, chosen), status=status)


def _planned(case: _Case) -> Gate:
    """Choose what the goal leaves to the plan, plan, and judge."""
    enforces = case.spec.memory.gate == "enforce"
    profile = known_profile(case.gathered, case.spec, case.key.engine_image)
    chosen = [] if case.gpu.is_cpu else chosen_for(case.question, case.spec, case.gathered.resource, profile)
    case = replace(case, spec=with_chosen(case.spec, chosen))
    try:
        case, made, length = _made(case)
    except InvalidSettings as error:
        return Gate(_condition("False", Reason.CONTRADICTING_SETTINGS, str(error)), case.spec, enforces, enforces)
    question, on_cpu, chosen = case.question, case.gpu.is_cpu, [*chosen, *length]
    made = replace(made, cautions=(*made.cautions, *host_cautions(case.spec, made.settings)))
    changes = fixes_on_cpu(question, made) if on_cpu else fixes(question, made)
    notes = [*made.notes, *((case.gpu.note,) if case.gpu.note else ())]
    status = plan_status(made, changes, modelSource=case.facts.source, chosen=chosen, notes=notes)
    truth, reason = _REASONS[made.verdict]
    holds = enforces and made.verdict is Answer.DOES_NOT_FIT
    condition = _condition(truth, reason, status["message"])
    return Gate(condition, case.spec, holds, holds, Planned(question, made, case.key), status)


def _made(case: _Case) -> tuple[_Case, Plan, Chosen]:
    """Plan; and once more with the length left to the engine, where the plan does not know what fits."""
    if case.gpu.is_cpu:
        return case, plan_on_cpu(case.question), []
    made = plan(case.question)
    length = length_of_unknown(case.question, case.spec, made.verdict, case.deployed.resource, case.deployed.serves)
    if not length:
        return case, made, []
    case = replace(case, spec=with_chosen(case.spec, length))
    return case, plan(case.question), length


def _condition(truth: Truth, reason: Reason, message: str) -> Verdict:
    return Verdict(ConditionType.MEMORY_PLANNED, truth, reason, message)
