"""Holding the lease and giving it up, where the API server takes its time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from batchedllm.core import lease as election
from batchedllm.shell.api_errors import NotFoundError
from batchedllm.shell.lease import Leadership


class SlowServer:
    """One Lease behind an API server that answers a write when the test says so. Leaves out conflicts and watches."""

    def __init__(self) -> None:
        self.lease: Mapping[str, Any] | None = None
        self.writes = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def read(self, *_name) -> Mapping[str, Any]:
        if self.lease is None:
            raise NotFoundError("no such lease")
        return self.lease

    async def create(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self.replace(manifest)

    async def replace(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        self.writes += 1
        await self.may_answer.wait()
        metadata = {**manifest["metadata"], "resourceVersion": str(self.writes)}
        self.lease = {**manifest, "metadata": metadata}
        return self.lease


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch) -> None:
    monkeypatch.setattr(election, "RETRY_SECONDS", 0.0)


async def leader(server: SlowServer) -> Leadership:
    leadership = Leadership("here", "lease", "me", clock=lambda: 100.0)
    await leadership.acquire(server)
    return leadership


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for is a count, not an event
            await asyncio.sleep(0)


async def test_a_lease_that_is_given_up_during_a_slow_renewal_is_free_and_nobody_renews_it_again() -> None:
    server = SlowServer()
    leadership = await leader(server)
    holding = asyncio.create_task(leadership.hold(server))
    await until(lambda: server.writes >= 3)
    server.may_answer.clear()
    before = server.writes
    await until(lambda: server.writes > before)
    giving_up = asyncio.create_task(leadership.release(server))
    await asyncio.sleep(0)
    server.may_answer.set()
    await asyncio.wait_for(asyncio.gather(holding, giving_up), 5)

    assert not leadership.may_write()
    assert server.lease["spec"]["holderIdentity"] == ""
