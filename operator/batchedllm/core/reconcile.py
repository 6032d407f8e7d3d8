"""One reconciliation: from what was gathered to what to do. The only door between the shell and the core."""

from dataclasses import dataclass, replace
from typing import Any, Final

from batchedllm.api.conditions import Reason
from batchedllm.api.resource import InvalidSpec, parse
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.advice import Advised, advise
from batchedllm.core.benchmark.pod import Subject
from batchedllm.core.benchmark.run import Benchmark, asked_by, benchmark
from batchedllm.core.benchmark.status import profile_status
from batchedllm.core.conditions import Situation
from batchedllm.core.decided import Decide, Decided, decided
from batchedllm.core.left_alone import first_look, left_as_it_is, nothing_made
from batchedllm.core.manifests.children import children, spec_of
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.manifests.pod_template import template_fingerprint
from batchedllm.core.notices import Change, notices
from batchedllm.core.observed import Observed, observe
from batchedllm.core.planning.afterwards import Afterwards, Replicas, afterwards
from batchedllm.core.planning.gate import Gate, gate
from batchedllm.core.planning.running_images import of_digest
from batchedllm.core.reconcile_types import Defaults, Gathered, Manifest, Now, Outcome
from batchedllm.core.replicas import replicas_to_apply
from batchedllm.core.scale_in import marks
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.recommendations import Scene
from batchedllm.core.stalls import stall, stranger
from batchedllm.core.status import build_status, write_after_seconds
from batchedllm.core.wishes import Wishes, changing, compared, drifts_of, superfluous, template_of

GETTING_KNOWN_SECONDS: Final = 1.0
"""When to look again at a model whose pods have only just begun to be asked."""

WATCH_SECONDS: Final = 30.0
"""When to look again at a model that is not well, should no event come: some failures show by time alone."""


