"""What starts have taught the memory plan: kept in a ConfigMap that people can read, export, edit and delete."""

import logging
from collections.abc import Mapping
from typing import Final

from batchedllm.core.memory.correction import (
    CorrectionKey,
    correction_for,
    learn,
    table_from_json,
    table_to_json,
    with_correction,
)
from batchedllm.core.memory.plan_types import Correction
from batchedllm.core.planning.lesson import Lesson
from batchedllm.shell import kinds
from batchedllm.shell.api_errors import ApiError, NotFoundError
from batchedllm.shell.cluster import Cluster

log = logging.getLogger(__name__)

NAME: Final = "batchedllm-corrections"
DATA_KEY: Final = "corrections.json"
MAX_AGE_SECONDS: Final = 60.0
"""How long an edit of the ConfigMap, or its deletion, may take to be noticed."""


class Corrections:
    """The table, as the API server holds it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._table: dict[CorrectionKey, Correction] = {}
        self._at_seconds = float("-inf")

    async def table(self, now_seconds: float) -> Mapping[CorrectionKey, Correction]:
        """Return all corrections; what cannot be read leaves those that are known."""
        if now_seconds - self._at_seconds >= MAX_AGE_SECONDS:
            self._at_seconds = now_seconds
            try:
                found = await self._cluster.read(kinds.CONFIG_MAP, self._namespace, NAME)
                self._table = table_from_json(str((found.get("data") or {}).get(DATA_KEY, "")))
            except NotFoundError:
                self._table = {}
            except ApiError as error:
                log.warning("what starts have taught cannot be read: %s", error.message)
        return self._table

    async def take(self, lesson: Lesson) -> None:
        """Learn from a start. Not being able to keep it costs no more than the lesson."""
        before = correction_for(self._table, lesson.key)
        after = learn(before, lesson.planned, lesson.actual, lesson.key)
        if after == before:
            return
        self._table = with_correction(self._table, lesson.key, after)
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": self._namespace},
            "data": {DATA_KEY: table_to_json(self._table)},
        }
        try:
            await self._cluster.apply(manifest)
        except ApiError as error:
            log.warning("what a start taught is not kept: %s", error.message)
        else:
            log.info("learned from %s for %s: %s", lesson.pod, lesson.key, after)
