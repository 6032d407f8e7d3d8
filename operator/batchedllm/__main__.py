"""The operator's process: puts the parts together, runs them while it leads, and ends in order.

Exit codes: 0 after SIGTERM or SIGINT; 1 when the lease or the watch is lost (the kubelet starts the
container again); 2 for settings or a kubeconfig that cannot be used.
"""

import asyncio
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Final

from batchedllm import handlers, settings
from batchedllm.catalogue import models
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Defaults
from batchedllm.shell import connection, health, http_server, logs, loop, scraping
from batchedllm.shell.act import Actor
from batchedllm.shell.cluster import Cluster
from batchedllm.shell.corrections import Corrections
from batchedllm.shell.gather import Gatherer
from batchedllm.shell.intake import Intake
from batchedllm.shell.key import Key
from batchedllm.shell.lease import Leadership, LeaseLostError
from batchedllm.shell.notices import NoticeBoard
from batchedllm.shell.resync import Resync
from batchedllm.shell.store import Store
from batchedllm.shell.telemetry import Telemetry
from batchedllm.shell.work_queue import WorkQueue

log = logging.getLogger("batchedllm")

FINISH_SECONDS: Final = 2.0
"""What reconciliations under way are given to finish before the lease is released."""


class Operator:
    """All parts of one process, made once, in the order in which they need each other."""

    def __init__(self, chosen: settings.Settings, configuration: connection.Connection) -> None:
        self.settings = chosen
        identity = f"{settings.pod_name(chosen)}_{secrets.token_hex(4)}"
        self.telemetry = Telemetry()
        self.leadership = Leadership(settings.lease_namespace(chosen), chosen.lease_name, identity)
        may_write = self.leadership.may_write if chosen.leader_election else lambda: True
        self.configuration = configuration
        self.cluster = Cluster(configuration, may_write=may_write, observe=self.telemetry.called)
        self.store = Store()
        self.queue: WorkQueue[Key] = WorkQueue()
        self.intake = Intake(self.store, self.queue, self.telemetry)
        self.resync = Resync(
            self.cluster, self.store, self.queue, self.telemetry, chosen.namespaces, chosen.resync_seconds
        )
        self.heartbeat = health.Heartbeat(self.telemetry)
        self.notices = NoticeBoard(self.cluster, identity, time.monotonic)
        self.workers: list[asyncio.Task[None]] = []

    async def run(self, stop: asyncio.Event, take_back_signals: Callable[[], None]) -> None:
        """Serve the endpoints, wait for the lease, and work until `stop` is set.

        Raises LeaseLostError or WatchEndedError (in an ExceptionGroup) when the process has to end.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.cluster.close)
            runner = await self._endpoints().start(self.settings.listen_host, self.settings.listen_port)
            stack.push_async_callback(runner.cleanup)
            log.info("serving /healthz, /readyz and /metrics on %s", runner.addresses[0])
            work = asyncio.create_task(self._lead(stack, take_back_signals))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not work.done():
                log.info("stopping")
                await self._hand_over()
                work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    async def _lead(self, stack: AsyncExitStack, take_back_signals: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.heartbeat.run())
            if self.settings.leader_election:
                await self.leadership.acquire(self.cluster)
                group.create_task(self.leadership.hold(self.cluster))
            self.telemetry.leads(leading=True)
            await self.resync.prime()
            work = await self._loop(stack)
            self.workers = [group.create_task(work.work()) for _ in range(loop.WORKERS)]
            group.create_task(self.resync.run())
            login = partial(connection.watch_credentials, self.configuration)
            group.create_task(handlers.watch(self.intake, login, self.settings.namespaces, take_back_signals))

    async def _loop(self, stack: AsyncExitStack) -> loop.Loop:
        scraper = await scraping.open_scraper(stack, self.settings, self.cluster, self.telemetry, self.queue.add)
        self.telemetry.observe_queue(lambda: self.queue.length, self.queue.oldest_seconds)
        self.telemetry.observe_resources(self.store.resources)
        return loop.Loop(
            queue=self.queue,
            store=self.store,
            gatherer=Gatherer(self.cluster, self.store),
            actor=Actor(self.cluster, self.store, self.notices),
            loads=scraper,
            corrections=Corrections(self.cluster, self.leadership.namespace),
            telemetry=self.telemetry,
            defaults=Defaults(engine_image=self.settings.engine_image, catalogue=models()),
            reconcile=reconcile,
        )

    async def _hand_over(self) -> None:
        """Finish or abandon what is under way, then let a standby lead at once."""
        self.queue.close()
        if self.workers:
            await asyncio.wait(self.workers, timeout=FINISH_SECONDS)
        await self.leadership.release(self.cluster)

    def _endpoints(self) -> http_server.Endpoints:
        checks = (
            self.heartbeat.check,
            health.queue_moves(self.queue.oldest_seconds),
            health.watch_speaks(lambda: self.resync.missed_in_a_row),
        )
        return http_server.Endpoints(health.Health(checks), self.telemetry, lambda: self.cluster.has_answered)


async def run(chosen: settings.Settings) -> int:
    """Run the operator to its end; return the exit code."""
    try:
        configuration = await connection.load(chosen.kubeconfig, chosen.context)
    except connection.NoClusterError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return 2
    stop = asyncio.Event()

    def take_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

    take_signals()
    try:
        await Operator(chosen, configuration).run(stop, take_signals)
    except (ExceptionGroup, OSError) as error:
        _tell(error)
        return 1
    return 0


def _tell(error: Exception) -> None:
    """Log why the process ends; where several tasks failed, each of the reasons."""
    if isinstance(error, ExceptionGroup):
        for one in error.exceptions:
            _tell(one)
    else:
        expected = isinstance(error, LeaseLostError | handlers.WatchEndedError | OSError)
        log.error("the operator ends: %s", error, exc_info=None if expected else error)


def main(arguments: Sequence[str]) -> int:
    """Read the settings, set up the logs, run."""
    try:
        chosen = settings.load(arguments, os.environ)
    except settings.SettingError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there are no logs yet
        return 2
    logs.set_up(chosen.log_level, chosen.log_format)
    return asyncio.run(run(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
