"""Learning from starts: how far the terms were off, kept for each engine image, GPU product and model family.

Every start moves a correction a part of the way, the first ones further than later ones, never below a floor, so that
old starts are forgotten. A start that is off by more than a plan can be is left out: something else was at work.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from batchedllm.core.memory.actual import Actual
from batchedllm.core.memory.plan_types import Bill, Correction
from batchedllm.core.memory.units import MIB

SLOWEST: Final = 0.25
"""Part of the way that a start moves a correction, however many there were before."""
LARGEST_STEP: Final = 512 * MIB
"""The most that one start moves a term."""
LARGEST: Final = 4096 * MIB
"""The most that a term is corrected at all."""
OUTLIER: Final = 0.1
"""Of the memory asked for: a term that is off by more says that the start is not like its plan."""
RESOLUTION: Final = 6 * MIB
"""A log rounds to 0.01 GiB: less than half of that is no error."""
MOST_ENTRIES: Final = 200
_DIGITS_SHOWN: Final = 12
"""Of a digest, in what people read."""
FORMAT: Final = 1
_TERMS: Final = ("weights_bytes", "activation_bytes", "non_torch_bytes", "cuda_graph_bytes")


@dataclass(frozen=True, slots=True)
class CorrectionKey:
    """What starts have to have in common to learn from each other."""

    engine_image: str
    gpu_product: str
    model_family: str
    image_digest: str = ""
    """What the image's name stood for where it ran (a container's `imageID`); empty where nothing tells it."""

    def __str__(self) -> str:
        digest = self.image_digest.rpartition(":")[2][:_DIGITS_SHOWN]
        image = f"{self.engine_image} ({digest})" if digest else self.engine_image
        return f"{image} | {self.gpu_product} | {self.model_family}"


def learn(previous: Correction | None, planned: Bill, actual: Actual, key: CorrectionKey) -> Correction:
    """Return the correction after one more start; `planned` is the bill with the previous correction in it."""
    before = previous or Correction()
    errors = _errors(planned, actual)
    if not errors or any(abs(error) > OUTLIER * planned.requested for error in errors.values()):
        return replace(before, name=str(key))
    part = max(SLOWEST, 1 / (before.starts + 1))
    terms = {name: _moved(getattr(before, name), errors.get(name, 0), part) for name in _TERMS}
    return Correction(**terms, starts=before.starts + 1, name=str(key))


def correction_for(table: Mapping[CorrectionKey, Correction], key: CorrectionKey) -> Correction | None:
    """Return the correction that holds for a digest; while none is known, the last one under the image's name."""
    if key.image_digest:
        return table.get(key)
    named = [value for other, value in table.items() if replace(other, image_digest="") == key]
    return named[-1] if named else None


def with_correction(
    table: Mapping[CorrectionKey, Correction], key: CorrectionKey, correction: Correction
) -> dict[CorrectionKey, Correction]:
    """Return the table with a new entry; of too many, those that were not touched for longest go."""
    kept = {other: value for other, value in table.items() if other != key}
    kept[key] = correction
    return dict(list(kept.items())[-MOST_ENTRIES:])


def table_to_json(table: Mapping[CorrectionKey, Correction]) -> str:
    """Write the table for people to read and to export."""
    entries = [
        {**asdict(key), **{name: getattr(value, name) for name in (*_TERMS, "starts")}} for key, value in table.items()
    ]
    return json.dumps({"format": FORMAT, "corrections": entries}, indent=1)


def table_from_json(text: str) -> dict[CorrectionKey, Correction]:
    """Read a table; what is not as it was written, by a hand or by a later version, is left out."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return {}
    entries = content.get("corrections")
    read = [_entry(entry) for entry in entries] if isinstance(entries, list) else []
    return dict(entry for entry in read if entry is not None)


def _entry(entry: Any) -> tuple[CorrectionKey, Correction] | None:  # noqa: ANN401 - JSON
    if not isinstance(entry, dict):
        return None
    names = [entry.get(name) for name in ("engine_image", "gpu_product", "model_family")]
    numbers = {name: entry.get(name) for name in (*_TERMS, "starts")}
    if not all(isinstance(name, str) for name in names) or not all(type(one) is int for one in numbers.values()):
        return None
    image, product, family = map(str, names)
    key = CorrectionKey(image, product, family, str(entry.get("image_digest", "")))
    terms = {name: _bounded(int(numbers[name] or 0), LARGEST) for name in _TERMS}
    return key, Correction(**terms, starts=max(0, int(numbers["starts"] or 0)), name=str(key))


def _errors(planned: Bill, actual: Actual) -> dict[str, int]:
    """Return what each term was short of; what only the sum tells goes to the activation peak, the least sure one."""
    pairs = {
        "weights_bytes": (planned.weights.bytes, actual.weights),
        "activation_bytes": (planned.activation.bytes, actual.activation),
        "non_torch_bytes": (planned.non_torch.bytes, actual.non_torch),
    }
    if planned.cuda_graphs.bytes:
        seen = actual.cuda_graphs_estimate if planned.cuda_graphs_in_budget else actual.cuda_graphs
        pairs["cuda_graph_bytes"] = (planned.cuda_graphs.bytes, seen)
    errors = {name: seen - ours for name, (ours, seen) in pairs.items() if seen is not None}
    if actual.activation is None and actual.kv_cache is not None:
        known = errors.get("weights_bytes", 0) + errors.get("non_torch_bytes", 0)
        if planned.cuda_graphs_in_budget:
            known += errors.get("cuda_graph_bytes", 0)
        errors["activation_bytes"] = planned.kv_cache - actual.kv_cache - known
    return errors


def _moved(before: int, error: int, part: float) -> int:
    if abs(error) < RESOLUTION:
        return before
    return _bounded(before + _bounded(round(error * part), LARGEST_STEP), LARGEST)


def _bounded(value: int, limit: int) -> int:
    return max(-limit, min(limit, value))
