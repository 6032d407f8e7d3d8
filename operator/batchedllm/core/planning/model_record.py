"""The ConfigMap that keeps what inspections found: read again after a restart, gone with its BatchedLLM."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from batchedllm.core.manifests.children import marked
from batchedllm.core.manifests.identity import Owner, child
from batchedllm.core.planning.inspection import Result
from batchedllm.core.reconcile_types import Manifest

_KEPT: Final = 8
"""Results for earlier settings that are kept, so that going back to them needs no other inspection."""


def name_of(owner: Owner) -> str:
    """Return the ConfigMap's name."""
    return f"{owner.name}-model"


def kept(owner: Owner, children: Iterable[Manifest]) -> dict[str, Result]:
    """Return the results that are kept for `owner`, by their key; what is not readable is left out."""
    return results_of(
        one for one in children if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name_of(owner)
    )


def results_of(records: Iterable[Manifest]) -> dict[str, Result]:
    """Return the results of ConfigMaps like ours, by their key."""
    found = ((key, _read(text)) for record in records for key, text in (record.get("data") or {}).items())
    return {key: result for key, result in found if result is not None}


def model_record(owner: Owner, results: Mapping[str, Result], newest: str) -> dict[str, Any] | None:
    """Return the ConfigMap; None while there is nothing to keep. The newest result is always among those kept."""
    if not results:
        return None
    others = [key for key in sorted(results) if key != newest][: _KEPT - 1]
    keys = [key for key in (newest, *others) if key in results]
    data = {key: _written(results[key]) for key in sorted(keys)}
    manifest = child("v1", "ConfigMap", owner, data=data)
    return marked({**manifest, "metadata": {**manifest["metadata"], "name": name_of(owner)}})


def _written(result: Result) -> str:
    content = {"document": result.document, "images": sorted(result.images)}
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _read(text: object) -> Result | None:
    try:
        found = json.loads(str(text))
        return Result(dict(found["document"]), frozenset(map(str, found["images"])))
    except (ValueError, TypeError, KeyError):
        return None
