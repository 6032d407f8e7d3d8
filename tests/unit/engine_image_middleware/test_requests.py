"""The middleware before a small engine, over real HTTP on this machine."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from asgi_server import listening
from batchedllm_engine.middleware import AdmissionMiddleware
from batchedllm_engine.middleware.configuration import ConfigurationError
from batchedllm_engine.middleware.settings import SettingsSource
from small_engine import SECRET_ANSWER, SmallEngine

PATH = "/v1/completions"
CLASSES = """
classes:
  - {name: high, rank: -10}
  - {name: normal, rank: 0, default: true}
  - {name: low, rank: 10}
"""
SECRET_PROMPT = "the prompt that no log may hold"
SECRET_KEY = "sk-that-no-log-may-hold"


@dataclass
class World:
    """One server under test."""

    engine: SmallEngine
    middleware: AdmissionMiddleware
    client: aiohttp.ClientSession
    files: dict[str, bytes]
    registry: CollectorRegistry

    def ask(self, **body) -> asyncio.Task:
        """Begin a request; headers stand under `headers`."""
        return asyncio.create_task(self._ask(body))

    async def _ask(self, body):
        sent = body.pop("headers", None)
        async with self.client.post(PATH, json={"prompt": "a", **body}, headers=sent) as answer:
            return answer.status, await answer.read(), answer.headers

    async def until(self, holds) -> None:
        """Let the loop turn until something holds."""
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for is no event
                await asyncio.sleep(0)

    async def queued(self, count: int) -> None:
        """Return when so many wait in the middleware."""
        await self.until(
            lambda: sum(len(line.waiting) for _, line in self.middleware._process.admission.gate.lines()) == count
        )

    def value(self, name: str, **labels) -> float:
        """A metric's value; 0 where it was never set."""
        labels = {"class" if key == "class_" else key: value for key, value in labels.items()}
        return self.registry.get_sample_value(f"batchedllm_engine:admission_{name}", labels) or 0


@contextlib.asynccontextmanager
async def world(configuration: str = "", **files: str) -> AsyncIterator[World]:
    contents = {"config": (CLASSES + configuration).encode(), **{name: text.encode() for name, text in files.items()}}

    def read(path: Path) -> bytes:
        if str(path) not in contents:
            raise ConfigurationError(f"{path}: cannot be read")
        return contents[str(path)]

    engine, registry = SmallEngine(), CollectorRegistry()
    application = engine.application()
    source = SettingsSource(Path("config"), read)
    middleware = AdmissionMiddleware(application, source=source, registry=registry, watch_seconds=0.001)
    async with listening(middleware) as address, aiohttp.ClientSession(address) as client:
        try:
            yield World(engine, middleware, client, contents, registry)
        finally:
            engine.release(10_000)
            middleware._process.close()


def error(body: bytes) -> dict:
    read = json.loads(body)["error"]
    assert set(read) == {"message", "type", "param", "code"}
    return read


async def test_the_engine_gets_the_priority_of_the_class_whatever_the_client_sends():
    async with world() as one:
        for sent in ({}, {"priority": -99}, {"headers": {"X-Vllm-Priority": "-99"}}):
            headers = {"x-batchedllm-priority": "low", **sent.pop("headers", {})}
            status, body, _ = await one.ask(headers=headers, **sent)
            assert (status, json.loads(body)) == (200, {"text": SECRET_ANSWER})
        assert [body["priority"] for body in one.engine.seen] == [10, 10, 10]
        assert [headers["x-vllm-priority"] for headers in one.engine.headers] == ["10", "10", "10"]
        assert one.value("requests_total", class_="low", outcome="served") == 3


async def test_the_engine_gets_the_rest_as_it_was_sent():
    async with world() as one:
        sent = {"prompt": '日本語 " \\ \x01', "temperature": 0.5, "stop": ["\n"], "n": 1}
        await one.ask(**sent)
        assert one.engine.seen == [{**sent, "priority": 0}]


