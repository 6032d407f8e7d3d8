"""Reading nodes' GPU exporters: one scrape a node, only while it is needed; and where the exporters are found.

The exporters are functions: what a real one's text looks like is tested in `core/test_dcgm.py`, over a real connection
in `tests/cluster/test_operator_gpu_metrics.py`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from batchedllm.shell import dcgm
from batchedllm.shell.api_errors import RefusedError, UnavailableError
from batchedllm.shell.dcgm import NodeExporters
from batchedllm.shell.dcgm_pods import LOOK_AGAIN_SECONDS, LOOK_SECONDS, ExporterPods, exporters
from batchedllm.shell.scrape import ScrapeError, Target
from batchedllm.shell.scraping import targets_of

pytestmark = pytest.mark.asyncio
INTERVAL = 0.02


def engine(pod: str, node: str = "n1", namespace: str = "models") -> Target:
    return Target(namespace, pod, "10.0.0.1", node=node)


class Cluster:
    """Nodes with an exporter each, that say what the test wants."""

    def __init__(self) -> None:
        self.percents: dict[str, float] = {"llama-1": 80.0, "llama-2": 60.0}
        self.error: Exception | None = None
        self.nodes = {"n1", "n2"}
        self.asked: Counter[str] = Counter()
        self.looked_again = 0
        self.failures: Counter[str] = Counter()

    async def find(self, look_again: bool) -> Mapping[str, Target]:
        self.looked_again += look_again
        return {node: Target("gpu-operator", f"exporter-{node}", "10.0.1.1", 9400) for node in self.nodes}

    async def fetch(self, target: Target) -> str:
        self.asked[target.pod] += 1
        if self.error is not None:
            raise self.error
        lines = (f'DCGM_FI_DEV_GPU_UTIL{{namespace="models",pod="{pod}"}} {one}' for pod, one in self.percents.items())
        return "\n".join(lines)

    def scraped(self, _node: str, _pod: str, _seconds: float) -> None: ...

    def failed(self, _node: str, _pod: str, reason: str) -> None:
        self.failures[reason] += 1


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - watched from outside, as its users do
            await asyncio.sleep(INTERVAL / 4)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def gpus(cluster: Cluster) -> AsyncIterator[NodeExporters]:
    made = NodeExporters(cluster.fetch, cluster.find, interval_seconds=INTERVAL, time_cap_seconds=1, observer=cluster)
    yield made
    await made.close()


async def test_a_pods_gpus_are_known_once_its_node_was_read(gpus: NodeExporters) -> None:
    assert gpus.utilization_percent(engine("llama-1")) is None

    await until(lambda: gpus.utilization_percent(engine("llama-1")) == 80.0)


async def test_of_a_pod_that_the_exporter_does_not_know_nothing_is_known(gpus: NodeExporters) -> None:
    await until(lambda: gpus.utilization_percent(engine("llama-1")))

    assert gpus.utilization_percent(engine("other")) is None
    assert gpus.utilization_percent(engine("llama-1", namespace="elsewhere")) is None


async def test_many_pods_of_one_node_cost_one_scrape_per_interval(gpus: NodeExporters, cluster: Cluster) -> None:
    pods = [engine(f"llama-{number}") for number in range(50)]

    def ask() -> bool:
        return len([gpus.utilization_percent(pod) for pod in pods]) > 0 and cluster.asked["exporter-n1"] >= 3

    started = asyncio.get_running_loop().time()
    await until(ask)
    intervals = (asyncio.get_running_loop().time() - started) / INTERVAL

    assert cluster.asked["exporter-n1"] <= intervals + 1
    assert cluster.asked["exporter-n2"] == 0


async def test_a_node_that_nobody_asks_about_is_read_no_more(
    gpus: NodeExporters, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "_unasked_seconds", 2 * INTERVAL)
    await until(lambda: gpus.utilization_percent(engine("llama-1")))

    await until(lambda: not gpus._nodes)
    await until(lambda: gpus.utilization_percent(engine("llama-1")))  # and again when somebody does


async def test_an_exporter_that_falls_silent_leaves_the_value_unknown_and_is_looked_for_again(
    gpus: NodeExporters, cluster: Cluster
) -> None:
    await until(lambda: gpus.utilization_percent(engine("llama-1")))

    cluster.error = ScrapeError("connection", "refused")
    await until(lambda: gpus.utilization_percent(engine("llama-1")) is None)

    await until(lambda: cluster.failures["connection"] and cluster.looked_again)
    assert gpus.utilization_percent(engine("llama-1")) is None


async def test_one_scrape_that_fails_leaves_what_the_one_before_it_read(cluster: Cluster) -> None:
    now_seconds = 100.0
    gpus = NodeExporters(
        cluster.fetch, cluster.find, interval_seconds=INTERVAL, observer=cluster, clock=lambda: now_seconds
    )
    await until(lambda: gpus.utilization_percent(engine("llama-1")))
    cluster.error = ScrapeError("connection", "refused")
    await until(lambda: cluster.failures["connection"])

    now_seconds += (dcgm.STALE_AFTER_SCRAPES - 0.1) * INTERVAL
    assert gpus.utilization_percent(engine("llama-1")) == 80.0
    now_seconds += 0.2 * INTERVAL
    assert gpus.utilization_percent(engine("llama-1")) is None
    await gpus.close()


async def test_a_fault_of_ours_is_counted_and_does_not_end_the_reading(
    gpus: NodeExporters, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.error = ValueError("surprise")
    gpus.utilization_percent(engine("llama-1"))
    await until(lambda: cluster.failures["bug"])

    cluster.error = None
    await until(lambda: gpus.utilization_percent(engine("llama-1")) == 80.0)


async def test_a_slow_exporter_is_given_up_for_this_time(cluster: Cluster) -> None:
    async def never(_: Target) -> str:
        return await asyncio.Event().wait() or ""

    slow = NodeExporters(never, cluster.find, interval_seconds=INTERVAL, time_cap_seconds=INTERVAL, observer=cluster)
    slow.utilization_percent(engine("llama-1"))
    await until(lambda: cluster.failures["timeout"])
    await slow.close()


async def test_on_a_node_without_an_exporter_nothing_is_asked_nor_failed(gpus: NodeExporters, cluster: Cluster) -> None:
    cluster.nodes = {"n2"}
    gpus.utilization_percent(engine("llama-1"))
    await asyncio.sleep(3 * INTERVAL)

    assert gpus.utilization_percent(engine("llama-1")) is None
    assert not cluster.asked
    assert not cluster.failures


def pod(name: str, node: str = "n1", *, ports=None, made: str = "2026-01-01T00:00:00Z", **status) -> dict:
    return {
        "metadata": {"name": name, "namespace": "gpu-operator", "creationTimestamp": made},
        "spec": {"nodeName": node, "containers": [{"name": "exporter", **({"ports": ports} if ports else {})}]},
        "status": {"phase": "Running", "podIP": "10.0.1.1", **status},
    }


@pytest.mark.parametrize(
    ("ports", "port"),
    [
        (None, 9400),
        ([{"containerPort": 9401}], 9401),
        ([{"containerPort": 8080, "name": "health"}, {"containerPort": 9500, "name": "metrics"}], 9500),
    ],
)
async def test_an_exporter_is_asked_where_it_says_that_its_metrics_are(ports, port: int) -> None:
    assert exporters([pod("a", ports=ports)])["n1"].port == port


async def test_only_running_exporters_count_and_of_two_on_a_node_the_older() -> None:
    late = pod("a-late", made="2026-01-02T00:00:00Z")
    going = pod("going", "n2")
    going["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"

    found = exporters([late, pod("z-old"), going, pod("pending", "n3", phase="Pending"), pod("new", "n4", podIP="")])

    assert {node: target.pod for node, target in found.items()} == {"n1": "z-old"}


class Lister:
    """The API server's list of pods."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str]] = []
        self.error: Exception | None = None

    async def list(self, _kind, namespace: str | None, labelSelector: str):  # noqa: N803 - as the API server calls it
        self.asked.append((namespace, labelSelector))
        if self.error is not None:
            raise self.error
        return ([pod("a")] if labelSelector.startswith("app=") else []), 1


