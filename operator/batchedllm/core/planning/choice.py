"""Settings that the plan chooses, for a goal or for want of an answer, and keeps: others would restart the replicas."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from batchedllm.api.spec import BatchedLLMSpec, Batching
from batchedllm.core.benchmark.profile import Profile
from batchedllm.core.memory.engine_versions import fits_its_length
from batchedllm.core.memory.errors import InvalidSettings
from batchedllm.core.memory.goals import Batches, choose
from batchedllm.core.memory.plan_types import Question, Verdict
from batchedllm.core.reconcile_types import Manifest

_FIELDS: Final = {
    "max_model_len": "maxModelLen",
    "max_num_seqs": "maxNumSeqs",
    "max_num_batched_tokens": "maxNumBatchedTokens",
}

_LENGTH: Final = "batching.maxModelLen"
_AUTO: Final = "auto"
_UNKNOWN: Final = "the plan is Unknown: the engine takes the longest length that fits, up to the model's own"
_UNPLANNED: Final = "nothing is planned: the engine takes the longest length that fits, up to the model's own"
_KEPT: Final = "chosen while the plan was Unknown, and kept: another length would restart the replicas"

Chosen = list[dict[str, str]]
Serves = Callable[[BatchedLLMSpec], bool]
"""Whether the Deployment that is there makes just the replicas that a spec asks for."""


def chosen_for(question: Question, spec: BatchedLLMSpec, resource: Manifest, profile: Profile | None = None) -> Chosen:
    """Return what is chosen for the goal: as before while spec and benchmark are the same, else anew.

    What starts have taught is left out of it, so that learning never restarts a replica.
    """
    goal = spec.batching.goal
    if goal is None:
        return []
    measured_at = {} if profile is None else {"measuredAt": profile.at}
    before = _before(resource)
    if before and all(one.get("measuredAt", "") == measured_at.get("measuredAt", "") for one in before):
        return before
    try:
        choice = choose(goal, replace(question, correction=None), _batches(profile))
    except InvalidSettings:
        return []
    reason = "; ".join(choice.reasons)
    return [
        {
            "setting": f"batching.{field}",
            "value": str(getattr(choice.settings, name)),
            "reason": reason[:400],
            **measured_at,
        }
        for name, field in _FIELDS.items()
        if _is_open(spec.batching, name) and getattr(choice.settings, name) not in (None, "auto")
    ]


def _batches(profile: Profile | None) -> Batches | None:
    return None if profile is None else Batches(profile.knee, profile.fastest_batch, profile.sweet_spot)


def length_of_unknown(
    question: Question, spec: BatchedLLMSpec, verdict: Verdict, resource: Manifest, serves: Serves
) -> Chosen:
    """Return the length `auto` where the spec has none and the plan cannot say that the model's longest fits.

    A Deployment that is there already keeps the length that it has, chosen or not, while nothing else in it changes.
    """
    if spec.batching.max_model_len is not None:
        return []
    is_unknown = verdict is Verdict.UNKNOWN
    left = _left_to_the_engine(_UNKNOWN if is_unknown else _KEPT)
    was_left = any((one["setting"], one["value"]) == (_LENGTH, _AUTO) for one in _told(resource))
    if was_left and serves(with_chosen(spec, left)):
        return left
    return left if is_unknown and fits_its_length(question.settings.engine_version) and not serves(spec) else []


def chosen_without_plan(spec: BatchedLLMSpec, version: str | None, serves: Serves) -> Chosen:
    """Return the length `auto` where the spec has none, nothing is planned, and the engine's version knows it.

    Not for an engine on the CPU, whose cache is as large as it is told; nor for a Deployment that is there already.
    """
    is_open = spec.batching.max_model_len is None and spec.gpu.per_replica > 0
    return _left_to_the_engine(_UNPLANNED) if is_open and fits_its_length(version) and not serves(spec) else []


def _left_to_the_engine(reason: str) -> Chosen:
    return [{"setting": _LENGTH, "value": _AUTO, "reason": reason}]


def kept(spec: BatchedLLMSpec, resource: Manifest, serves: Serves) -> Chosen:
    """Return what was chosen for this very spec and serves, for as long as nothing can be planned."""
    told = _told(resource) if _is_of_this_spec(resource) else []
    return told if told and serves(with_chosen(spec, told)) else []


def with_chosen(spec: BatchedLLMSpec, chosen: Chosen) -> BatchedLLMSpec:
    """Return the spec with what was chosen filled in."""
    names = {f"batching.{field}": name for name, field in _FIELDS.items()}
    values = {names[one["setting"]]: _value(one["value"]) for one in chosen if one["setting"] in names}
    return spec.model_copy(update={"batching": spec.batching.model_copy(update=values)}) if values else spec


def _value(text: str) -> int | str:
    return text if text == _AUTO else int(text)


def _is_open(batching: Batching, name: str) -> bool:
    value = getattr(batching, name)
    return value == "auto" if name == "max_model_len" else value is None


def _before(resource: Manifest) -> Chosen:
    """Return what was chosen for the goal of this very spec already, if it can be read."""
    return [one for one in _told(resource) if one["value"] != _AUTO] if _is_of_this_spec(resource) else []


def _is_of_this_spec(resource: Manifest) -> bool:
    status: Any = resource.get("status") or {}
    return bool(status.get("observedGeneration") == resource["metadata"]["generation"])


def _told(resource: Manifest) -> Chosen:
    """Return what the status says to have been chosen, whatever the spec was then."""
    found = ((resource.get("status") or {}).get("plan") or {}).get("chosen") or []
    return [dict(one) for one in found if str(one.get("value", "")).isdecimal() or one.get("value") == _AUTO]
