"""How a process with the middleware ends, as processes of this machine."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import aiohttp
import pytest

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'engine_image'}"}
HELD_UP = """
    import asyncio
    from batchedllm_engine.middleware.configuration import Drain
    from batchedllm_engine.middleware.ending import Ending

    class Server:
        should_exit = False

    async def drain(seconds):
        await asyncio.sleep({drain})

    async def main():
        Ending(lambda: Drain(seconds=0.1, exit_seconds=0.4), drain).listen(Server())
        print("listening", flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
"""


@pytest.mark.parametrize("drain", [0, 60])
def test_whatever_hangs_the_process_ends_within_both_its_times(drain):
    """The server never ends by itself, with a drain that hangs and one that does not."""
    code = textwrap.dedent(HELD_UP.format(drain=drain))
    process = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"listening\n"
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert process.wait(timeout=20) == 1
        assert time.monotonic() - begun >= 0.4
    finally:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


async def healthy(client: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with client.get("/health") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("flags", "end"),
    [
        ([], b"data: [DONE]\n\n"),
        (["--sim-failure=stall"], b'"param": null, "code": "draining"}}\n\n'),
    ],
)
def test_sigterm_lets_a_stream_finish_and_cuts_it_when_the_time_is_over(tmp_path, flags, end):
    port = free_port()
    file = tmp_path / "config.yaml"
    file.write_text(f"drain: {{seconds: {0.3 if flags else 60}}}")
    command = [sys.executable, "-m", "batchedllm_engine.simulated", "m", "--host=127.0.0.1", f"--port={port}", *flags]
    command.append("--middleware=batchedllm_engine.middleware.AdmissionMiddleware")
    environment = ENVIRONMENT | {"BATCHEDLLM_ADMISSION_CONFIG": str(file)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    async def conversation() -> bytes:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            await healthy(client)
            body = {"prompt": "a", "max_tokens": 100, "stream": True}
            async with client.post("/v1/completions", json=body) as answer:
                process.send_signal(signal.SIGTERM)
                return await answer.read()

    try:
        assert asyncio.run(conversation()).endswith(end)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
