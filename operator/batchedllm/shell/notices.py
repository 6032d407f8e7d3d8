"""Kubernetes Events about a BatchedLLM: for changes, not for noise."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from batchedllm.api import names
from batchedllm.core.reconcile_types import Manifest, Notice
from batchedllm.shell.api_errors import ApiError
from batchedllm.shell.cluster import Cluster
from batchedllm.shell.key import Key

log = logging.getLogger(__name__)

REPEAT_SECONDS: Final = 600.0
"""The same notice about the same resource is not posted again within this time, and the same warning not logged."""
BURST: Final = 25
"""Events per resource that may be posted at once ..."""
REFILL_SECONDS: Final = 30.0
"""... and the time after which one more may (what kubelet and controllers do, with 5 min)."""
MESSAGE_LIMIT: Final = 1024
"""Longest message that the API server takes in an Event."""


class Bucket:
    """Bounds the Events of one resource, and the warnings about it in the log."""

    def __init__(self, now_seconds: float) -> None:
        self._tokens = float(BURST)
        self._at = now_seconds
        self._posted: dict[Notice, float] = {}
        self._warned: dict[Notice, float] = {}

    def is_logged(self, notice: Notice, now_seconds: float) -> bool:
        """Tell whether to log `notice`, and take note that it is. What the operator does is logged each time.

        A warning may come with every look: the status, by which it is known to be told, has room for a few failures.
        """
        if notice.type != "Warning":
            return True
        self._warned = _recent(self._warned, now_seconds)
        is_new = notice not in self._warned
        self._warned.setdefault(notice, now_seconds)
        return is_new

    def admits(self, notice: Notice, now_seconds: float) -> bool:
        """Tell whether to post `notice`, and take note that it is."""
        self._tokens = min(BURST, self._tokens + (now_seconds - self._at) / REFILL_SECONDS)
        self._at = now_seconds
        self._posted = _recent(self._posted, now_seconds)
        if notice in self._posted or self._tokens < 1:
            return False
        self._tokens -= 1
        self._posted[notice] = now_seconds
        return True


def _recent(told: dict[Notice, float], now_seconds: float) -> dict[Notice, float]:
    return {one: at for one, at in told.items() if now_seconds - at < REPEAT_SECONDS}


class NoticeBoard:
    """Posts notices as Events. A post that fails is logged and dropped: an Event is never worth a retry."""

    def __init__(self, cluster: Cluster, identity: str, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._identity = identity
        self._clock = clock
        self._buckets: dict[Key, Bucket] = {}

    async def post(self, key: Key, resource: Manifest, notices: Sequence[Notice]) -> None:
        """Post the notices that are neither repetitions nor too many."""
        for notice in notices:
            now = self._clock()
            bucket = self._buckets.setdefault(key, Bucket(now))
            if bucket.is_logged(notice, now):
                level = logging.WARNING if notice.type == "Warning" else logging.INFO
                log.log(level, "%s: %s", notice.reason, notice.message, extra={"key": str(key)})
            if bucket.admits(notice, now):
                await self._post(key, resource, notice)

    def forget(self, key: Key) -> None:
        """The resource is gone."""
        self._buckets.pop(key, None)

    async def _post(self, key: Key, resource: Manifest, notice: Notice) -> None:
        try:
            await self._cluster.create(event(resource, notice, self._identity, datetime.now(UTC)))
        except ApiError as error:
            log.warning("Event %s was not posted: %s", notice.reason, error.message, extra={"key": str(key)})


def event(resource: Manifest, notice: Notice, identity: str, at: datetime) -> dict[str, Any]:
    """Build the Event that says `notice` about `resource`, with a name that no other Event has."""
    metadata = resource["metadata"]
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha256(f"{metadata['uid']} {notice} {at.isoformat()} {identity}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": metadata["namespace"], "name": f"{metadata['name']}.{digest}"},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": notice.type,
        "reason": notice.reason,
        "message": notice.message[:MESSAGE_LIMIT],
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
        "source": {"component": "batchedllm-operator"},
        "reportingComponent": "batchedllm.dev/operator",
        "reportingInstance": identity,
    }
