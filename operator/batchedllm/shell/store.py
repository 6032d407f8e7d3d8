"""What the API server last told about the objects the operator watches.

The watch is the main source, but not the only one:
- the answer to each of our own writes is put in at once, so that the next look never sees the state
  before it (the stale-cache bug of many controllers) and never writes twice;
- a full list is merged now and then, because an object deleted while a watch was broken is never
  mentioned again by it.
An older version never replaces a newer one: resource versions of one kind are ordered numbers
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
"""

from collections import defaultdict
from collections.abc import Iterable

from batchedllm.core.reconcile_types import Manifest
from batchedllm.shell import kinds
from batchedllm.shell.key import Key
from batchedllm.shell.kinds import Kind

_Identity = tuple[str, str, str]
"""Kind, namespace, name."""

_WITH_MANAGED_FIELDS = frozenset(kind.kind for kind in (kinds.RESOURCE, *kinds.CHILDREN))


class Store:
    """The newest known version of each watched object, found by its BatchedLLM."""

    def __init__(self) -> None:
        self._objects: dict[_Identity, Manifest] = {}
        self._owner: dict[_Identity, Key] = {}
        self._members: defaultdict[Key, set[_Identity]] = defaultdict(set)
        self._gone_at: dict[_Identity, int] = {}

    def put(self, manifest: Manifest) -> Key | None:
        """Take in an object if it is newer than what is known; return its BatchedLLM if something changed.

        A child that changed its owner label belongs to the new one; the old one no longer has it.
        """
        identity, version = _identity(manifest), version_of(manifest)
        if version <= self._known_version(identity):
            return None
        former = self._forget(identity)
        key = Key.of(manifest)
        if key is None:
            return former
        self._objects[identity] = _slim(manifest)
        self._owner[identity] = key
        self._members[key].add(identity)
        self._gone_at.pop(identity, None)
        return key

    def remove(self, manifest: Manifest) -> Key | None:
        """Drop an object that is gone, or has lost our label; return the BatchedLLM it belonged to."""
        identity, version = _identity(manifest), version_of(manifest)
        if version < self._known_version(identity):
            return None
        key = self._forget(identity)
        self._gone_at[identity] = version
        return key

    def merge(self, kind: Kind, namespace: str | None, listed: Iterable[Manifest], version: int) -> set[Key]:
        """Bring all objects of `kind` in line with a full list made at `version`; return whose changed."""
        known = [one for one in self._objects if one[0] == kind.kind and namespace in (None, one[1])]
        changed = self._align(known, listed, version)
        self._prune_gone(kind, version)
        return changed

    def merge_of(self, key: Key, kind: Kind, listed: Iterable[Manifest], version: int) -> set[Key]:
        """Do the same for the objects of `kind` that belong to `key`."""
        return self._align([one for one in self._members.get(key, ()) if one[0] == kind.kind], listed, version)

    def resource(self, key: Key) -> Manifest | None:
        """Return the BatchedLLM itself, None if it is not there."""
        return self._objects.get((kinds.RESOURCE.kind, key.namespace, key.name))

    def find(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return one object if it is known."""
        return self._objects.get((kind.kind, namespace, name))

    def of(self, key: Key, *wanted: Kind) -> tuple[Manifest, ...]:
        """Return the objects of these kinds that belong to `key`, in the order of kind and name."""
        names = {kind.kind for kind in wanted}
        members = sorted(identity for identity in self._members.get(key, ()) if identity[0] in names)
        return tuple(self._objects[identity] for identity in members)

    def beside(self, key: Key, kind: Kind) -> tuple[Manifest, ...]:
        """Return the objects of this kind in the namespace of `key` that belong to other BatchedLLMs, by name."""
        found = sorted(
            identity
            for identity, owner in self._owner.items()
            if identity[0] == kind.kind and owner.namespace == key.namespace and owner != key
        )
        return tuple(self._objects[identity] for identity in found)

    def all_keys(self) -> set[Key]:
        """Return every BatchedLLM of which the resource or at least one child is known."""
        return set(self._members)

    def resources(self) -> int:
        """Return how many BatchedLLMs there are."""
        return sum(1 for identity in self._objects if identity[0] == kinds.RESOURCE.kind)

    def _align(self, known: Iterable[_Identity], listed: Iterable[Manifest], version: int) -> set[Key]:
        """Put what is listed, forget what is known but not listed, unless it is newer than the list."""
        changed, present = set(), set()
        for manifest in listed:
            present.add(_identity(manifest))
            changed.add(self.put(manifest))
        for identity in set(known) - present:
            if version_of(self._objects[identity]) <= version:
                changed.add(self._forget(identity))
                self._gone_at[identity] = version
        return {key for key in changed if key is not None}

    def _known_version(self, identity: _Identity) -> int:
        known = self._objects.get(identity)
        return version_of(known) if known is not None else self._gone_at.get(identity, -1)

    def _forget(self, identity: _Identity) -> Key | None:
        self._objects.pop(identity, None)
        key = self._owner.pop(identity, None)
        if key is not None:
            self._members[key].discard(identity)
            if not self._members[key]:
                del self._members[key]
        return key

    def _prune_gone(self, kind: Kind, version: int) -> None:
        """Forget old deletions: what a list no longer shows cannot come back by an older event."""
        for identity in [one for one, at in self._gone_at.items() if one[0] == kind.kind and at < version]:
            del self._gone_at[identity]


def version_of(manifest: Manifest) -> int:
    """Return an object's resource version as the number it is; 0 where there is none."""
    return int(manifest["metadata"].get("resourceVersion") or 0)


def _identity(manifest: Manifest) -> _Identity:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata["namespace"], metadata["name"]


def _slim(manifest: Manifest) -> Manifest:
    """Leave out the managed fields, half of an object's size, but where the core reads them."""
    if manifest["kind"] in _WITH_MANAGED_FIELDS:
        return manifest
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return {**manifest, "metadata": metadata}