async def test_higher_classes_are_served_first():
    async with world("limits: {runningRequests: 1}") as one:
        one.engine.hold()
        asked = [one.ask(prompt="first")]
        await one.until(lambda: one.engine.working == 1)
        for count, name in enumerate(("low", "normal", "high", "low", "high"), start=1):
            asked.append(one.ask(prompt=f"{name} {count}", headers={"x-batchedllm-priority": name}))
            await one.queued(count)
        one.engine.release(len(asked))
        assert {(await request)[0] for request in asked} == {200}
        order = [body["prompt"] for body in one.engine.seen]
        assert order == ["first", "high 3", "high 5", "normal 2", "low 1", "low 4"]
        assert one.value("queue_seconds_count", class_="low") == 2


async def test_a_full_queue_is_503_and_too_many_a_minute_429_both_with_retry_after():
    async with world("limits: {runningRequests: 1, queuedRequests: 1, requestsPerMinute: 3}") as one:
        one.engine.hold()
        running, waiting = one.ask(), one.ask()
        await one.queued(1)
        status, body, headers = await one.ask()
        assert (status, error(body)["code"], headers["Retry-After"]) == (503, "queue_full", "5")
        one.engine.release(2)
        await running
        await waiting
        one.engine.release()
        assert (await one.ask())[0] == 200
        status, body, headers = await one.ask()
        assert (status, error(body)["type"]) == (429, "rate_limit_error")
        assert 1 <= int(headers["Retry-After"]) <= 20
        assert one.value("rejections_total", class_="normal", reason="queue_full") == 1
        assert one.value("rejections_total", class_="normal", reason="request_rate") == 1


async def test_under_overload_the_lower_class_leaves_for_the_higher():
    async with world("limits: {runningRequests: 1, queuedRequests: 1}") as one:
        one.engine.hold()
        running = one.ask()
        await one.until(lambda: one.engine.working == 1)
        low = one.ask(headers={"x-batchedllm-priority": "low"})
        await one.queued(1)
        high = one.ask(headers={"x-batchedllm-priority": "high"})
        status, body, headers = await low
        assert (status, error(body)["code"]) == (503, "shed")
        assert int(headers["Retry-After"]) >= 1
        one.engine.release(2)
        assert [(await running)[0], (await high)[0]] == [200, 200]
        assert len(one.engine.seen) == 2


async def test_who_waits_too_long_leaves_before_the_engine_has_seen_it():
    async with world("limits: {runningRequests: 1, queueSeconds: 0.05}") as one:
        one.engine.hold()
        running = one.ask()
        await one.until(lambda: one.engine.working == 1)
        status, body, headers = await one.ask()
        assert (status, error(body)["code"], headers["Retry-After"]) == (503, "queue_time", "5")
        one.engine.release()
        assert (await running)[0] == 200
        assert len(one.engine.seen) == 1


@pytest.mark.parametrize("waits", [False, True])
async def test_a_deadline_ends_a_request_that_waits_or_runs_with_504(waits):
    async with world("limits: {runningRequests: 1}") as one:
        one.engine.hold()
        running = one.ask() if waits else None
        await one.until(lambda: one.engine.working == waits)
        status, body, _ = await one.ask(headers={"x-batchedllm-deadline-seconds": "0.05"})
        assert (status, error(body)["code"]) == (504, "deadline")
        assert one.engine.working == waits
        one.engine.release()
        if running is not None:
            assert (await running)[0] == 200
        assert len(one.engine.seen) == 1


async def test_an_engine_that_fails_because_it_was_cut_is_not_the_client_s_concern():
    async with world() as one:
        one.engine.hold()
        status, body, _ = await one.ask(prompt="fail without client", headers={"x-batchedllm-deadline-seconds": "0.05"})
        assert (status, error(body)["code"]) == (504, "deadline")
        assert one.value("requests_total", class_="normal", outcome="cut") == 1


async def test_the_longest_time_of_a_request_cuts_a_stream_with_a_last_event():
    async with world("limits: {requestSeconds: 0.1}") as one:
        one.engine.hold()
        one.engine.release(1)
        status, body, _ = await one.ask(stream=True)
        events = body.decode().split("\n\n")
        assert (status, events[0]) == (200, 'data: {"event": 0}')
        assert error(events[1].removeprefix("data: "))["code"] == "request_time"
        await one.until(lambda: one.engine.working == 0)
        assert one.value("requests_total", class_="normal", outcome="cut") == 1


