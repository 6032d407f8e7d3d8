"""The reconcile loop: gather, let the core decide, act; forget nothing, swallow nothing.

Every error ends in three places: the log, with the key; a counter; and the key's backoff. What was done
half-way is not undone or remembered: the next round starts from a fresh look.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from batchedllm.core.readings import FleetLoad
from batchedllm.core.reconcile_types import Defaults, Gathered, Manifest, Now, Outcome, Refusal
from batchedllm.shell import kinds
from batchedllm.shell.act import Actor, StaleLookError
from batchedllm.shell.api_errors import ApiError, ConflictError, NotFoundError, UnavailableError
from batchedllm.shell.cluster import NotLeadingError
from batchedllm.shell.corrections import Corrections
from batchedllm.shell.gather import Gatherer, is_ready
from batchedllm.shell.key import Key
from batchedllm.shell.recollection import Recollection
from batchedllm.shell.store import Store
from batchedllm.shell.telemetry import Telemetry
from batchedllm.shell.work_queue import QueueClosedError, WorkQueue

log = logging.getLogger(__name__)

WORKERS: Final = 8
"""Keys reconciled at the same time; they mostly wait for the API server."""

Reconcile = Callable[[Gathered, Defaults, Now], Outcome]


class LoadSource(Protocol):
    """What the loop needs of the scraper."""

    def observe(self, key: Key, pods: Sequence[Manifest]) -> None:
        """Scrape these pods from now on, and no others of this BatchedLLM."""

    def load(self, key: Key, ready_pods: Iterable[str], now_seconds: float) -> FleetLoad | None:
        """Return what the pods say together; None if none was scraped yet."""

    def misconfigured(self, key: Key, now_seconds: float) -> tuple[str, ...]:
        """Return the pods, ready or not, that cannot use their admission files."""

    def is_new(self, key: Key, ready_pods: Iterable[str], now_seconds: float) -> bool:
        """Tell whether the load may be known better in a moment: its pods have only just begun to be scraped."""

    def forget(self, key: Key) -> None:
        """The BatchedLLM is gone."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Works off the queue with the pure `reconcile` of the core."""

    queue: WorkQueue[Key]
    store: Store
    gatherer: Gatherer
    actor: Actor
    loads: LoadSource
    corrections: Corrections
    telemetry: Telemetry
    defaults: Defaults
    reconcile: Reconcile
    clock: Callable[[], float] = time.monotonic
    recollections: dict[Key, Recollection] = field(default_factory=dict)

    async def work(self) -> None:
        """Be one worker, until the queue is closed."""
        while True:
            try:
                key = await self.queue.get()
            except QueueClosedError:
                return
            try:
                await self.round(key)
            finally:
                self.queue.done(key)

    async def round(self, key: Key) -> None:
        """Reconcile one BatchedLLM once, and see to it that it comes back when it has to."""
        started = self.clock()
        try:
            result = await self._reconcile(key)
        except NotLeadingError as error:
            log.warning("%s", error, extra={"key": str(key)})
            result = "not_leading"
        except (ConflictError, NotFoundError, StaleLookError) as error:
            log.info("looking again: %s", error, extra={"key": str(key)})
            result = await self._look_again(key, error)
        except ApiError as error:
            result = self._retry(key, error)
        except Exception as error:
            log.exception("reconciling failed by a fault of the operator", extra={"key": str(key)})
            result = self._retry(key, error)
        self.telemetry.reconciled(result, self.clock() - started)

    async def _reconcile(self, key: Key) -> str:
        resource = self.store.resource(key)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            self._forget(key, gone=resource is None)
            return "gone"
        gathered = await self._gather(key, resource, self.clock())
        outcome = self.reconcile(gathered, self.defaults, Now(datetime.now(UTC), self.clock()))
        refusals = await self.actor.act(key, resource, outcome)
        self._observe(key, outcome)
        return await self._conclude(key, gathered, outcome, refusals)

    async def _gather(self, key: Key, resource: Manifest, now_seconds: float) -> Gathered:
        pods = self.gatherer.engines(key)
        known = self.recollections.get(key, Recollection())
        known = known.without_pods_but({pod["metadata"]["name"] for pod in pods})
        known = await self.gatherer.with_description(key, resource, known, now_seconds)
        known = self.recollections[key] = await self.gatherer.with_warnings(key, known, now_seconds)
        gpus = await self.gatherer.node_gpus(resource, now_seconds)
        self.loads.observe(key, pods)
        ready = [pod["metadata"]["name"] for pod in pods if is_ready(pod)]
        return self.gatherer.gathered(
            key,
            resource,
            known,
            load=self.loads.load(key, ready, now_seconds),
            misconfigured_pods=self.loads.misconfigured(key, now_seconds),
            load_is_new=self.loads.is_new(key, ready, now_seconds),
            node_gpus=gpus,
            corrections=await self.corrections.table(now_seconds),
        )

    async def _conclude(self, key: Key, gathered: Gathered, outcome: Outcome, refusals: tuple[Refusal, ...]) -> str:
        """Remember what the next round needs, and arrange for it."""
        known = self.recollections[key]
        before = gathered.refusals
        known = await self.gatherer.with_logs(key, known, outcome.wants_logs_of)
        known = await self.gatherer.with_start_log(key, known, outcome.wants_start_log_of)
        lesson = outcome.lesson
        if lesson is not None and lesson.pod not in known.learned_from:
            await self.corrections.take(lesson)
            known = replace(known, learned_from=known.learned_from | {lesson.pod})
        told = self.recollections[key]
        has_news = refusals != before or (known.log_tails, known.start_logs) != (told.log_tails, told.start_logs)
        generation = gathered.resource["metadata"]["generation"]
        self.recollections[key] = replace(known, memory=outcome.memory, refusals=refusals, generation=generation)
        if has_news:  # the status is to tell it now
            self.queue.add(key)
        elif refusals:
            self.queue.failed(key)
            return "refused"
        self.queue.succeeded(key)
        if outcome.look_again_seconds is not None:
            self.queue.add_after(key, outcome.look_again_seconds)
        return "refused" if refusals else "ok"

    def _observe(self, key: Key, outcome: Outcome) -> None:
        if outcome.decision is not None:
            self.telemetry.decided(key, outcome.decision)
        for deployment in self.store.of(key, kinds.DEPLOYMENT):
            self.telemetry.sized(key, deployment)

    async def _look_again(self, key: Key, error: Exception) -> str:
        """Read everything anew after a sign that what was known is stale."""
        self.telemetry.failed(type(error).__name__)
        try:
            await self.gatherer.refresh(key)
        except ApiError as failure:
            return self._retry(key, failure)
        self.queue.failed(key)
        return "stale"

    def _retry(self, key: Key, error: Exception) -> str:
        """Have the key return after its backoff, or after the time the API server asked for."""
        self.telemetry.failed(type(error).__name__)
        wait = error.retry_after_seconds if isinstance(error, UnavailableError) else None
        delay = self.queue.failed(key, at_least_seconds=wait or 0.0)
        log.warning("trying again in %.1f s: %s", delay, error, extra={"key": str(key)})
        return "error"

    def _forget(self, key: Key, *, gone: bool) -> None:
        """Stop scraping a BatchedLLM that is deleted or being deleted; drop all of it once it is gone."""
        self.loads.forget(key)
        self.queue.forget(key)
        if gone:
            self.recollections.pop(key, None)
            self.actor.notices.forget(key)
            self.telemetry.forget(key)
