"""What is learned of a model, kept over a restart of the operator in a ConfigMap that people can read and delete.

It is dropped when the model, its engine, its GPU or its batching changes: what one replica holds is another question
then. Deleting the ConfigMap makes the running operator forget too.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.conditions import timestamp
from batchedllm.core.container_state import time_of
from batchedllm.core.fingerprint import fingerprint
from batchedllm.core.manifests.children import marked
from batchedllm.core.manifests.identity import Owner, child
from batchedllm.core.readings import FleetLoad
from batchedllm.core.reconcile_types import Manifest
from batchedllm.core.scaling import budget, experience, seasonal
from batchedllm.core.scaling.types import Memory

WRITE_SECONDS: Final = 300.0
"""Shortest time between two writes of one model's ConfigMap."""
MATERIAL: Final = 0.1
"""Relative change of a number that is worth a write."""

_OF: Final = "of.json"
_LEARNED: Final = "learned.json"
_AT: Final = "at"

Json = Any


@dataclass(frozen=True, slots=True)
class Kept:
    """The ConfigMap's content."""

    key: str
    """Fingerprint of what it was learned of."""
    at: datetime
    learned: Mapping[str, Json]
    data: Mapping[str, str]


def name_of(owner: Owner) -> str:
    """Return the ConfigMap's name."""
    return f"{owner.name}-learned"


def learned_of(spec: BatchedLLMSpec, image: str) -> dict[str, Json]:
    """Return what has to stay the same for what was learned to hold."""
    return {
        "model": spec.model.model_dump(mode="json", by_alias=True, exclude={"source"}, exclude_none=True),
        "image": image,
        "arguments": list(spec.engine.arguments),
        "gpu": spec.gpu.model_dump(mode="json", by_alias=True, exclude_none=True),
        "memory": spec.memory.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"gate", "inspection"}),
        "batching": spec.batching.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def kept(owner: Owner, children: Sequence[Manifest]) -> Kept | None:
    """Return what is kept; None where nothing is, or nothing that can be read."""
    named = (one for one in children if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name_of(owner))
    data = (next(named, {}).get("data")) or {}
    try:
        of, learned = json.loads(data[_OF]), json.loads(data[_LEARNED])
        at = time_of(data[_AT])
    except (KeyError, TypeError, ValueError):
        return None
    return Kept(fingerprint(of), at, learned, data) if isinstance(of, dict) and isinstance(learned, dict) else None


def recalled(memory: Memory, found: Kept | None, of: Mapping[str, Json]) -> Memory:
    """Return the memory with what was learned of the same: by this process, else as kept, else nothing."""
    key = fingerprint(of)
    memory = _paid(memory, found)
    is_deleted = memory.is_kept and found is None
    if memory.learned_of == key and not is_deleted:
        return replace(memory, is_kept=found is not None)
    document = found.learned if found is not None and found.key == key else {}
    return replace(
        memory,
        learned_of=key,
        is_kept=found is not None,
        is_used=False,
        experience=experience.from_json(document.get("experience", {})),
        seasons=seasonal.from_json(document.get("seasons", ())),
        starts=(),
    )


def _paid(memory: Memory, found: Kept | None) -> Memory:
    """Return the memory with what was spent, whatever it was spent on: by this process, else as kept."""
    if memory.spending.at_seconds is not None or found is None:
        return memory
    return replace(memory, spending=budget.from_json(found.learned.get("spending")))


def used(memory: Memory, load: FleetLoad | None) -> Memory:
    """Return the memory that knows whether requests came: without any, what was learned only fades. That is no news."""
    totals = () if load is None else (load.queue_depth_total, load.running_total, load.tokens_per_second_total)
    return replace(memory, is_used=memory.is_used or any(totals))


def _learned(memory: Memory) -> dict[str, Json]:
    """Return what the memory has learned, as JSON has it."""
    spending = budget.to_json(memory.spending)
    return {
        "experience": memory.experience.to_json(),
        "seasons": [list(one) for one in memory.seasons],
        **({"spending": spending} if spending else {}),
    }


def record(
    owner: Owner, found: Kept | None, of: Mapping[str, Json], memory: Memory, now: datetime
) -> dict[str, Any] | None:
    """Return the ConfigMap as it is to be: as it is until there is material news and the last write is long enough ago.

    What was learned of something else stays until requests have come since: a change may be taken back. None while
    there is nothing to keep.
    """
    news = _learned(memory)
    if found is None and not (memory.is_used and differs(_learned(Memory()), news)):
        return None
    if found is None or (memory.is_used and _is_to_be_written(found, memory.learned_of, news, now)):
        data = {_OF: _text(of), _LEARNED: _text(news), _AT: timestamp(now)}
    else:
        data = dict(found.data)
    manifest = child("v1", "ConfigMap", owner, data=data)
    return marked({**manifest, "metadata": {**manifest["metadata"], "name": name_of(owner)}})


def _is_to_be_written(found: Kept, key: str, news: Mapping[str, Json], now: datetime) -> bool:
    """Whether there is news, and the last write is long enough ago (or, by a clock since put back, yet to come)."""
    is_due = not 0 <= (now - found.at).total_seconds() < WRITE_SECONDS
    return is_due and (found.key != key or differs(found.learned, news))


def differs(before: Json, after: Json) -> bool:
    """Tell whether two JSON values differ materially: numbers by more than `MATERIAL`, anything else at all."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() != after.keys() or any(differs(before[key], after[key]) for key in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) != len(after) or any(map(differs, before, after))
    if _is_number(before) and _is_number(after):
        return bool(abs(after - before) > MATERIAL * max(abs(before), abs(after)))
    return bool(before != after)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(document: Mapping[str, Json]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))
