"""What the middleware costs a real vLLM, told within one process: requests go through it or around it, in turns.

Run it where vLLM is installed, such as in the image for CPUs, with this folder and the package on the Python path:

    python3 middleware_share.py --out RESULT.json [--at-once 256] [--pairs 24] MODEL [flags of vllm serve]

Two processes of the same program differ by some per cent by chance (hash seeds, where their memory lies), which hides
what is looked for here. So there is one, and a header decides for each request; how often garbage is looked for goes
with it. Counted are the tokens that the engine made and the processor's time that the API server took, in windows of a
load that keeps so many streams open. What the plugin and the exporter take is in both.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, Final

from on_gpu import generated, send

from batchedllm_engine.bench import engine as engines
from batchedllm_engine.middleware import AdmissionMiddleware

AROUND: Final = "x-around-the-middleware"
FILL_SECONDS, WINDOW_SECONDS, SETTLE_SECONDS = 1.5, 2.5, 1.0
PROMPT_TOKENS, OUTPUT_TOKENS = 64, (1, 384)
WORKERS: Final = 2


class Switch:
    """The ASGI middleware that vLLM loads here."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - ASGI has no types of its own
        self._thresholds = {True: gc.get_threshold()}
        self._around, self._through = app, AdmissionMiddleware(app)
        self._thresholds[False] = gc.get_threshold()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        """Go around the middleware where the request says so."""
        is_around = scope["type"] == "http" and any(name == AROUND.encode() for name, _ in scope["headers"])
        if scope.get("path") == "/v1/completions":
            gc.set_threshold(*self._thresholds[is_around])
        await (self._around if is_around else self._through)(scope, receive, send)


def look(address: str, process: int) -> tuple[float, float, float]:
    """Return when it is, the tokens made, and the seconds of the processor's time that the API server took."""
    tokens, now = generated(address)
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return now, tokens, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def window(pool: ProcessPoolExecutor, address: str, process: int, at_once: int, *, around: bool) -> dict[str, float]:
    """Load the engine one way, and return its tokens a second and the API server's microseconds a token."""
    seconds, seed = FILL_SECONDS + WINDOW_SECONDS + 0.3, time.monotonic_ns()
    load = partial(
        send, prompt_tokens=PROMPT_TOKENS, output_tokens=OUTPUT_TOKENS, headers={AROUND: "1"} if around else {}
    )
    sending = [pool.submit(load, address, at_once // WORKERS, seconds, seed + place) for place in range(WORKERS)]
    time.sleep(FILL_SECONDS)
    first = look(address, process)
    time.sleep(WINDOW_SECONDS)
    last = look(address, process)
    for one in sending:
        one.result()
    time.sleep(SETTLE_SECONDS)
    took, tokens, busy = (after - before for before, after in zip(first, last, strict=True))
    return {"tokensPerSecond": round(tokens / took, 1), "microsecondsPerToken": round(1e6 * busy / tokens, 3)}


def compared(pairs: list[dict[str, dict[str, float]]], name: str) -> dict[str, float]:
    """Return what is through the middleware by what is around it."""
    ratios = [pair["through"][name] / pair["around"][name] for pair in pairs]
    error = stdev(ratios) / len(ratios) ** 0.5
    return {"median": round(median(ratios), 4), "mean": round(mean(ratios), 4), "standardError": round(error, 4)}


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=24)
    options, arguments = parser.parse_known_args()
    line = [*arguments, "--served-model-name=bench", f"--middleware={Path(__file__).stem}.Switch"]
    pairs: list[dict[str, dict[str, float]]] = []
    with engines.started(line, None, sys.stderr.fileno()) as (process, address):

        async def ready() -> None:
            async with engines.looks(address, {}) as one:
                await engines.ready(one, 600.0, process)

        asyncio.run(ready())
        with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
            window(pool, address, process.pid, options.at_once, around=True)
            for number in range(options.pairs):
                order = ("around", "through") if number % 2 == 0 else ("through", "around")
                found = {
                    way: window(pool, address, process.pid, options.at_once, around=way == "around") for way in order
                }
                pairs.append({"around": found["around"], "through": found["through"]})
    ratios = {name: compared(pairs, name) for name in ("tokensPerSecond", "microsecondsPerToken")}
    about = {"requestsAtOnce": options.at_once, "python": platform.python_version(), "flags": arguments}
    options.out.write_text(json.dumps({**about, "ratio": ratios, "pairs": pairs}, indent=1) + "\n", "utf-8")
    sys.stdout.write(f"{json.dumps(ratios)}\n")


if __name__ == "__main__":
    main()
