"""The middleware in pods as the operator makes them: what it promises, and rolling restarts that lose nothing."""

import asyncio
import json
import os
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import requests
import yaml

from batchedllm.cli.render import rendered
from engine import abuse
from engine import admission_contract as contract
from testbed.errors import TestbedError

ROOT = Path(__file__).parents[2]
MOUNT = "/etc/batchedllm/admission"
CLIENTS = 12
MOST_BYTES_PER_CONNECTION = 40_000
"""Of the server's memory: uvicorn's protocol object, a socket's buffers in the kernel not counted."""
FEW_RESTARTS = {"sim": 3, "cpu": 1}
"""Each start of the real engine takes a minute of two cores; `make test-restarts` makes fifty."""

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.slow]


@dataclass(frozen=True)
class Engine:
    """An engine to hold the middleware before."""

    example: str
    image: str
    start_seconds: int


ENGINES = {
    "sim": Engine("simulated.yaml", "engine-sim", 300),
    "cpu": Engine("cpu.yaml", "engine-cpu", 600),
}


@dataclass
class Deployed:
    """One engine that serves."""

    cluster: object
    namespace: str
    name: str
    model: str
    address: str
    start_seconds: int

    def kubectl(self, *arguments: str, seconds: float = 60) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, timeout_seconds=seconds)

    def restart(self) -> None:
        """Replace every pod by a new one, and return when the old ones are gone."""
        self.kubectl("rollout", "restart", f"deployment/{self.name}")
        self.wait()
        end = time.monotonic() + 120
        while len(self.pods()) > 1:
            assert time.monotonic() < end, "the replaced pod is still there after its grace period"
            time.sleep(0.5)

    def wait(self) -> None:
        limit = f"--timeout={self.start_seconds}s"
        self.kubectl("rollout", "status", f"deployment/{self.name}", limit, seconds=self.start_seconds + 10)

    def pods(self) -> list[dict]:
        return json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]


def with_middleware(manifest: dict, max_num_seqs: int) -> dict:
    """Return a Deployment of the operator's with what the middleware needs: two flags, a variable and a mount."""
    pod = manifest["spec"]["template"]["spec"]
    container = pod["containers"][0]
    container["args"] = [one for one in container["args"] if not one.startswith(("--max-num-seqs", "--max-model-len"))]
    container["args"] += [f"--middleware={contract.MIDDLEWARE}", "--scheduling-policy=priority"]
    container["args"] += [f"--max-num-seqs={max_num_seqs}", "--max-model-len=2048"]
    container["env"].append({"name": "BATCHEDLLM_ADMISSION_CONFIG", "value": f"{MOUNT}/config.yaml"})
    container["volumeMounts"].append({"name": "admission", "mountPath": MOUNT, "readOnly": True})
    pod["volumes"].append({"name": "admission", "configMap": {"name": "admission"}})
    pod["terminationGracePeriodSeconds"] = 90
    return manifest


@pytest.fixture(scope="module")
def own_namespace(cluster):
    name = f"test-admission-{os.getpid()}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def one_at_a_time(engine: str):
    """Real engines wait for one another, for they take all cores while they start; the simulated one need not."""
    return pytest.param(engine, marks=pytest.mark.xdist_group("engine" if engine == "cpu" else "admission"))


@pytest.fixture(scope="module", params=map(one_at_a_time, ENGINES))
def deployed(request, cluster, own_namespace):
    """One replica of the operator's own Deployment of an example, with the middleware."""
    engine = ENGINES[request.param]
    with suppress(TestbedError):  # the nodes of a foreign cluster have it from a registry
        cluster.load_image(engine.image)
    resource = yaml.safe_load((ROOT / "examples" / engine.example).read_text())
    children = rendered(resource, own_namespace, "unused")
    files = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "admission"}, "data": contract.FILES}
    manifests = [
        with_middleware(child, contract.BATCH) if child["kind"] == "Deployment" else child
        for child in children
        if child["kind"] != "PodDisruptionBudget"
    ]
    cluster.kubectl("apply", "-n", own_namespace, "-f", "-", stdin=yaml.safe_dump_all([files, *manifests]))
    name = resource["metadata"]["name"]
    service = cluster.kubectl("get", "service", name, "-n", own_namespace, "-o", "jsonpath={.spec.clusterIP}")
    model = resource["spec"]["model"]["id"]
    one = Deployed(cluster, own_namespace, name, model, f"http://{service}:8000", engine.start_seconds)
    one.wait()
    yield one
    cluster.kubectl("delete", "deployment", name, "-n", own_namespace, "--wait=false")


