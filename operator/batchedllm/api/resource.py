"""The typed way into a BatchedLLM as the API server holds it.

The API server has checked the object against the CRD, but perhaps against one of another version. What the types
refuse is therefore refused again here, unknown fields among it: dropping one would ignore what somebody asked for.
Of the CEL rules, only those that the core relies on are evaluated again (`RELIED_ON`).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchedllm.api.admission import ENGINE_CANNOT, KEYS_ARE_MISSING, NOTHING_WAITS, ONE_DEFAULT
from batchedllm.api.quantities import bytes_of
from batchedllm.api.reserved import RESERVED, refusal
from batchedllm.api.schedules import cron_fault, time_zone_fault
from batchedllm.api.spec import BatchedLLMSpec

MAX_VALUE_LENGTH: Final = 128
"""Characters of a refused value that the message repeats."""

MEBIBYTE: Final = 1 << 20

MISSING: Final = object()
"""The refused value where there is none: a required field is absent."""


class InvalidSpec(ValueError):  # noqa: N818 - named like the condition's reason
    """The resource cannot be served as it is; trying again will not help."""

    def __init__(self, field_path: str, value: object, expected: str) -> None:
        self.field_path = field_path
        """Where, such as `spec.scaling.minReplicas`."""
        self.value = value
        """What stands there, or `MISSING`."""
        self.expected = expected
        """What should, and the next step where there is one."""
        super().__init__(f"{field_path}: {_shown(value)}: {expected}")


def parse(resource: Mapping[str, Any]) -> BatchedLLMSpec:
    """The spec of `resource`, defaults filled in.

    Raises InvalidSpec for the first field, in the order of the types, that they or a rule of `RELIED_ON` refuse.
    """
    spec = resource.get("spec", MISSING)
    if not isinstance(spec, Mapping):
        raise InvalidSpec("spec", spec, "must be an object with at least model.id")
    try:
        parsed = BatchedLLMSpec.model_validate(spec, strict=True)
    except ValidationError as error:
        raise _invalid(spec, error.errors(include_url=False)) from error
    for check in RELIED_ON:
        check(parsed)
    return parsed


def _replicas_are_ordered(spec: BatchedLLMSpec) -> None:
    low, high = spec.scaling.min_replicas, spec.scaling.max_replicas
    if low > high:
        raise InvalidSpec("spec.scaling.minReplicas", low, f"must be at most maxReplicas ({high})")


def _schedules_can_be_read(spec: BatchedLLMSpec) -> None:
    for index, schedule in enumerate(spec.scaling.schedules):
        faults = {
            "timeZone": (schedule.time_zone, time_zone_fault(schedule.time_zone)),
            "start": (schedule.start, cron_fault(schedule.start)),
            "end": (schedule.end, cron_fault(schedule.end)),
        }
        for field, (value, fault) in faults.items():
            if fault is not None:
                raise InvalidSpec(f"spec.scaling.schedules[{index}].{field}", value, fault)


def _environment_has_one_source(spec: BatchedLLMSpec) -> None:
    for index, variable in enumerate(spec.pod.env):
        if (variable.value is None) == (variable.value_from is None):
            raise InvalidSpec(f"spec.pod.env[{index}]", variable.name, "needs either value or valueFrom")


def _rollout_can_move(spec: BatchedLLMSpec) -> None:
    if spec.rollout.max_surge == 0 and spec.rollout.max_unavailable == 0:
        raise InvalidSpec("spec.rollout.maxUnavailable", 0, "must be greater than 0 where maxSurge is 0")


def _sizes_are_amounts_of_memory(spec: BatchedLLMSpec) -> None:
    sizes = {
        "spec.gpu.memory": (spec.gpu.memory, MEBIBYTE),
        "spec.memory.kvCacheMemory": (spec.memory.kv_cache_memory, MEBIBYTE),
        "spec.engine.sharedMemory": (spec.engine.shared_memory, 0),
        "spec.engine.resources.requests.memory": (spec.engine.resources.requests.get("memory"), 0),
    }
    for path, (size, least) in sizes.items():
        try:
            enough = size is None or bytes_of(size) >= least
        except ValueError:
            enough = False
        if not enough:
            raise InvalidSpec(path, size, "must be an amount of memory of at least 1Mi, such as 80Gi")


def _admission_is_complete(spec: BatchedLLMSpec) -> None:
    classes, admission = spec.priority.classes, spec.admission
    if admission.mode == "engine" and spec.needs_middleware:
        raise InvalidSpec("spec.admission.mode", admission.mode, ENGINE_CANNOT)
    defaults = [one for one in classes if one.default]
    names = [one.name for one in classes]
    if classes and spec.uses_middleware and len(defaults) != 1:
        raise InvalidSpec("spec.priority.classes", names, ONE_DEFAULT)
    if admission.api_keys is None and any(one.key_only for one in classes):
        raise InvalidSpec("spec.priority.classes", names, KEYS_ARE_MISSING)
    has_queue = spec.batching.max_num_seqs is not None or admission.max_running_requests is not None
    times = (admission.max_queue_seconds, *(one.max_queue_seconds for one in classes))
    if not has_queue and any(seconds is not None for seconds in times):
        raise InvalidSpec("spec.admission", MISSING, NOTHING_WAITS)


RELIED_ON: Final[tuple[Callable[[BatchedLLMSpec], None], ...]] = (
    _replicas_are_ordered,
    _schedules_can_be_read,
    _environment_has_one_source,
    _rollout_can_move,
    _sizes_are_amounts_of_memory,
    _admission_is_complete,
)
"""The rules between fields without which the core's arithmetic or its manifests would be wrong."""


def _invalid(spec: Mapping[str, Any], found: Sequence[ErrorDetails]) -> InvalidSpec:
    """The refusal that tells the first thing that pydantic found in `spec`."""
    first, path = found[0], _path_within(spec, found[0])
    branches = [_expected(path, details) for details in found if _path_within(spec, details) == path]
    value = MISSING if first["type"] == "missing" else first["input"]
    return InvalidSpec(path, value, ", or ".join(dict.fromkeys(branches)))


def _path_within(spec: Mapping[str, Any], details: ErrorDetails) -> str:
    """Path of the field at fault. pydantic's own names the branch of a union too, which is no field: left out."""
    path = "spec"
    here: Any = spec
    for part in details["loc"]:
        if isinstance(part, int) and _is_list(here):
            path, here = f"{path}[{part}]", here[part]
        elif isinstance(here, Mapping) and (part in here or details["type"] == "missing"):
            path, here = f"{path}.{part}", here.get(part)
    return path


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _expected(path: str, details: ErrorDetails) -> str:
    """What should stand at `path`."""
    if details["type"] == "missing":
        return "is required"
    if details["type"] != "extra_forbidden":
        return details["msg"][0].lower() + details["msg"][1:]
    reserved = re.sub(r"\[\d+\]", "[]", path)
    if reserved in RESERVED:
        return refusal(reserved)
    return "is no field that this version of the operator knows; remove it, or bring operator and CRD to one version"


def _shown(value: object) -> str:
    """`value` as JSON, cut to a readable length."""
    if value is MISSING:
        return "missing"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE_LENGTH else text[: MAX_VALUE_LENGTH - 1] + "…"
