"""What the middleware promises before any engine, as checks of a running one: the real vLLM and the simulated alike.

`CONFIGURATION` gives each limit a class of its own, so that one engine is enough for all of them.
"""

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

MIDDLEWARE = "batchedllm_engine.middleware.AdmissionMiddleware"
KEY = "the-key-of-this-test"
BATCH = 8
"""`--max-num-seqs` of the engine: what comes beyond it waits in the engine's own queue."""
CONFIGURATION: dict[str, Any] = {
    "classes": [
        {"name": "high", "rank": -10},
        {"name": "normal", "rank": 0, "default": True},
        {"name": "low", "rank": 10},
        {"name": "rare", "rank": 20, "limits": {"requestsPerMinute": 2}},
        {"name": "narrow", "rank": 30, "limits": {"runningRequests": 1, "queuedRequests": 1, "queueSeconds": 1}},
        {"name": "brief", "rank": 40, "limits": {"requestSeconds": 0.5, "outputTokens": 1900}},
        {"name": "members", "rank": 50, "keyOnly": True},
    ],
    "limits": {"runningRequests": 64, "queuedRequests": 256},
    "bodies": {"maxBytes": 100_000, "seconds": 2},
    "drain": {"seconds": 45, "exitSeconds": 30},
    "extraEndpoints": ["GET /openapi.json"],
    "apiKeys": {"file": "/etc/batchedllm/admission/keys.yaml", "required": False},
}
KEYS = {"keys": [{"name": "test", "key": KEY, "class": "members"}]}
FILES = {"config.yaml": yaml.safe_dump(CONFIGURATION), "keys.yaml": yaml.safe_dump(KEYS)}
LONG = 1500
"""Output tokens of a request that takes seconds on any engine."""


@dataclass(frozen=True)
class Answer:
    """What came back of one request, and when."""

    status: int
    body: bytes
    headers: dict[str, str]
    began: float
    first: float
    ended: float

    @property
    def code(self) -> str:
        """OpenAI's code of an error, also of one that ended a stream."""
        text = self.body.decode().strip().rpartition("data: ")[2]
        error = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        return str(error["code"])

    @property
    def is_whole(self) -> bool:
        """Whether a stream came to its end."""
        return self.status == 200 and self.body.endswith(b"data: [DONE]\n\n")


