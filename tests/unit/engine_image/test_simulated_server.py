"""The simulated engine's HTTP interface: vLLM's endpoints, errors and metrics."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from asgi_server import client_of
from batchedllm.sim.batch_steps import BatchSteps
from batchedllm.sim.engine import SimulatedEngine
from batchedllm.sim.events import EngineRequest
from batchedllm.sim.step_times import H200_LOAD, H200_STEP_TIMES
from batchedllm_engine.simulated.arguments import parse
from batchedllm_engine.simulated.bodies import read_ask
from batchedllm_engine.simulated.driver import Answer, EngineDriver
from batchedllm_engine.simulated.server import EngineServer, _events, drained
from batchedllm_engine.simulated.start import plan_start
from engine_contract import breaches, own_families, series, steps_agree

REAL_METRICS = Path(__file__).parents[2] / "data/vllm_0_32_metrics.txt"
# Facts of vLLM's cache configuration that the simulation has no counterpart for are not made up.
CACHE_FACTS = {"block_size", "num_gpu_blocks", "kv_cache_size_tokens", "kv_cache_max_concurrency"}


def served(conversation: Callable[[ClientSession, EngineServer], Awaitable[None]], *arguments: str) -> None:
    """Hold a conversation with an engine that runs 50 times faster than life."""

    async def run() -> None:
        options = parse(["org/model", "--max-model-len=1000", "--sim-time-scale=50", *arguments])
        start = plan_start(options)
        engine = SimulatedEngine(start.settings, H200_STEP_TIMES, H200_LOAD, batch_steps=BatchSteps())
        stalled = options.sim_failure == "stall"
        server = EngineServer(options, start, EngineDriver(engine, time_scale=50, stalled=stalled))
        async with client_of(server.application()) as client:
            clock = asyncio.create_task(server.driver.run())
            await conversation(client, server)
            clock.cancel()

    asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("did not come to hold")


async def samples(client: ClientSession) -> dict[str, float]:
    """Return every sample by name, summed over labels."""
    text = await (await client.get("/metrics")).text()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def families(text: str) -> dict[str, tuple[str, set[frozenset[str]]]]:
    """Return type and label names of each family."""
    return {
        family.name: (
            family.type,
            {frozenset(sample.labels) for sample in family.samples if not sample.name.endswith("_created")},
        )
        for family in text_string_to_metric_families(text)
        if not family.name.endswith("_created")
    }


def test_metrics_have_the_names_types_and_labels_of_a_real_vllm():
    async def conversation(client, _):
        real = families(REAL_METRICS.read_text())
        simulated = families(await (await client.get("/metrics")).text())
        assert {name for name in real if name not in simulated} == set()
        for name, (kind, labels) in real.items():
            if name == "vllm:cache_config_info":
                (facts,) = simulated[name][1]
                assert CACHE_FACTS < facts <= next(iter(labels))
            else:
                assert simulated[name] == (kind, labels), name
        assert {name for name in simulated if name.startswith("vllm:")} == set(real)

    served(conversation)


def test_buckets_are_those_of_a_real_vllm():
    def bounds(text: str, name: str) -> list[str]:
        family = next(family for family in text_string_to_metric_families(text) if family.name == f"vllm:{name}")
        return [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]

    async def conversation(client, _):
        real, simulated = REAL_METRICS.read_text(), await (await client.get("/metrics")).text()
        for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"):
            assert bounds(simulated, name) == bounds(real, name)
        for name in ("iteration_tokens_total", "request_prompt_tokens", "request_num_preemptions"):
            assert bounds(simulated, name) == bounds(real, name)

    served(conversation, "--max-model-len=2048")


def test_completion_counts_and_ends_at_max_tokens():
    async def conversation(client, _):
        answer = await client.post("/v1/completions", json={"prompt": "x" * 41, "max_tokens": 7})
        body = await answer.json()
        assert body["usage"] == {"prompt_tokens": 11, "total_tokens": 18, "completion_tokens": 7}
        assert body["choices"][0]["finish_reason"] == "length"
        assert len(body["choices"][0]["text"].split()) == 7
        found = await samples(client)
        assert found["vllm:prompt_tokens_total"] == 11
        assert found["vllm:generation_tokens_total"] == 7
        assert found["vllm:request_success_total"] == 1
        assert found["vllm:num_requests_running"] == 0

    served(conversation)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": [1, 2, 3]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
    ],
)
def test_a_stream_brings_each_token_the_usage_and_an_end(path, body):
    async def conversation(client, _):
        options = {"max_tokens": 9, "stream": True, "stream_options": {"include_usage": True}}
        answer = await client.post(path, json=body | options)
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        events = [line[6:] for line in (await answer.text()).split("\n\n") if line]
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        assert chunks[-1]["usage"]["completion_tokens"] == 9
        reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]]
        assert reasons[-1] == "length"
        assert set(reasons[:-1]) == {None}
        assert len(chunks) - 1 == 9 + ("messages" in body)  # chats begin with the role

    served(conversation)


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
async def test_a_stream_that_ends_before_it_begins_to_be_sent_is_whole(endpoint):
    """On a busy machine the whole answer may be there by then."""
    options = parse(["org/model"])
    body = {"prompt": "a", "messages": [{"role": "user", "content": "a"}], "max_tokens": 3}
    answer = Answer(streaming=True)
    answer.update(3, "length")
    sent = b"".join([data async for data in _events(read_ask(endpoint, body, None, options, 100), answer)])
    assert sent.endswith(b"data: [DONE]\n\n")
    assert sent.count(b'"finish_reason":null') == 2 + (endpoint == "chat")


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ({"model": "other", "prompt": "a"}, 404, "The model `other` does not exist. Valid aliases: org/model."),
        ({"prompt": "x" * 8000}, 400, "This model's maximum context length is 1000 tokens."),
        ({"prompt": "a", "max_tokens": 9000}, 400, "max_tokens=9000 cannot be greater than max_model_len=1000."),
        ({"prompt": "a", "max_tokens": 0}, 400, "max_tokens must be at least 1, got 0."),
        ({"prompt": "a", "priority": "x"}, 400, "valid integer"),
        ({}, 400, "Either prompt or prompt_embeds must be provided and non-empty."),
        ([], 400, "JSON object"),
    ],
)
def test_refusals_are_in_vllms_shape(body, status, part):
    async def conversation(client, _):
        answer = await client.post("/v1/completions", json=body)
        error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (status, status)
        assert part in error["message"]
        assert set(error) == {"message", "type", "param", "code"}

    served(conversation)


def test_a_reached_queue_cap_is_503_without_retry_after():
    async def conversation(client, server):
        first = asyncio.create_task(client.post("/v1/completions", json={"prompt": "a"}))
        await until(lambda: server.answering == 1)
        answer = await client.post("/v1/completions", json={"prompt": "a"})
        assert answer.status == 503
        assert "Retry-After" not in answer.headers
        assert (await answer.json())["error"]["message"].startswith("The engine is currently busy")
        assert (await samples(client))["vllm:admission_rejections_total"] == 1
        first.cancel()

    served(conversation, "--max-num-queued-reqs=1", "--sim-failure=stall")


def test_a_stalled_engine_has_a_queue_and_an_idle_gpu():
    async def conversation(client, server):
        server.driver.submit(EngineRequest("a", 5, 5), streaming=False)
        found = await samples(client)
        assert (found["vllm:num_requests_waiting"], found["DCGM_FI_DEV_GPU_UTIL"]) == (1, 0)
        server.driver.abort("a")
        assert (await samples(client))["vllm:num_requests_waiting"] == 0

    served(conversation, "--sim-failure=stall")


def test_the_priority_header_outranks_the_body_and_nonsense_is_passed_over():
    async def conversation(client, server):
        seen = []
        submit = server.driver.engine.submit
        server.driver.engine.submit = lambda request, now: (seen.append(request.priority), submit(request, now))
        for header in ({"X-Vllm-Priority": "-3"}, {"X-Vllm-Priority": "soon"}, {}):
            body = {"prompt": "a", "max_tokens": 1, "priority": 5}
            await client.post("/v1/completions", json=body, headers=header)
        assert seen == [-3, 5, 5]

    served(conversation)


def test_gpu_metrics_are_dcgms_and_can_be_left_out():
    async def with_gpu(client, _):
        found = await samples(client)
        assert found["DCGM_FI_DEV_GPU_UTIL"] == 0
        assert found["DCGM_FI_DEV_FB_USED"] + found["DCGM_FI_DEV_FB_FREE"] == pytest.approx(139.8 * 1024, rel=1e-3)
        assert found["DCGM_FI_DEV_POWER_USAGE"] > 0

    async def without(client, _):
        assert not [name for name in await samples(client) if name.startswith("DCGM")]

    served(with_gpu)
    served(without, "--sim-no-gpu-metrics")


def test_utilization_and_power_are_the_tables_while_it_works_and_idle_a_second_later():
    async def run() -> None:
        clock = [100.0]
        start = plan_start(parse(["org/model", "--max-model-len=1000"]))
        engine = SimulatedEngine(start.settings, H200_STEP_TIMES, H200_LOAD)
        driver = EngineDriver(engine, time_scale=1, clock=lambda: clock[0])
        clock[0] += 10
        driver.submit(EngineRequest("a", 5, 400), streaming=False)
        clock[0] += 0.5
        assert driver.gpu_load()[0] == pytest.approx(85.3 / 2, rel=0.03)
        clock[0] += 1
        utilization, watts_above_idle = driver.gpu_load()
        assert utilization == pytest.approx(85.3, rel=0.01)
        assert watts_above_idle == pytest.approx(239.3 - H200_LOAD.idle_watts, rel=0.01)
        clock[0] += 5
        driver.look()
        clock[0] += 1
        assert driver.gpu_load() == (0, 0)

    asyncio.run(run())


def test_draining_lets_requests_finish_refuses_new_ones_and_stays_healthy():
    async def conversation(client, server):
        running = asyncio.create_task(client.post("/v1/completions", json={"prompt": "a", "max_tokens": 500}))
        await until(lambda: server.answering == 1)
        end = asyncio.create_task(drained(server, 30))
        await asyncio.sleep(0)
        refused = await client.post("/v1/completions", json={"prompt": "a"})
        assert refused.status == 500
        assert (await client.get("/health")).status == 200
        await end
        assert (await running).status == 200

    served(conversation)


@pytest.mark.parametrize("path", ["/health", "/ping", "/version", "/load", "/v1/models"])
def test_other_endpoints_answer(path):
    async def conversation(client, _):
        answer = await client.get(path)
        assert answer.status == 200
        if path == "/v1/models":
            assert (await answer.json())["data"][0]["max_model_len"] == 1000

    served(conversation)


def test_the_metrics_of_the_engine_images_are_as_they_are_defined():
    async def conversation(client, _):
        asked = [client.post("/v1/completions", json={"prompt": "x" * 400, "max_tokens": 40 + n}) for n in range(9)]
        await asyncio.gather(*asked)
        text = await (await client.get("/metrics")).text()
        gpu = ("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_POWER_USAGE")
        assert breaches(text, also=gpu) == []
        assert steps_agree(text) == []
        assert series(text, "batchedllm_engine:step_tokens_sum", phase="prefill") == 900
        assert series(text, "batchedllm_engine:decode_steps_total", batch_le="8") > 0
        assert series(text, "batchedllm_engine:gpu_exporter_up") == 1

    served(conversation, "--max-num-seqs=4096", "--max-num-active-seqs=8")


def test_without_gpu_metrics_the_exporter_says_so_and_nothing_else_of_gpus():
    async def conversation(client, _):
        await client.post("/v1/completions", json={"prompt": "a", "max_tokens": 4})
        text = await (await client.get("/metrics")).text()
        assert breaches(text) == []
        assert {name for name in own_families(text) if "gpu" in name.lower()} == {"batchedllm_engine:gpu_exporter_up"}
        assert series(text, "batchedllm_engine:gpu_exporter_up") == 0

    served(conversation, "--sim-no-gpu-metrics")


class Stamp:
    """A middleware that leaves its mark."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def sending(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-stamp", b"1")]}
            await send(message)

        await self.app(scope, receive, sending)


def test_it_takes_middleware_as_vllm_does(monkeypatch):
    module = ModuleType("stamping")
    module.Stamp = Stamp
    monkeypatch.setitem(sys.modules, "stamping", module)

    async def conversation(client, _):
        assert (await client.get("/health")).headers["X-Stamp"] == "1"

    served(conversation, "--middleware=stamping.Stamp")


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_leaves_the_engine(stream):
    async def conversation(client, server):
        body = {"prompt": "a", "stream": stream}
        asked = asyncio.create_task(client.post("/v1/completions", json=body))
        await until(lambda: server.answering == 1)
        asked.cancel()
        await client.close()
        await until(lambda: server.answering == 0)
        assert server.driver.unfinished == 0

    served(conversation, "--sim-failure=stall")
