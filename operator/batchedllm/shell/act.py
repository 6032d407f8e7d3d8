"""Does what the core decided: applies, deletes, writes the status, posts Events. Decides nothing."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from batchedllm.core.reconcile_types import Deletion, Manifest, Outcome, Refusal
from batchedllm.shell import kinds
from batchedllm.shell.api_errors import ConflictError, NotFoundError, RefusedError
from batchedllm.shell.cluster import Cluster
from batchedllm.shell.key import Key
from batchedllm.shell.notices import NoticeBoard
from batchedllm.shell.ownership import stranger
from batchedllm.shell.store import Store

log = logging.getLogger(__name__)


class StaleLookError(Exception):
    """The resource is no longer the one that the decision was made about: nothing was written."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The hands of the loop."""

    cluster: Cluster
    store: Store
    notices: NoticeBoard

    async def act(self, key: Key, resource: Manifest, outcome: Outcome) -> tuple[Refusal, ...]:
        """Carry out `outcome`; return the children that the API server refused.

        A refused child does not keep the others from being applied: a service may work without its
        disruption budget. Every other error ends the round; the next one starts from a fresh look.
        """
        refusals: tuple[Refusal, ...] = ()
        if outcome.apply or outcome.delete:
            await self._assert_current(key, resource)
            await self._mark(key, outcome.mark)
            refusals = await self._apply(key, resource, outcome.apply)
            await self._delete(key, outcome.delete)
        if outcome.status is not None:
            self.store.put(await self.cluster.apply_status(resource, outcome.status))
        await self.notices.post(key, resource, outcome.notices)
        return refusals

    async def _assert_current(self, key: Key, resource: Manifest) -> None:
        """Read the resource once more before anything is made or deleted in its name.

        The watch may lag: without this, children of a resource that was just deleted would be made again.
        """
        fresh = await self.cluster.read(kinds.RESOURCE, key.namespace, key.name)
        self.store.put(fresh)
        seen, now = resource["metadata"], fresh["metadata"]
        if now["uid"] != seen["uid"] or now["generation"] != seen["generation"] or now.get("deletionTimestamp"):
            raise StaleLookError(f"{key} changed while it was being reconciled")

    async def _mark(self, key: Key, pods: Sequence[Manifest]) -> None:
        """Annotate pods. One that is gone, or may not be annotated, keeps nothing from being done."""
        for pod in pods:
            try:
                self.store.put(await self.cluster.overwrite(pod, pod["metadata"]["uid"]))
            except (NotFoundError, ConflictError, RefusedError) as error:
                log.info("pod %s is not marked: %s", pod["metadata"]["name"], error, extra={"key": str(key)})

    async def _apply(self, key: Key, resource: Manifest, manifests: Sequence[Manifest]) -> tuple[Refusal, ...]:
        refusals = []
        for manifest in manifests:
            kind, name = kinds.kind_of(manifest), manifest["metadata"]["name"]
            try:
                live = self.store.find(kind, key.namespace, name)
                if live is None:
                    await self._assert_free(kind, key, name, resource)
                self.store.put(await self._apply_one(manifest, live))
            except RefusedError as error:
                log.warning("%s %s was refused: %s", kind.kind, name, error.message, extra={"key": str(key)})
                refusals.append(Refusal(kind.kind, name, error.code, error.message))
            else:
                log.info("applied %s %s", kind.kind, name, extra={"key": str(key)})
        return tuple(refusals)

    async def _apply_one(self, manifest: Manifest, live: Manifest | None) -> Manifest:
        """Apply a child; where that makes it invalid, replace its lists first.

        Someone who edits the key of a list's item (the port of a Service) leaves an item that is not ours:
        applying adds ours beside it, with a name that then exists twice.
        """
        try:
            return await self.cluster.apply(manifest)
        except RefusedError as error:
            if live is None or error.code != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
        await self.cluster.overwrite(manifest, live["metadata"]["uid"])
        return await self.cluster.apply(manifest)

    async def _assert_free(self, kind: kinds.Kind, key: Key, name: str, resource: Manifest) -> None:
        """Refuse to take over an object that somebody else made under the child's name."""
        try:
            live = await self.cluster.read(kind, key.namespace, name)
        except NotFoundError:
            return
        reason = stranger(live, resource)
        if reason is not None:
            raise RefusedError(reason, code=HTTPStatus.CONFLICT)

    async def _delete(self, key: Key, deletions: Sequence[Deletion]) -> None:
        for deletion in deletions:
            try:
                await self.cluster.delete(deletion)
            except (NotFoundError, ConflictError) as error:
                log.info("%s %s is gone already: %s", deletion.kind, deletion.name, error, extra={"key": str(key)})
            else:
                log.info("deleted %s %s", deletion.kind, deletion.name, extra={"key": str(key)})
            known = self.store.find(kinds.named(deletion.api_version, deletion.kind), key.namespace, deletion.name)
            if known is not None and known["metadata"]["uid"] == deletion.uid:
                self.store.remove(known)
