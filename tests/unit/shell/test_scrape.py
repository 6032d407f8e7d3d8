"""The scraper: pods come and go, one slow pod delays nobody, and the reconciliation is woken when it matters.

The event loop's own time is used, at intervals of hundredths of a second; no test waits for luck, each waits for what
it asserts, under a deadline.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from batchedllm.shell.scrape import Key, ScrapeError, Scraper, Target
from batchedllm.shell.scrape_wake import SHORTEST_SECONDS

pytestmark = pytest.mark.asyncio
KEY = "default/llama"
INTERVAL = 0.02


def body(queue: float = 0.0, running: float = 0.0, tokens: float = 0.0) -> str:
    return (
        f"vllm:num_requests_waiting {queue}\nvllm:num_requests_running {running}\nvllm:kv_cache_usage_perc 0.1\n"
        f"vllm:prompt_tokens_total {tokens}\nvllm:generation_tokens_total {tokens}\nvllm:num_preemptions_total 0\n"
    )


class Pods:
    """Engines that answer what the test wants them to, and count how often they were asked."""

    def __init__(self) -> None:
        self.bodies: dict[str, str] = {}
        self.slow: set[str] = set()
        self.errors: dict[str, Exception] = {}
        self.asked: Counter[str] = Counter()

    async def fetch(self, target: Target) -> str:
        self.asked[target.pod] += 1
        if target.pod in self.slow:
            await asyncio.Event().wait()
        if target.pod in self.errors:
            raise self.errors[target.pod]
        return self.bodies.get(target.pod, body())


class Seen:
    """What telemetry and the work queue hear."""

    def __init__(self) -> None:
        self.good: Counter[str] = Counter()
        self.bad: Counter[tuple[str, str]] = Counter()
        self.woken: list[Key] = []

    def scraped(self, _key: Key, pod: str, _seconds: float) -> None:
        self.good[pod] += 1

    def failed(self, _key: Key, pod: str, reason: str) -> None:
        self.bad[pod, reason] += 1


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the scraper is watched from outside, as its users do
            await asyncio.sleep(INTERVAL / 4)


def targets(*pods: str) -> list[Target]:
    return [Target("default", pod, "10.0.0.1") for pod in pods]


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def scraper(pods: Pods, seen: Seen) -> AsyncIterator[Scraper]:
    made = Scraper(
        pods.fetch,
        on_change=seen.woken.append,
        interval_seconds=INTERVAL,
        time_cap_seconds=INTERVAL,
        observer=seen,
        jitter=lambda: 0.0,
    )
    yield made
    await made.close()


async def test_what_the_pods_say_becomes_the_load(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    pods.bodies |= {"a": body(3, 8), "b": body(1, 4)}
    scraper.set_targets(KEY, targets("a", "b"))
    assert scraper.load(KEY, ["a", "b"], time.monotonic()) is None

    await until(lambda: seen.good["a"] and seen.good["b"])
    load = scraper.load(KEY, ["a", "b"], time.monotonic())

    assert load is not None
    assert (load.queue_depth_total, load.running_total, load.silent_pods) == (4.0, 12.0, ())


async def test_pods_come_and_go_without_disturbing_the_others(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    scraper.set_targets(KEY, targets("a", "b"))
    await until(lambda: seen.good["a"] and seen.good["b"])
    task = scraper._models[KEY].tasks[targets("a")[0]]

    scraper.set_targets(KEY, targets("a", "c"))
    await until(lambda: seen.good["c"])
    asked = pods.asked["b"]
    await until(lambda n=seen.good["a"]: seen.good["a"] > n + 3)

    assert pods.asked["b"] == asked
    assert scraper._models[KEY].tasks[targets("a")[0]] is task
    load = scraper.load(KEY, ["b"], time.monotonic())
    assert load is None


async def test_a_pod_with_a_new_address_is_asked_there(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    scraper.set_targets(KEY, [Target("default", "a", "10.0.0.1")])
    scraper.set_targets(KEY, [Target("default", "a", "10.0.0.2")])

    assert [target.address for target in scraper._models[KEY].tasks] == ["10.0.0.2"]


async def test_one_pod_that_never_answers_delays_none_of_fifty(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    names = [f"pod-{n}" for n in range(50)]
    pods.slow = {"pod-0"}
    scraper.set_targets(KEY, targets(*names))

    await until(lambda: all(seen.good[name] >= 3 for name in names[1:]) and seen.bad["pod-0", "timeout"] >= 2)
    load = scraper.load(KEY, names, time.monotonic())

    assert load is not None
    assert "pod-0" in load.silent_pods
    assert load.reporting_replicas > 40


@pytest.mark.parametrize(
    ("error", "reason"), [(ScrapeError("http_status", "500"), "http_status"), (RuntimeError("unforeseen"), "bug")]
)
async def test_failures_are_counted_by_reason_and_the_pod_is_asked_again(
    scraper: Scraper, pods: Pods, seen: Seen, error: Exception, reason: str
) -> None:
    pods.errors["a"] = error
    scraper.set_targets(KEY, targets("a"))
    await until(lambda: seen.bad["a", reason] >= 2)

    pods.errors.clear()

    await until(lambda: seen.good["a"])


async def test_the_whole_garbage_of_a_pod_makes_it_silent_and_nothing_fails(
    scraper: Scraper, pods: Pods, seen: Seen
) -> None:
    pods.bodies["a"] = "<html>\x00{}}{ vllm:num_requests_waiting{"
    scraper.set_targets(KEY, targets("a"))
    await until(lambda: seen.good["a"] >= 2)

    load = scraper.load(KEY, ["a"], time.monotonic())

    assert load is not None
    assert (load.silent_pods, load.queue_depth_total, seen.bad) == (("a",), None, Counter())


async def test_at_rest_nobody_is_woken(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    scraper.set_targets(KEY, targets("a", "b"))
    await until(lambda: seen.good["a"] >= 2 and seen.good["b"] >= 2)
    await until(lambda: not scraper._waker._timers)
    woken = len(seen.woken)

    await until(lambda n=seen.good["a"]: seen.good["a"] > n + 20)

    assert (woken <= 2, len(seen.woken)) == (True, woken)


async def test_the_load_is_new_until_each_ready_pod_was_read_twice(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    began = time.monotonic()
    scraper.set_targets(KEY, targets("a", "b"))
    assert scraper.is_new(KEY, ["a", "b"], began)

    await until(lambda: seen.good["a"] >= 2 and seen.good["b"] >= 2)

    assert not scraper.is_new(KEY, ["a", "b"], began)


async def test_the_load_is_not_new_for_ever_where_a_pod_never_answers(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    pods.errors["a"] = ScrapeError("connection", "refused")
    scraper.set_targets(KEY, targets("a"))
    began = time.monotonic()

    assert scraper.is_new(KEY, ["a"], began)
    assert not scraper.is_new(KEY, ["a"], began + 4 * INTERVAL)
    assert not scraper.is_new(KEY, [], began)
    assert not scraper.is_new("default/other", ["a"], began)


async def test_the_second_reading_of_an_idle_pod_wakes_too_because_it_tells_the_rates(pods: Pods, seen: Seen) -> None:
    slow = Scraper(
        pods.fetch,
        on_change=seen.woken.append,
        interval_seconds=2 * SHORTEST_SECONDS,
        jitter=lambda: 0.0,
        observer=seen,
    )
    slow.set_targets(KEY, targets("a"))
    await until(lambda: seen.good["a"] >= 3)
    await slow.close()

    assert seen.woken == [KEY, KEY]


async def test_a_rising_queue_wakes_the_reconciliation_with_the_scrape_that_sees_it(
    scraper: Scraper, pods: Pods, seen: Seen
) -> None:
    scraper.set_targets(KEY, targets("a"))
    await until(lambda: seen.good["a"] >= 2)
    await until(lambda: time.monotonic() - scraper._waker._last[KEY] > SHORTEST_SECONDS)
    woken = len(seen.woken)

    pods.bodies["a"] = body(41, 8)
    asked = pods.asked["a"]
    await until(lambda: len(seen.woken) > woken)

    assert pods.asked["a"] <= asked + 2
    assert set(seen.woken) == {KEY}


async def test_under_load_the_calls_go_on_but_are_coalesced(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    names = [f"pod-{n}" for n in range(20)]
    pods.bodies |= {name: body(n, 8) for n, name in enumerate(names)}
    scraper.set_targets(KEY, targets(*names))
    await until(lambda: seen.good["pod-0"])
    began, woken = time.monotonic(), len(seen.woken)

    await until(lambda: len(seen.woken) >= woken + 3)

    assert (len(seen.woken) - woken) <= (time.monotonic() - began) / INTERVAL + 1


async def test_load_that_ends_wakes_once_more_so_that_replicas_can_go(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    pods.bodies["a"] = body(0, 8)
    scraper.set_targets(KEY, targets("a"))
    await until(lambda: seen.woken)
    pods.bodies["a"] = body(0, 0)
    now = seen.good["a"]
    await until(lambda: seen.good["a"] > now + 1)
    woken = len(seen.woken)

    await until(lambda: len(seen.woken) > woken)


async def test_a_pod_that_falls_silent_and_comes_back_wakes_both_times(
    scraper: Scraper, pods: Pods, seen: Seen
) -> None:
    scraper.set_targets(KEY, targets("a"))
    await until(lambda: seen.good["a"])
    await until(lambda: time.monotonic() - scraper._waker._last[KEY] > SHORTEST_SECONDS)

    def silent() -> tuple[str, ...] | None:
        load = scraper.load(KEY, ["a"], time.monotonic())
        return None if load is None else load.silent_pods

    woken = len(seen.woken)
    pods.errors["a"] = ScrapeError("connection", "refused")
    await until(lambda: silent() == ("a",) and len(seen.woken) > woken)

    woken = len(seen.woken)
    pods.errors.clear()
    await until(lambda: silent() == () and len(seen.woken) > woken)


async def test_a_reconciliation_that_cannot_be_queued_does_not_end_the_scraping(pods: Pods, seen: Seen) -> None:
    def broken(_: Key) -> None:
        raise RuntimeError("queue closed")

    scraper = Scraper(pods.fetch, on_change=broken, interval_seconds=INTERVAL, observer=seen, jitter=lambda: 0.0)
    scraper.set_targets(KEY, targets("a"))

    await until(lambda: seen.good["a"] >= 3)

    assert seen.bad["a", "bug"] >= 1
    await scraper.close()


async def test_a_forgotten_model_is_not_asked_any_more_and_leaves_no_task(
    scraper: Scraper, pods: Pods, seen: Seen
) -> None:
    scraper.set_targets(KEY, targets("a"))
    scraper.set_targets("default/other", targets("b"))
    await until(lambda: seen.good["a"] and seen.good["b"])
    task = scraper._models[KEY].tasks[targets("a")[0]]

    scraper.forget(KEY)
    await until(task.done)

    assert scraper.load(KEY, ["a"], time.monotonic()) is None
    assert list(scraper.ages_seconds(time.monotonic())) == ["default/other"]


async def test_closing_ends_every_task(pods: Pods, seen: Seen) -> None:
    pods.slow = {"a"}
    scraper = Scraper(pods.fetch, on_change=seen.woken.append, jitter=lambda: 0.0)
    scraper.set_targets(KEY, targets("a", "b"))
    tasks = list(scraper._models[KEY].tasks.values())
    await until(lambda: pods.asked["a"])

    await scraper.close()

    assert all(task.done() for task in tasks)


async def test_ages_tell_the_pod_heard_of_least(scraper: Scraper, pods: Pods, seen: Seen) -> None:
    pods.slow = {"b"}
    scraper.set_targets(KEY, targets("a", "b"))
    await until(lambda: seen.good["a"])
    assert scraper.ages_seconds(time.monotonic()) == {KEY: float("inf")}

    scraper.set_targets(KEY, targets("a"))
    assert 0 <= scraper.ages_seconds(time.monotonic())[KEY] < 5


async def test_a_hundred_new_pods_are_spread_over_the_interval(pods: Pods, seen: Seen) -> None:
    shares = iter(n / 100 for n in range(100))
    starts: list[float] = []

    async def fetch(_: Target) -> str:
        starts.append(asyncio.get_running_loop().time())
        return body()

    scraper = Scraper(fetch, on_change=seen.woken.append, interval_seconds=0.5, jitter=lambda: next(shares))
    scraper.set_targets(KEY, targets(*(f"pod-{n}" for n in range(100))))
    await until(lambda: len(starts) >= 100)
    await scraper.close()

    assert starts[99] - starts[0] > 0.4


class Nodes:
    """What the exporter of a node says of the pods there."""

    def utilization_percent(self, target: Target) -> float | None:
        return {"a": 75.0}.get(target.pod)


@pytest.mark.parametrize(
    ("pod", "node", "said", "found"),
    [
        ("a", "n1", "", (75.0, "dcgm-exporter")),
        ("a", "n1", "DCGM_FI_DEV_GPU_UTIL 20\n", (20.0, "engine")),
        ("b", "n1", "", (None, "none")),
        ("a", "", "", (None, "none")),
    ],
    ids=["the node tells", "the engine comes first", "the node does not know the pod", "the pod has no GPU"],
)
async def test_the_node_is_asked_for_what_the_engine_does_not_tell_of_its_gpus(
    pods: Pods, pod: str, node: str, said: str, found: tuple[float | None, str]
) -> None:
    made = Scraper(
        pods.fetch, on_change=lambda _: None, interval_seconds=INTERVAL, node_gpus=Nodes(), jitter=lambda: 0.0
    )
    pods.bodies[pod] = body() + said
    made.set_targets(KEY, [Target("default", pod, "10.0.0.1", node=node)])
    await until(lambda: made.load(KEY, [pod], time.monotonic()))
    load = made.load(KEY, [pod], time.monotonic())
    await made.close()

    assert load is not None
    assert (load.gpu_utilization_percent_mean, load.gpu_metrics_source) == found


async def test_a_pod_that_cannot_use_its_admission_files_is_told_of_at_once_ready_or_not(
    scraper: Scraper, pods: Pods, seen: Seen
) -> None:
    scraper.set_targets(KEY, targets("a"))
    await until(lambda: seen.good["a"] > 3)
    assert scraper.misconfigured(KEY, time.monotonic()) == ()
    seen.woken.clear()

    pods.bodies["a"] = body() + "batchedllm_engine:admission_configuration_valid 0\n"
    await until(lambda: seen.woken)

    assert scraper.misconfigured(KEY, time.monotonic()) == ("a",)
    assert scraper.misconfigured("default/other", time.monotonic()) == ()