def reconcile(gathered: Gathered, defaults: Defaults, now: Now, decide: Decide = decide) -> Outcome:
    """Return what to do about one BatchedLLM.

    Nothing at all once it is being deleted: its children go by ownership. A resource that cannot be served as it is
    keeps its children as they are. Otherwise: plan, observe, decide on the replicas, compare, and tell.
    """
    resource = gathered.resource
    if resource["metadata"].get("deletionTimestamp"):
        return Outcome(memory=gathered.memory)
    if not resource.get("status"):
        return first_look(gathered, now)
    try:
        spec = parse(resource)
    except InvalidSpec as error:
        return left_as_it_is(gathered, Reason.INVALID_SPEC, f"{error}. The children are left as they were.", now)
    foreign = stranger(gathered)
    if foreign is not None:
        return left_as_it_is(gathered, *foreign, now)
    planned = gate(gathered, spec, defaults, now.wall)
    look = Look(gathered, spec, observe(gathered, now), planned, defaults, now)
    in_force = _in_force(look)
    if in_force is None:
        return nothing_made(gathered, look.planned, now)
    return _outcome(look, _served(look, in_force, decide))


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that a reconciliation is decided from."""

    gathered: Gathered
    asked: BatchedLLMSpec
    """The spec as the user wrote it."""
    observed: Observed
    planned: Gate
    defaults: Defaults
    now: Now


def _in_force(look: Look) -> BatchedLLMSpec | None:
    """Return the spec that the children are to have: while the plan holds a new one back, the one before, if any.

    What serves already with just these settings fits, whatever a plan says.
    """
    spec = look.planned.spec
    if not look.planned.holds:
        return spec
    template = template_fingerprint(owner_of(look.gathered.resource), spec, look.defaults.engine_image)
    if look.observed.ready_pods_of(template):
        return spec
    return spec_of(look.observed.deployment, spec)


@dataclass(frozen=True, slots=True)
class _Served:
    """A model that is served: what is wanted for it, and what came of what is there."""

    scaled: Decided
    measured: Benchmark
    number: int | None
    """Replicas to set; None: they are left as they are."""
    wishes: Wishes
    """The children, and the record of the plan."""
    keeping: Wishes
    """Records of what was learned and measured."""
    template: str
    after: Afterwards
    advised: Advised
    situation: Situation


def _served(look: Look, spec: BatchedLLMSpec, decide: Decide) -> _Served:
    """Find out what keeps the model served by `spec`, the newest one or the one that is in force instead."""
    gathered, planned, image = look.gathered, look.planned, spec.engine.image or look.defaults.engine_image
    measured = _measured(look, spec)
    profile = measured.profile
    scaled = decided(gathered, look.observed, spec, image=image, now=look.now, decide=decide, profile=profile)
    replicas = replicas_to_apply(spec, look.observed.deployment, scaled.decision)
    wanted = children(owner_of(gathered.resource), spec, look.defaults.engine_image, replicas.number)
    wishes = compared(wanted if planned.record is None else (*wanted, planned.record), gathered, replicas)
    template = template_of(wishes)
    replicas_of_plan = Replicas() if spec is not planned.spec else _of_plan(look, template)
    after = afterwards(planned, gathered.load, replicas_of_plan, gathered.start_logs)
    scene = Scene(spec, look.observed.fleet, gathered.load, scaled.decision)
    advised = advise(scene, scaled.memory.signs, gathered.resource["status"], look.now.monotonic_seconds)
    records = (one for one in (scaled.record, measured.record) if one is not None)
    situation = Situation(
        spec=spec,
        observed=look.observed,
        template=template,
        load=gathered.load,
        decision=scaled.decision,
        wanted=look.observed.fleet.wanted if replicas.number is None else replicas.number,
        changing=changing(wishes),
        stalled=_stalled(look, spec, template),
        planned=after.condition,
        advice=advised.advice,
        benchmarked=measured.condition,
    )
    keeping = compared(records, gathered, replicas)
    return _Served(scaled, measured, replicas.number, wishes, keeping, template, after, advised, situation)


def _stalled(look: Look, spec: BatchedLLMSpec, template: str) -> tuple[Reason, str] | None:
    """Return why the newest spec does not come into being, if it does not."""
    if spec is not look.planned.spec and look.planned.is_final:
        return _held(look.planned)
    return stall(look.gathered, look.observed, template)


def _status_of(look: Look, served: _Served) -> dict[str, Any]:
    """Return the status as it should be."""
    spec, planned, measured = served.situation.spec, look.planned, served.measured
    image = spec.engine.image or look.defaults.engine_image
    status = build_status(served.situation, look.gathered.resource, image, look.now.wall)
    status |= {} if planned.status is None else {"plan": planned.status}
    status |= {} if served.after.actual is None else {"actual": served.after.actual}
    return status | ({} if measured.profile is None else {"profile": profile_status(measured.profile)})


def _write_seconds(look: Look, status: dict[str, Any]) -> float | None:
    """Return when to write the status; None: it need not be written."""
    seconds = write_after_seconds(status, look.gathered.resource, look.now.wall)
    if seconds is not None and _knows_less_than_the_status(look.gathered):
        return max(seconds, GETTING_KNOWN_SECONDS)
    return seconds


def _outcome(look: Look, served: _Served) -> Outcome:
    """Return what to do about a model that is served."""
    planned, measured, decision = look.planned, served.measured, served.scaled.decision
    status = _status_of(look, served)
    write_seconds = _write_seconds(look, status)
    all_wishes = (*served.wishes, *served.keeping)
    drifted = (wish.manifest for wish in all_wishes if wish.drift is not None)
    return Outcome(
        apply=(*drifted, *planned.apply, *measured.apply),
        mark=_marks(look, served.template, served.number),
        delete=(*superfluous(all_wishes, look.gathered), *planned.delete, *measured.delete),
        status=status if write_seconds == 0 else None,
        notices=notices(Change(served.situation, look.gathered.resource["status"], drifts_of(served.wishes))),
        look_again_seconds=_soonest(
            write_seconds or None,
            decision.retry_seconds,
            served.advised.look_again_seconds,
            _watch_seconds(served.situation),
            planned.look_again_seconds,
        ),
        decision=decision,
        memory=replace(served.scaled.memory, signs=served.advised.signs),
        wants_logs_of=look.observed.wants_logs_of,
        lesson=served.after.lesson,
        wants_start_log_of=served.after.wants_start_log_of,
    )


def _of_plan(look: Look, template: str) -> Replicas:
    """Return the replicas that run what was planned: the settings, and the very image."""
    pods, made = look.gathered.pods, look.planned.planned
    digest = "" if made is None else made.key.image_digest
    image = look.planned.spec.engine.image or look.defaults.engine_image
    alike = of_digest(pods, image, digest)
    ready = (pod for pod in look.observed.ready_pods_of(template) if pod in alike)
    return Replicas(tuple(ready), tuple(one for one in look.observed.failures if one.pod in alike))


def _measured(look: Look, spec: BatchedLLMSpec) -> Benchmark:
    """Return where the benchmark of the spec as the user wrote it is; `spec` is what is in force."""
    asked, resource = look.asked, look.gathered.resource
    image = asked.engine.image or look.defaults.engine_image
    subject = Subject(owner_of(resource), asked, spec, image, asked_by(resource))
    is_in_force = spec is look.planned.spec
    return benchmark(look.gathered, subject, look.observed.fleet, look.now.wall, may_begin=is_in_force)


def _marks(look: Look, template: str, left: int | None) -> tuple[Manifest, ...]:
    """Return the pods to mark before all but `left` replicas are removed; a rollout removes by version instead."""
    is_removal = left is not None and left < look.observed.fleet.wanted and not look.observed.has_others(template)
    load = look.gathered.load
    return marks(look.gathered.pods, load.readings, left) if is_removal and left is not None and load else ()


def _knows_less_than_the_status(gathered: Gathered) -> bool:
    """Tell whether another process told more of this model, as it serves, than this one has had the time to ask.

    Without this, each restart of the operator would take back what the status says, and tell it again seconds later.
    """
    status = gathered.resource["status"]
    is_of_this_spec = status.get("observedGeneration") == gathered.resource["metadata"]["generation"]
    return gathered.load_is_new and is_of_this_spec and bool(status.get("readyReplicas"))


def _held(planned: Gate) -> tuple[Reason, str]:
    return planned.condition.reason, f"{planned.condition.message.rstrip('.')}. The replicas are kept as they were"


def _watch_seconds(situation: Situation) -> float | None:
    is_well = situation.observed.fleet.pending == 0 and not situation.observed.failures and not situation.changing
    return None if is_well else WATCH_SECONDS


def _soonest(*seconds: float | None) -> float | None:
    return min((one for one in seconds if one is not None), default=None)