async def test_events_pass_one_by_one_as_they_come():
    async with world() as one:
        one.engine.hold()
        async with one.client.post(PATH, json={"prompt": "a", "stream": True}) as answer:
            for number in range(3):
                one.engine.release()
                assert await answer.content.readuntil(b"\n\n") == b'data: {"event": %d}\n\n' % number
            assert await answer.content.read() == b"data: [DONE]\n\n"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_frees_its_place_at_once(stream):
    async with world("limits: {runningRequests: 1}") as one:
        one.engine.hold()
        running = one.ask(stream=stream)
        await one.until(lambda: one.engine.working == 1)
        waiting = one.ask()
        await one.queued(1)
        next_one = one.ask(prompt="next")
        await one.queued(2)
        waiting.cancel()
        await one.queued(1)
        running.cancel()
        await one.until(lambda: one.engine.seen[-1]["prompt"] == "next")
        one.engine.release()
        assert (await next_one)[0] == 200
        assert len(one.engine.seen) == 2
        await one.until(lambda: one.value("requests_total", class_="normal", outcome="disconnected") == 2)


async def test_an_engine_that_fails_or_refuses_frees_its_place():
    async with world("limits: {runningRequests: 1}") as one:
        for prompt, status, outcome in (("fail", 500, "engine_error"), ("teapot", 418, "refused_by_engine")):
            assert (await one.ask(prompt=prompt))[0] == status
            assert one.value("requests_total", class_="normal", outcome=outcome) == 1
        assert (await one.ask())[0] == 200


async def test_only_known_endpoints_are_there():
    async with world("extraEndpoints: ['POST /tokenize']") as one:
        for method, path, status in (
            ("GET", "/health", 200),
            ("GET", "/v1/models", 200),
            ("POST", "/tokenize", 200),
            ("GET", "/version", 404),
            ("POST", "/invocations", 404),
            ("PUT", "/v1/completions", 405),
        ):
            async with one.client.request(method, path) as answer:
                assert (path, answer.status) == (path, status)
        async with one.client.post("/v1/messages", json={"max_tokens": 5}) as answer:
            assert answer.status == 200
        assert one.engine.seen == [{"max_tokens": 5}]
        assert one.engine.headers[0]["x-vllm-priority"] == "0"


async def test_a_websocket_is_refused():
    async with world() as one:
        sent = []

        async def send(message):
            sent.append(message)

        await one.middleware({"type": "websocket", "path": "/v1/realtime", "headers": []}, None, send)
        assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_keys_decide_the_class_and_are_read_again_when_they_change():
    keys = f"keys: [{{name: a, key: {SECRET_KEY}, class: low}}]"
    async with world("apiKeys: {file: keys}", keys=keys) as one:
        status, body, headers = await one.ask()
        assert (status, error(body)["type"], headers["WWW-Authenticate"]) == (401, "authentication_error", "Bearer")
        bearer = {"Authorization": f"Bearer {SECRET_KEY}"}
        assert (await one.ask(headers=bearer))[0] == 200
        assert one.engine.seen[0]["priority"] == 10
        one.files["keys"] = b"keys: [{name: a, key: another-key, class: high}]"
        await one.until(lambda: one.value("configuration_reloads_total", result="used") == 2)
        assert (await one.ask(headers=bearer))[0] == 401
        assert (await one.ask(headers={"Authorization": "Bearer another-key"}))[0] == 200


async def test_a_request_keeps_its_id_on_both_sides():
    async with world() as one:
        _, _, headers = await one.ask(headers={"X-Request-Id": "mine-1"})
        assert headers["X-Request-Id"] == one.engine.headers[0]["x-request-id"] == "mine-1"
        _, _, headers = await one.ask()
        assert headers["X-Request-Id"] == one.engine.headers[1]["x-request-id"] != ""