class Client:
    """Sends requests to one engine."""

    def __init__(self, session: aiohttp.ClientSession, model: str) -> None:
        self.session = session
        self.model = model

    async def ask(self, service_class: str | None = None, tokens: int = 8, **fields: Any) -> Answer:
        """Stream a completion of exactly so many tokens."""
        headers = {**fields.pop("headers", {})}
        if service_class is not None:
            headers["x-batchedllm-priority"] = service_class
        body = {"model": self.model, "prompt": "hello", "max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}
        began = time.monotonic()
        sent = {**body, "stream": True, **fields}
        async with self.session.post("/v1/completions", json=sent, headers=headers) as answer:
            pieces, first = [], 0.0
            async for piece in answer.content.iter_any():
                first = first or time.monotonic()
                pieces.append(piece)
            whole = b"".join(pieces)
            return Answer(answer.status, whole, dict(answer.headers), began, first, time.monotonic())

    async def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return every sample of the middleware's and of vLLM's running requests."""
        async with self.session.get("/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            if family.name.startswith(("batchedllm_engine:admission", "vllm:num_requests"))
            for sample in family.samples
        }

    async def value(self, name: str, **labels: str) -> float:
        """Return a metric of the middleware; 0 where there is none."""
        wanted = frozenset(labels.items())
        found = await self.metrics()
        return found.get((f"batchedllm_engine:admission_{name}", wanted), 0.0)

    async def waiting_in_engine(self) -> float:
        """Return how many requests the engine has not begun."""
        return sum(value for (name, _), value in (await self.metrics()).items() if name == "vllm:num_requests_waiting")


async def no_client_sets_its_own_priority(client: Client) -> None:
    """Low requests that claim the highest priority in body and header are begun after high ones that claim nothing."""
    busy = [asyncio.create_task(client.ask("normal", LONG)) for _ in range(BATCH)]
    await _until_running(client, BATCH)
    claims = {"priority": -1000, "headers": {"X-Vllm-Priority": "-1000"}}
    low = [asyncio.create_task(client.ask("low", LONG // 10, **claims)) for _ in range(BATCH)]
    await _until(client.waiting_in_engine, BATCH)
    high = [asyncio.create_task(client.ask("high", LONG // 10, priority=1000)) for _ in range(BATCH)]
    answers = [await asyncio.gather(*tasks) for tasks in (busy, low, high)]
    assert all(one.is_whole for group in answers for one in group)
    _, of_low, of_high = answers
    assert max(one.first for one in of_high) <= min(one.first for one in of_low)


async def rates_answer_429(client: Client) -> None:
    """The third request within a minute of a class that may have two."""
    answers = [await client.ask("rare") for _ in range(3)]
    assert [one.status for one in answers] == [200, 200, 429]
    assert answers[2].code == "request_rate"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 30


async def overload_answers_503(client: Client) -> None:
    """One runs, one waits a second and leaves, and one finds the queue full."""
    running = asyncio.create_task(client.ask("narrow", LONG))
    await _until(lambda: client.value("running_requests", **{"class": "narrow"}), 1)
    waiting = asyncio.create_task(client.ask("narrow"))
    await _until(lambda: client.value("queued_requests", **{"class": "narrow"}), 1)
    full, expired, served = await client.ask("narrow"), await waiting, await running
    assert (full.status, full.code, expired.status, expired.code) == (503, "queue_full", 503, "queue_time")
    assert int(full.headers["Retry-After"]) >= 1
    assert int(expired.headers["Retry-After"]) >= 1
    assert expired.ended - expired.began > 0.9
    assert served.is_whole
    assert await client.value("rejections_total", **{"class": "narrow", "reason": "queue_time"}) == 1


async def time_and_deadline_answer_504(client: Client) -> None:
    """A stream that has begun ends with an event that says why, and the engine works on it no more."""
    cut = await client.ask("brief", LONG)
    assert (cut.status, cut.code) == (200, "request_time")
    late = await client.ask("low", LONG, stream=False, headers={"x-batchedllm-deadline-seconds": "0.3"})
    assert (late.status, late.code) == (504, "deadline")
    assert late.ended - late.began < 3
    assert (await client.ask("brief", 1901)).code == "output_tokens"
    await _until(lambda: client.value("running_requests", **{"class": "low"}), 0)


async def classes_and_keys_are_checked(client: Client) -> None:
    """Unknown classes are named the known; a class of keys needs one; a wrong key is no key."""
    unknown = await client.ask("top")
    assert (unknown.status, unknown.code) == (400, "bad_class")
    assert b"high, normal, low, rare, narrow, brief, members" in unknown.body
    assert (await client.ask("members")).status == 400
    assert (await client.ask(headers={"Authorization": "Bearer wrong"})).status == 401
    assert (await client.ask(headers={"Authorization": f"Bearer {KEY}"})).is_whole
    assert await client.value("requests_total", **{"class": "members", "outcome": "served"}) == 1


async def other_endpoints_are_not_there(client: Client) -> None:
    """Also those that vLLM answers without a key."""
    for path in ("/invocations", "/tokenize", "/v1/chat/completions/batch", "/collective_rpc", "/scale_elastic_ep"):
        async with client.session.post(path, json={}) as answer:
            assert answer.status == 404, path
    for path in ("/version", "/docs", "/load"):
        async with client.session.get(path) as answer:
            assert answer.status == 404, path
    for path in ("/health", "/metrics", "/v1/models"):
        async with client.session.get(path) as answer:
            assert answer.status == 200, path


async def bad_bodies_are_refused(client: Client) -> None:
    """And the engine serves on."""
    for body in (b"", b"{", b"[]", b"\xff", b'{"n": NaN}', b'{"max_tokens": -1}', b'{"n": 1e9}', b"[" * 50_000):
        headers = {"Content-Type": "application/json"}
        async with client.session.post("/v1/completions", data=body, headers=headers) as answer:
            assert answer.status == 400, body[:40]
    async with client.session.post("/v1/completions", data=b"x" * 200_000) as answer:
        assert answer.status == 413
    assert (await client.ask(n=65)).code == "too_large"
    assert (await client.ask()).is_whole


FIELDS: dict[str, list[Any]] = {
    "prompt": ["a", "", "\ud800", "日本語" * 50, [1, 2], [[1], [2]], ["a", "b"], [], [-1], [10**12], None, 5, {"a": 1}],
    "max_tokens": [1, 5, None, 0, -1, 10**30, "5", 1.5, True, []],
    "n": [1, 2, None, 0, -3, 65, 10**9, "2", [1]],
    "priority": [-(10**6), 10**30, "x", None, [], 0.5],
    "temperature": [0, 1, -1, 1e308, "hot", None],
    "stream": [True, False, None, "yes", 3],
    "stop": ["a", ["a", "b"], [""], 5, None],
    "logprobs": [0, 3, -1, 10**9, "all"],
    "seed": [1, -1, 2**70, "s"],
    "model": [None, "other", 5, ""],
    "\x00": [1],
}


async def random_bodies_never_break_it(client: Client) -> None:
    """Bodies of fields with fitting and absurd values, the same each time: answered or refused, and never with 500."""
    randomness = random.Random(8)
    for number in range(150):
        names = randomness.sample(sorted(FIELDS), randomness.randint(0, len(FIELDS)))
        body = {"model": client.model, "prompt": "a", "max_tokens": 3}
        body |= {name: randomness.choice(FIELDS[name]) for name in names}
        async with client.session.post("/v1/completions", json=body) as answer:
            told = await answer.read()
            assert answer.status in {200, 400, 404, 422}, f"{number}: {answer.status} {body} {told[:200]!r}"
    assert (await client.ask()).is_whole


CHECKS = (
    no_client_sets_its_own_priority,
    rates_answer_429,
    overload_answers_503,
    time_and_deadline_answer_504,
    classes_and_keys_are_checked,
    other_endpoints_are_not_there,
    bad_bodies_are_refused,
    random_bodies_never_break_it,
)


async def hold(address: str, model: str) -> None:
    """Run every check, one after the other, and leave nothing running."""
    timeout = aiohttp.ClientTimeout(total=180)
    connector = aiohttp.TCPConnector(force_close=True)  # a server may close a connection just when it is used again
    async with aiohttp.ClientSession(address, timeout=timeout, connector=connector) as session:
        client = Client(session, model)
        for check in CHECKS:
            await check(client)


async def _until_running(client: Client, count: int) -> None:
    async def running() -> float:
        return sum(
            value for (name, _), value in (await client.metrics()).items() if name == "vllm:num_requests_running"
        )

    await _until(running, count)


async def _until(measure: Any, wanted: float) -> None:
    async with asyncio.timeout(30):
        while await measure() != wanted:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.02)
