"""The engine that is measured: found running, or started here and ended again."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from batchedllm_engine.bench.failures import BenchError, Reason
from batchedllm_engine.bench.metrics_page import Page, read_page
from batchedllm_engine.bench.vllm_bench import is_here
from batchedllm_engine.foreign import Foreign, module

LOOK_SECONDS: Final = 0.5
END_SECONDS: Final = 20.0
"""After SIGTERM; then the engine is killed."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What an engine that answers tells of itself."""

    base_url: str
    model: str
    """The name that requests use."""
    root: str
    """Where the engine has the model from, by which its tokenizer is found."""
    longest_tokens: int | None
    version: str


class Looks:
    """Reads what the engine tells beside its answers."""

    def __init__(self, session: Foreign, base_url: str) -> None:
        self._session = session
        self._base_url = base_url

    async def engine(self) -> Engine:
        """Return what it serves. Raises OSError or ValueError (of the client as well) while it does not answer."""
        async with self._session.get(f"{self._base_url}/v1/models") as response:
            response.raise_for_status()
            model = (await response.json())["data"][0]
        return Engine(
            self._base_url,
            model["id"],
            model.get("root") or model["id"],
            model.get("max_model_len"),
            await self._version(),
        )

    async def page(self) -> Page:
        """Return one look at its metrics; an empty one where it has none."""
        async with self._session.get(f"{self._base_url}/metrics") as response:
            return read_page(await response.text()) if response.status == 200 else Page()  # noqa: PLR2004

    async def _version(self) -> str:
        async with self._session.get(f"{self._base_url}/version") as response:
            told = (await response.json()).get("version", "") if response.status == 200 else ""  # noqa: PLR2004
        return str(told) or installed_version()


def installed_version() -> str:
    """Return the vLLM that is installed here, for an engine whose middleware lets nobody ask; empty without one."""
    try:
        return version("vllm")
    except PackageNotFoundError:
        return ""


@asynccontextmanager
async def looks(base_url: str, headers: Mapping[str, str]) -> AsyncIterator[Looks]:
    """Open a client for looking."""
    aiohttp = module("aiohttp")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), headers=dict(headers)) as session:
        yield Looks(session, base_url)


async def ready(look: Looks, seconds: float, process: subprocess.Popen[bytes] | None = None) -> Engine:
    """Wait until the engine answers. Raises BenchError where it ends before, or takes too long."""
    begin, trouble = time.monotonic(), "no answer yet"
    while time.monotonic() - begin < seconds:
        if process is not None and process.poll() is not None:
            words = f"the engine ended with code {process.returncode} before it served: its log says why"
            raise BenchError(Reason.ENGINE_ENDED, words)
        try:
            return await look.engine()
        except (OSError, ValueError, KeyError, IndexError, TimeoutError, module("aiohttp").ClientError) as error:
            trouble = f"{type(error).__name__}: {error}"
        await asyncio.sleep(LOOK_SECONDS)
    words = f"the engine did not serve within {seconds:g} s ({trouble}): raise --startup-seconds, or look at its log"
    raise BenchError(Reason.NOT_READY, words)


@contextlib.contextmanager
def started(arguments: Sequence[str], command: Sequence[str] | None, log: int) -> Any:  # noqa: ANN401 - an iterator of (process, address)
    """Run an engine with these arguments of `vllm serve`, and end it afterwards, whatever happens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = [*(command or own_command()), *arguments, "--host=127.0.0.1", f"--port={port}"]
    # A session of its own, so that the engine's workers end with it.
    process = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - the user's command
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        end(process)


def own_command() -> list[str]:
    """Return what serves in this image: vLLM where it is installed, else the simulated engine."""
    which = ["batchedllm_engine", "serve"] if is_here() else ["batchedllm_engine.simulated"]
    return [sys.executable, "-m", *which]


def end(process: subprocess.Popen[bytes]) -> None:
    """End an engine, and after a while kill what is left of it."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def flag_of(arguments: Sequence[str], name: str) -> int | None:
    """Return the number that `--name=N` or `--name N` sets; None where it is not set, or is no plain number."""
    for place, argument in enumerate(arguments):
        key, has_value, value = argument.partition("=")
        if key.replace("_", "-") == name:
            text = value if has_value else next(iter(arguments[place + 1 :]), "")
            return int(text) if text.isdecimal() else None
    return None


def headers_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what requests need: a key, where one is set as it is for the engine."""
    key = environment.get("VLLM_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}