async def test_exporters_are_listed_by_either_label_and_seldom() -> None:
    now, lister = [0.0], Lister()
    pods = ExporterPods(lister, "gpu-operator", clock=lambda: now[0])
    await asyncio.gather(*(pods.find() for _ in range(5)))
    now[0] = LOOK_SECONDS - 1

    assert (await pods.find())["n1"].pod == "a"
    assert lister.asked == [
        ("gpu-operator", "app.kubernetes.io/name=dcgm-exporter"),
        ("gpu-operator", "app=nvidia-dcgm-exporter"),
    ]
    await pods.find(look_again=True)
    now[0] += LOOK_AGAIN_SECONDS
    await pods.find()
    assert len(lister.asked) == 4


async def test_without_a_namespace_all_are_looked_through() -> None:
    lister = Lister()
    await ExporterPods(lister, "").find()

    assert {namespace for namespace, _ in lister.asked} == {None}


async def test_who_may_not_list_pods_there_knows_no_exporters_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now, lister = [0.0], Lister()
    lister.error = RefusedError("pods is forbidden")
    pods = ExporterPods(lister, "", clock=lambda: now[0])
    with caplog.at_level("INFO"):
        assert await pods.find() == {}
        now[0] += LOOK_SECONDS
        assert await pods.find() == {}

    assert len(caplog.records) == 1
    assert "pods is forbidden" in caplog.text


async def test_what_was_found_is_kept_while_the_api_server_is_away() -> None:
    now, lister = [0.0], Lister()
    pods = ExporterPods(lister, "", clock=lambda: now[0])
    await pods.find()
    lister.error, now[0] = UnavailableError("no answer"), LOOK_SECONDS

    assert (await pods.find())["n1"].pod == "a"


@pytest.mark.parametrize(
    ("limits", "node"),
    [({"nvidia.com/gpu": "1"}, "n1"), ({"nvidia.com/mig-1g.10gb": "1"}, "n1"), ({"memory": "1Gi"}, ""), (None, "")],
)
async def test_only_pods_with_nvidias_gpus_have_a_node_to_ask_about(limits, node: str) -> None:
    one = pod("llama-1")
    one["spec"]["containers"][0]["resources"] = {"limits": limits} if limits else {}

    assert targets_of([one])[0].node == node
