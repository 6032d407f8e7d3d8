"""The ConfigMap that keeps what benchmarks found: read again after a restart, gone with its BatchedLLM."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchedllm.core.benchmark.profile import Profile, read_profile
from batchedllm.core.manifests.children import marked
from batchedllm.core.manifests.identity import Owner, child
from batchedllm.core.reconcile_types import Manifest

_KEPT: Final = 8
"""Profiles of earlier settings that are kept, so that going back to them needs no other benchmark."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a benchmark ended with."""

    document: Mapping[str, Any]
    profile: Profile


def name_of(owner: Owner) -> str:
    """Return the ConfigMap's name."""
    return f"{owner.name}-profile"


def kept(owner: Owner, children: Iterable[Manifest]) -> dict[str, Found]:
    """Return what is kept for `owner`, by what it was measured of; what is not readable is left out."""
    ours = (one for one in children if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name_of(owner))
    read = ((key, _read(text)) for one in ours for key, text in (one.get("data") or {}).items())
    return {key: found for key, found in read if found is not None}


def profile_record(owner: Owner, found: Mapping[str, Found], newest: str) -> dict[str, Any] | None:
    """Return the ConfigMap; None while there is nothing to keep. The newest profile is always among those kept."""
    if not found:
        return None
    others = sorted((key for key in found if key != newest), key=lambda key: found[key].profile.at, reverse=True)
    keys = [key for key in (newest, *others[: _KEPT - 1]) if key in found]
    data = {key: _written(found[key]) for key in sorted(keys)}
    manifest = child("v1", "ConfigMap", owner, data=data)
    return marked({**manifest, "metadata": {**manifest["metadata"], "name": name_of(owner)}})


def _written(found: Found) -> str:
    profile = found.profile
    own = {"at": profile.at, "askedBy": profile.asked_by, "image": profile.image}
    return json.dumps({**found.document, **own}, sort_keys=True, separators=(",", ":"))


def _read(text: object) -> Found | None:
    try:
        document = dict(json.loads(str(text)))
        own = {field: str(document[name]) for field, name in _OWN.items()}
        return Found(document, read_profile(document, **own))
    except (ValueError, TypeError, KeyError):
        return None


_OWN: Final = {"at": "at", "asked_by": "askedBy", "image": "image"}
