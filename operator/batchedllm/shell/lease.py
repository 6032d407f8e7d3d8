"""Holds the leader lease: who has it writes, who loses it ends.

The decisions are core/lease.py; here are the calls and the waiting. A process that loses its lease exits:
starting again from nothing is simpler to get right than stopping half of a process.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from batchedllm.core import lease as election
from batchedllm.core.reconcile_types import Manifest
from batchedllm.shell import kinds
from batchedllm.shell.api_errors import ApiError, ConflictError, NotFoundError
from batchedllm.shell.cluster import Cluster

log = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """Another process leads, or may lead soon: this one must write nothing more."""


@dataclass(slots=True)
class Leadership:
    """One process's part in the election. `identity` differs from process to process, over restarts too."""

    namespace: str
    name: str
    identity: str
    clock: Callable[[], float] = time.monotonic
    _held: Manifest | None = field(default=None, init=False)
    """The Lease as we last wrote it; None while we do not lead."""
    _sighting: election.Sighting | None = field(default=None, init=False)
    _renewed_at_seconds: float = field(default=float("-inf"), init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    """One call about the Lease at a time: a renewal must not take back what is being given up."""

    def may_write(self) -> bool:
        """Tell whether the lease is surely ours at this moment. Asked before every write."""
        return self._held is not None and not election.must_stop(self._renewed_at_seconds, self.clock())

    async def acquire(self, cluster: Cluster) -> None:
        """Wait until this process leads."""
        log.info("waiting for lease %s/%s as %s", self.namespace, self.name, self.identity)
        while not await self._try_to_acquire(cluster):
            pass
        log.info("leading: holds lease %s/%s", self.namespace, self.name)

    async def hold(self, cluster: Cluster) -> None:
        """Renew until the lease is given up.

        Raises LeaseLostError when another process has the lease, or none of the renewals succeeded in time.
        """
        while True:
            await asyncio.sleep(election.RETRY_SECONDS)
            async with self._turn:
                if self._held is None:
                    return
                await self._try_to_renew(cluster, self._held)
            if election.must_stop(self._renewed_at_seconds, self.clock()):
                self._held = None
                seconds = election.RENEW_DEADLINE_SECONDS
                raise LeaseLostError(f"lease {self.namespace}/{self.name} could not be renewed for {seconds} s")

    async def release(self, cluster: Cluster) -> None:
        """Give the lease up, so that a standby takes over at once; a failure costs it the lease's duration."""
        async with self._turn:
            held, self._held = self._held, None
            if held is None:
                return
            try:
                await cluster.replace(election.released(held, datetime.now(UTC)))
                log.info("released lease %s/%s", self.namespace, self.name)
            except ApiError as error:
                log.warning("the lease was not released, a standby takes over when it expires: %s", error)

    async def _try_to_acquire(self, cluster: Cluster) -> bool:
        try:
            step = await self._evaluate(cluster)
            if isinstance(step, election.Wait):
                await asyncio.sleep(step.seconds)
                return False
            await self._write(cluster, step.manifest)
        except ApiError as error:
            log.info("the lease was not taken: %s", error)
            await asyncio.sleep(election.RETRY_SECONDS)
            return False
        return True

    async def _try_to_renew(self, cluster: Cluster, held: Manifest) -> None:
        try:
            async with asyncio.timeout(self._left_seconds()):
                await self._renew(cluster, held)
        except (ApiError, TimeoutError) as error:
            log.warning("the lease was not renewed: %s", str(error) or type(error).__name__)

    async def _renew(self, cluster: Cluster, held: Manifest) -> None:
        """Write our renewal; after a conflict look who holds the lease."""
        try:
            await self._write(cluster, _renewal(held, self.identity))
        except (ConflictError, NotFoundError):
            step = await self._evaluate(cluster)
            if isinstance(step, election.Wait):
                self._held = None
                raise LeaseLostError(f"{step.sighting.holder} took the lease {self.namespace}/{self.name}") from None
            await self._write(cluster, step.manifest)

    async def _evaluate(self, cluster: Cluster) -> election.Acquire | election.Renew | election.Wait:
        try:
            lease: Manifest | None = await cluster.read(kinds.LEASE, self.namespace, self.name)
        except NotFoundError:
            lease = None
        step = election.evaluate(
            lease,
            self.identity,
            self._sighting,
            namespace=self.namespace,
            name=self.name,
            wall=datetime.now(UTC),
            monotonic_seconds=self.clock(),
        )
        self._sighting = step.sighting
        return step

    async def _write(self, cluster: Cluster, manifest: dict[str, Any]) -> None:
        """Create or replace the Lease. The term counts from before the call: the answer may be slow."""
        sent_at = self.clock()
        is_there = "resourceVersion" in manifest["metadata"]
        self._held = await (cluster.replace(manifest) if is_there else cluster.create(manifest))
        self._renewed_at_seconds = sent_at

    def _left_seconds(self) -> float:
        return max(0.1, self._renewed_at_seconds + election.RENEW_DEADLINE_SECONDS - self.clock())


def _renewal(held: Manifest, identity: str) -> dict[str, Any]:
    spec = {**held["spec"], "holderIdentity": identity, "renewTime": election.micro_time(datetime.now(UTC))}
    return {**held, "spec": spec}