def test_it_keeps_what_it_promises(deployed):
    asyncio.run(contract.hold(deployed.address, deployed.model))


def test_ten_thousand_connections_leave_others_served_and_memory_bounded(deployed):
    """Half of them say nothing, half of them never end their head; they are closed when their time is over."""
    abuse.allow_open_files(abuse.CONNECTIONS + 1000)

    async def try_it() -> None:
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(deployed.address, timeout=timeout) as session, AsyncExitStack() as stack:
            client = contract.Client(session, deployed.model)
            before = await abuse.memory_bytes(client)
            seen = await abuse.crowd(deployed.address, abuse.CONNECTIONS, stack)
            assert (await client.ask()).is_whole
            grown = await abuse.memory_bytes(client) - before
            print(f"{seen}, {grown / 2**20:.0f} MiB more")
            assert seen["open"] == abuse.CONNECTIONS, seen
            assert grown < MOST_BYTES_PER_CONNECTION * abuse.CONNECTIONS
        async with aiohttp.ClientSession(deployed.address, timeout=timeout) as session:
            assert (await contract.Client(session, deployed.model).ask()).is_whole

    asyncio.run(try_it())
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in deployed.pods()] == [0]


def test_whatever_its_description_lets_one_send_is_answered_or_refused(deployed):
    """The engine's own OpenAPI document is the source; the simulated engine has none."""
    answer = requests.get(f"{deployed.address}/openapi.json", timeout=30)
    if answer.status_code == 404:
        pytest.skip("this engine does not describe itself")
    tried = list(abuse.operations(answer.json()))
    assert {operation.path for operation, _ in tried} >= {"/v1/completions", "/v1/chat/completions", "/v1/models"}

    improper = [one for operation, mode in tried for one in abuse.improper(deployed.address, operation, mode)]

    assert improper == []

    async def ask() -> contract.Answer:
        async with aiohttp.ClientSession(deployed.address) as session:
            return await contract.Client(session, deployed.model).ask()

    assert asyncio.run(ask()).is_whole
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in deployed.pods()] == [0]


@dataclass
class Traffic:
    """What became of the requests of clients that never pause."""

    whole: int = 0
    refused: Counter = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    unreached: Counter = field(default_factory=Counter)
    restart: int = 0
    """Which one is under way."""
    since: float = field(default_factory=time.monotonic)
    """When it began."""

    def lose(self, what: str) -> None:
        """Take down a request that was lost, and when."""
        self.lost.append(f"restart {self.restart}, after {time.monotonic() - self.since:.1f} s: {what}")

    async def client(self, address: str, model: str, over: asyncio.Event) -> None:
        """One request after the other, each on a connection of its own, as the balancing of a Service needs it."""
        while not over.is_set():
            async with aiohttp.ClientSession(address, timeout=aiohttp.ClientTimeout(total=120)) as session:
                try:
                    answer = await contract.Client(session, model).ask(tokens=60)
                except aiohttp.ClientConnectorError as error:
                    self.unreached[type(error).__name__] += 1
                    await asyncio.sleep(0.2)
                except (aiohttp.ClientError, TimeoutError) as error:
                    self.lose(repr(error))
                else:
                    await self._note(answer)

    async def _note(self, answer: contract.Answer) -> None:
        if answer.is_whole:
            self.whole += 1
        elif answer.status == 503 and answer.code == "draining":
            self.refused[answer.code] += 1
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        else:
            self.lose(f"{answer.status} {answer.body[-200:]!r}")


async def restarts_under_load(deployed: Deployed, count: int) -> Traffic:
    traffic, over = Traffic(), asyncio.Event()
    crowd = [asyncio.create_task(traffic.client(deployed.address, deployed.model, over)) for _ in range(CLIENTS)]
    try:
        for traffic.restart in range(1, count + 1):
            traffic.since = time.monotonic()
            await asyncio.to_thread(deployed.restart)
    finally:
        over.set()
        await asyncio.gather(*crowd)
    return traffic


def test_rolling_restarts_under_load_lose_no_accepted_request(deployed, request):
    """RESTARTS=50 makes it as many. A request that was refused with 503 or found no server was not accepted."""
    engine = request.node.callspec.params["deployed"]
    count = int(os.environ.get("RESTARTS", FEW_RESTARTS[engine]))
    before = {pod["metadata"]["uid"] for pod in deployed.pods()}
    traffic = asyncio.run(restarts_under_load(deployed, count))
    print(f"{engine}: {count} restarts, {traffic}")
    assert traffic.lost == []
    assert traffic.whole > 10 * count
    assert not before & {pod["metadata"]["uid"] for pod in deployed.pods()}
