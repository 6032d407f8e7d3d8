"""Measure one engine: see the package's description."""

import asyncio
import json
import os
import signal
import sys
import time
import traceback
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from batchedllm_engine.bench import load
from batchedllm_engine.bench.engine import Engine, headers_of, looks, ready, started
from batchedllm_engine.bench.failures import EXIT_CODES, BenchError, Reason
from batchedllm_engine.bench.measuring import BY_US, BY_VLLM, Measuring
from batchedllm_engine.bench.metrics_page import Page
from batchedllm_engine.bench.picture import svg
from batchedllm_engine.bench.profile import Profile, compact
from batchedllm_engine.bench.request import Request, parse
from batchedllm_engine.bench.vllm_bench import VllmBench, is_here

STDOUT: Final = Path("-")
_LONGEST_MESSAGE: Final = 1500


def main(arguments: list[str]) -> int:
    """Write the profile, or why there is none, and return the exit code that goes with it."""
    termination = _termination_of(arguments)
    signal.signal(signal.SIGTERM, _end)  # the first process of a container would pass it over otherwise
    try:
        request = parse(arguments)
        profile = measured(request)
    except BenchError as error:
        return _fail(error, termination)
    except _Ended:
        return _fail(BenchError(Reason.ENDED, "ended from outside before anything was told"), termination)
    except Exception as error:  # noqa: BLE001 - whatever it was, the last words tell it
        sys.stderr.write(traceback.format_exc())
        return _fail(BenchError(Reason.INTERNAL, f"{type(error).__name__}: {error}"), termination)
    _write(request, profile)
    return 0


class _Ended(SystemExit):
    """SIGTERM: unlike other exceptions, this one ends all tasks of an event loop."""


def _end(_number: int, _frame: object) -> None:
    raise _Ended


def fitted(request: Request, engine: Engine) -> Request:
    """Return the request with prompts and answers that the engine's longest length holds."""
    longest = engine.longest_tokens
    if longest is None or request.prompt_tokens + request.output_tokens <= longest:
        return request
    prompt = max(1, min(request.prompt_tokens, longest // 2))
    return replace(request, prompt_tokens=prompt, output_tokens=max(1, min(request.output_tokens, longest // 4)))


def measured(asked: Request) -> Profile:
    """Start the engine if one is asked for, and measure it. Raises BenchError."""
    headers = headers_of(os.environ)
    with ExitStack() as stack:
        process, address = None, asked.base_url or ""
        if asked.base_url is None:
            process, address = stack.enter_context(started(asked.engine_arguments, None, sys.stderr.fileno()))

        async def run() -> Profile:
            async with looks(address, headers) as look:
                engine = await ready(look, asked.startup_seconds, process)
                request = fitted(asked, engine)
                sys.stderr.write(f"measuring {engine.model} at {address} for at most {request.budget_seconds:g} s\n")
                profile = _empty(request, engine, await look.page())
                random = Random(time.time_ns())  # noqa: S311 - lengths and prompts, no secret
                async with load.client(address, engine.model, random, headers) as client:
                    bench = _vllm_bench(request, engine, headers)
                    profile.measured_by = BY_US if bench is None else f"{BY_VLLM} and {BY_US}"
                    begin = time.monotonic()
                    await Measuring(request, engine, look, client, bench, profile, random, begin).run()
                return profile

        return asyncio.run(run())


def _vllm_bench(request: Request, engine: Engine, headers: dict[str, str]) -> VllmBench | None:
    if request.client == "own" or (request.client == "auto" and not is_here()):
        return None
    if not is_here():
        raise BenchError(Reason.BAD_ARGUMENTS, "--client vllm, and there is no vLLM installed here: use --client own")
    return VllmBench(engine.base_url, engine.model, request.tokenizer or engine.root, headers)


def _empty(request: Request, engine: Engine, page: Page) -> Profile:
    return Profile(
        at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        gpu=page.gpu or request.gpu or "unknown",
        gpus=page.gpus,
        model=engine.model,
        engine_version=engine.version,
        measured_by="",
        prompt_tokens=request.prompt_tokens,
        output_tokens=request.output_tokens,
        kv_cache_tokens=page.kv_cache_tokens,
    )


def _write(request: Request, profile: Profile) -> None:
    document = profile.to_json()
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if request.output == STDOUT:
        sys.stdout.write(text)
    else:
        request.output.write_text(text, encoding="utf-8")
    if request.picture is not None and profile.curve:
        request.picture.write_text(svg(document), encoding="utf-8")
    if request.termination_message is not None:
        request.termination_message.write_bytes(profile.short())


def _fail(error: BenchError, termination: Path | None) -> int:
    message = " ".join(error.message.split())[:_LONGEST_MESSAGE]
    sys.stderr.write(f"{error.reason}: {message}\n")
    if termination is not None:
        termination.write_bytes(compact(BenchError(error.reason, message).document()))
    return EXIT_CODES[error.reason]


def _termination_of(arguments: list[str]) -> Path | None:
    """Return where the last words go, also where the rest of the arguments cannot be read."""
    found = [one.partition("=")[2] for one in arguments if one.startswith("--termination-message=")]
    return Path(found[-1]) if found else None


if __name__ == "__main__":
    # Threads that vLLM may have left must not keep the pod from ending.
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