async def test_a_changed_limit_holds_without_a_restart_and_a_bad_change_keeps_the_old():
    async with world("limits: {runningRequests: 1, queuedRequests: 0}") as one:
        one.engine.hold()
        asked = [one.ask()]
        await one.until(lambda: one.engine.working == 1)
        assert (await one.ask())[0] == 503
        one.files["config"] = CLASSES.encode() + b"limits: {runningRequests: 0}"
        await one.until(lambda: one.value("configuration_reloads_total", result="refused") == 1)
        assert one.value("configuration_valid") == 0
        assert (await one.ask())[0] == 503
        one.files["config"] = CLASSES.encode() + b"limits: {runningRequests: 2}"
        await one.until(lambda: one.value("configuration_valid") == 1)
        asked.append(one.ask())
        await one.until(lambda: one.engine.working == 2)
        one.engine.release(2)
        assert [(await request)[0] for request in asked] == [200, 200]


async def test_without_a_usable_configuration_nothing_is_let_in_until_there_is_one():
    async with world("limits: 1") as one:
        status, body, headers = await one.ask()
        assert (status, error(body)["code"], headers["Retry-After"]) == (503, "not_configured", "1")
        async with one.client.get("/health") as answer:
            assert answer.status == 503
        async with one.client.get("/metrics") as answer:
            assert answer.status == 200
        one.files["config"] = CLASSES.encode()
        await one.until(lambda: one.value("configuration_valid") == 1)
        assert (await one.ask())[0] == 200


async def test_while_draining_new_requests_go_elsewhere_and_accepted_ones_are_answered():
    async with world("limits: {runningRequests: 1}") as one:
        one.engine.hold()
        running, waiting = one.ask(), one.ask()
        await one.queued(1)
        drain = asyncio.create_task(one.middleware._process.drain(30))
        await asyncio.sleep(0)
        async with one.client.get("/health") as answer:
            assert answer.status == 503
        status, body, headers = await one.ask()
        assert (status, error(body)["code"]) == (503, "draining")
        assert (headers["Retry-After"], headers["Connection"]) == ("1", "close")
        one.engine.release(2)
        assert [(await running)[0], (await waiting)[0]] == [200, 200]
        await drain
        assert len(one.engine.seen) == 2


async def test_a_drain_that_is_over_cuts_whatever_is_open():
    async with world("limits: {runningRequests: 1}") as one:
        one.engine.hold()
        running = one.ask(stream=True)
        await one.until(lambda: one.engine.working == 1)
        waiting = one.ask()
        await one.queued(1)
        await one.middleware._process.drain(0.01)
        assert error((await running)[1].removeprefix(b"data: "))["code"] == "draining"
        assert (await waiting)[0] == 503
        assert one.engine.working == 0


async def test_the_access_log_has_a_line_a_request_and_no_content_nor_key(caplog):
    keys = f"keys: [{{name: a, key: {SECRET_KEY}, class: low}}]"
    logger = logging.getLogger("batchedllm_engine.middleware")
    logger.addHandler(caplog.handler)
    try:
        async with world("apiKeys: {file: keys}\naccessLog: true", keys=keys) as one:
            bearer = {"Authorization": f"Bearer {SECRET_KEY}", "X-Request-Id": "mine"}
            await one.ask(prompt=SECRET_PROMPT, headers=bearer)
            await one.ask(prompt=SECRET_PROMPT, headers={"Authorization": f"Bearer {SECRET_KEY}x"})
            async with one.client.get("/health"):
                pass
    finally:
        logger.removeHandler(caplog.handler)
    lines = [json.loads(line) for record in caplog.records if (line := record.getMessage()).startswith("{")]
    assert [(line["status"], line["outcome"], line["reason"]) for line in lines] == [
        (200, "served", None),
        (401, "rejected", "bad_key"),
    ]
    assert (lines[0]["requestId"], lines[0]["priorityClass"], lines[0]["path"]) == ("mine", "low", PATH)
    for secret in (SECRET_PROMPT, SECRET_ANSWER, SECRET_KEY):
        assert secret not in caplog.text


async def test_what_waits_and_runs_is_told_at_every_scrape():
    async with world("limits: {runningRequests: 1}") as one:
        one.engine.hold()
        asked = [one.ask(prompt="x" * 400), one.ask(prompt="x" * 400)]
        await one.queued(1)
        async with one.client.get("/metrics"):
            pass
        assert one.value("running_requests", class_="normal") == 1
        assert one.value("queued_requests", class_="normal") == 1
        assert one.value("queued_tokens", class_="normal") == 100
        one.engine.release(2)
        await asyncio.gather(*asked)
