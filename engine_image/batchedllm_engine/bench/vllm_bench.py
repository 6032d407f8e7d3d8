"""`vllm bench serve`, called in this process: the same command line, without its start of 10 s each time.

`add_cli_args` and `main_async` of vllm.benchmarks.serve are what the command itself calls, in 0.26 to 0.32.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

from batchedllm_engine.bench.figures import Figures, Times
from batchedllm_engine.foreign import Foreign, module

MILLISECONDS = 1e-3


def is_here() -> bool:
    """Tell whether vLLM is installed beside this package."""
    return importlib.util.find_spec("vllm") is not None


class VllmBench:
    """Measures one engine with prompts of random tokens, which are never the same twice."""

    def __init__(self, base_url: str, model: str, tokenizer: str, headers: Mapping[str, str]) -> None:
        self._always = [
            "--backend=openai",
            f"--base-url={base_url}",
            "--endpoint=/v1/completions",
            f"--model={tokenizer}",
            f"--served-model-name={model}",
            "--dataset-name=random",
            "--ignore-eos",
            "--temperature=1.0",
            "--disable-tqdm",
            "--ready-check-timeout-sec=0",
            "--percentile-metrics=ttft,tpot,itl,e2el",
            "--metric-percentiles=95,99",
        ]
        if headers:
            self._always += ["--header", *(f"{name}={value}" for name, value in headers.items())]
        self._serve = module("vllm.benchmarks.serve")
        self._seed = 0

    async def at_once(self, count: int, prompt_tokens: int, output_tokens: int, batch: int) -> Figures:
        """Keep a number of requests running until so many have been answered."""
        return await self._measured(count, prompt_tokens, output_tokens, [f"--max-concurrency={batch}"])

    async def stream(
        self, count: int, prompt_tokens: int, output_tokens: int, per_second: float, variation: float
    ) -> Figures:
        """Send a stream with gamma-distributed gaps; `variation` is their coefficient of variation, 1 for Poisson."""
        burstiness = 1 / (variation * variation)
        return await self._measured(
            count, prompt_tokens, output_tokens, [f"--request-rate={per_second}", f"--burstiness={burstiness}"]
        )

    async def _measured(self, count: int, prompt_tokens: int, output_tokens: int, more: list[str]) -> Figures:
        self._seed += 1
        parser: Foreign = module("vllm.utils.argparse_utils").FlexibleArgumentParser()
        self._serve.add_cli_args(parser)
        options = parser.parse_args(
            [
                *self._always,
                *more,
                f"--num-prompts={count}",
                f"--random-input-len={prompt_tokens}",
                f"--random-output-len={output_tokens}",
                f"--seed={self._seed}",
            ]
        )
        with contextlib.redirect_stdout(sys.stderr):
            return figures(await self._serve.main_async(options), count)


def figures(told: Mapping[str, Any], count: int) -> Figures:
    """Return what its result says."""
    completed = int(told["completed"])
    return Figures(
        seconds=float(told["duration"]),
        completed=completed,
        failed=count - completed,
        prompt_tokens=int(told["total_input_tokens"]),
        output_tokens=int(told["total_output_tokens"]),
        time_to_first_token=_times(told, "ttft"),
        inter_token=_times(told, "itl"),
        per_token=_times(told, "tpot"),
        end_to_end=_times(told, "e2el"),
    )


def _times(told: Mapping[str, Any], metric: str) -> Times:
    return Times(*(float(told[f"{name}_{metric}_ms"]) * MILLISECONDS for name in ("mean", "median", "p95", "p99")))
