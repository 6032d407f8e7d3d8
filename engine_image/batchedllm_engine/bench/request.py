"""The command line of the benchmark."""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from batchedllm_engine.bench.failures import BenchError, Reason

BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PARTS: Final = ("curve", "stream", "static")
_GAMMA: Final = re.compile(r"gamma:(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be measured, and how."""

    base_url: str | None
    """Of an engine that runs; None: one is started with `engine_arguments`."""
    engine_arguments: tuple[str, ...]
    parts: tuple[str, ...]
    batches: tuple[int, ...]
    prompt_tokens: int
    output_tokens: int
    inter_token_limit_seconds: float | None
    rates: tuple[float, ...]
    """Requests a second; empty: half and four fifths of what the engine does at its knee."""
    variation: float
    """Coefficient of variation of the time between arrivals; 1 for Poisson."""
    trace: Path | None
    static_batch: int | None
    static_output_tokens: tuple[int, int]
    client: str
    tokenizer: str | None
    budget_seconds: float
    startup_seconds: float
    output: Path
    termination_message: Path | None
    picture: Path | None
    gpu: str | None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BenchError(Reason.BAD_ARGUMENTS, message)


def parse(arguments: list[str]) -> Request:
    """Return the request. Raises BenchError for what cannot be asked."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    ours, engines = arguments[:place], arguments[place + 1 :]
    given = _parser().parse_args(ours)
    if (given.base_url is None) == (not engines):
        raise BenchError(Reason.BAD_ARGUMENTS, "give either --base-url URL, or -- MODEL and flags of vllm serve")
    variation, trace = given.arrivals
    return Request(
        base_url=given.base_url.rstrip("/") if given.base_url else None,
        engine_arguments=tuple(engines),
        parts=tuple(given.parts),
        batches=tuple(sorted(set(given.batches))),
        prompt_tokens=given.prompt_tokens,
        output_tokens=given.output_tokens,
        inter_token_limit_seconds=None if given.inter_token_limit_ms is None else given.inter_token_limit_ms / 1000,
        rates=tuple(given.rates or ()),
        variation=variation,
        trace=trace,
        static_batch=given.static_batch,
        static_output_tokens=(given.static_output_tokens[0], given.static_output_tokens[-1]),
        client=given.client,
        tokenizer=given.tokenizer,
        budget_seconds=given.budget_seconds,
        startup_seconds=given.startup_seconds,
        output=given.output,
        termination_message=given.termination_message,
        picture=given.picture,
        gpu=given.gpu or os.environ.get("BATCHEDLLM_BENCH_GPU"),
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m batchedllm_engine bench", description="Measure an engine.")
    add = parser.add_argument
    add("--base-url", help="of an engine that runs; without it, give `-- MODEL` and flags of vllm serve")
    add("--parts", type=_parts, default=PARTS, help="curve,stream,static: what to measure (default: all)")
    add("--batches", type=_counts, default=BATCHES, help="batch sizes of the curve (default: 1,2,4 ... 512)")
    add("--prompt-tokens", type=_count, default=256)
    add("--output-tokens", type=_count, default=128)
    add(
        "--inter-token-limit-ms", type=_positive, help="the sweet spot is the largest batch within it (95th percentile)"
    )
    add("--rates", type=_rates, help="requests a second of the streams (default: by the knee)")
    add(
        "--arrivals",
        type=_arrivals,
        default=(1.0, None),
        help="poisson, gamma:CV (coefficient of variation), or trace:FILE.csv",
    )
    add("--static-batch", type=_count, help="size of static batches (default: the knee)")
    add("--static-output-tokens", type=_counts, default=(16, 512), help="shortest,longest answer (default: 16,512)")
    add("--client", choices=("auto", "vllm", "own"), default="auto", help="vllm bench serve where it is installed")
    add("--tokenizer", help="for vllm bench serve (default: the model's)")
    add("--budget-seconds", type=_positive, default=300.0, help="of all measuring; what has no time is left out")
    add("--startup-seconds", type=_positive, default=900.0, help="until the engine must serve")
    add("--output", type=Path, default=Path("-"), help="file for the profile; - for the standard output")
    add("--termination-message", type=Path, help="file for the short form, of at most 4,096 bytes")
    add("--picture", type=Path, help="file for an SVG of the curve")
    add("--gpu", help="name of the GPU, where the engine does not tell it")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:  # noqa: PLR2004 - more is a mistake
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1 to 1000000")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(one) for one in text.split(","))


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:  # noqa: PLR2004 - more is a mistake
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number above 0")
    return value


def _rates(text: str) -> tuple[float, ...]:
    return tuple(_positive(one) for one in text.split(","))


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}, expected some of {','.join(PARTS)}")
    return parts


def _arrivals(text: str) -> tuple[float, Path | None]:
    if text == "poisson":
        return 1.0, None
    if matched := _GAMMA.fullmatch(text):
        return _positive(matched.group(1)), None
    if text.startswith("trace:") and len(text) > len("trace:"):
        return 1.0, Path(text.removeprefix("trace:"))
    raise argparse.ArgumentTypeError(f"{text!r}, expected poisson, gamma:CV or trace:FILE.csv")
