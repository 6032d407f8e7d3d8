"""Arguments of `batchedllm simulate`, and what each takes."""

import argparse
import re
from collections.abc import Callable
from typing import Any, Final

from batchedllm.cli.simulate_require import requirements_of
from batchedllm.core.scaling.objective import seconds_of, ttft_of
from batchedllm.sim.policies.registry import NAMES, STATIC, is_known
from batchedllm.sim.traces.generators import SHAPES
from batchedllm.sim.traces.readers import FORMATS

OWN: Final = "batchedllm"
"""Name of the operator's own policy."""

DESCRIPTION: Final = """\
Replay traffic against a BatchedLLM before it is applied: simulated engines with measured step times, requests routed at
random as kube-proxy does, and the very code that decides in the operator. No GPU and no cluster is needed."""

EPILOG: Final = f"""\
A is the share of requests within the SLO, K the replica-hours over those of the cheapest plan found by who knows the
future; means over the seeds.

policies: {OWN} (the operator's, with the defaults of the resource unless -f is given), {STATIC}N,
  {", ".join(NAMES[:9])},
  {", ".join(NAMES[9:])}

exit status:
  0  done, and what --require asks is met      1  bad input      2  --require is not met

examples:
  batchedllm simulate --trace AzureLLMInferenceTrace_conv.csv --rate-scale 6 -f batchedllm.yaml
  batchedllm simulate --trace synthetic:burst --policy batchedllm,keda-waiting -o json
  batchedllm simulate --trace trace.csv --compare old.yaml new.yaml --require 'A>=0.95,K<=1.5'"""

_MOST_SEEDS: Final = 1000
_SHOWN: Final = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all of them."""
    _add_traffic(parser)
    _add_policies(parser)
    _add_fleet(parser)
    group = parser.add_argument_group("output")
    group.add_argument("-o", dest="form", choices=("table", "json"), default="table", help="(default: %(default)s)")
    group.add_argument("--plot", metavar="FILE", help="picture over time, of the first seed: a name in .html or .png")
    group.add_argument(
        "--require",
        metavar="BOUNDS",
        type=_typed(requirements_of, "bounds such as A>=0.95,K<=1.5"),
        default=(),
        help="for CI: exit status 2 unless the means are within, such as A>=0.95,K<=1.5,ttft.p99<=5",
    )


def _add_traffic(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("traffic")
    group.add_argument(
        "--trace", required=True, metavar="FILE", help=f"file (- for standard input), or synthetic:{','.join(SHAPES)}"
    )
    group.add_argument("--format", dest="trace_format", metavar="|".join(FORMATS), help="(default: by the first line)")
    factor = _typed(_factor, "a number above 0")
    group.add_argument(
        "--rate-scale", type=factor, default=1.0, metavar="N", help="N times as many requests in the same time"
    )
    group.add_argument("--speed", type=factor, default=1.0, metavar="N", help="the same requests N times as fast")


def _add_policies(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("policies")
    group.add_argument("-f", "--filename", help="file with a BatchedLLM (- for standard input): its scaling and engine")
    group.add_argument("--name", help="which BatchedLLM of a file, where it holds several")
    group.add_argument(
        "--policy", type=_typed(_policies, "names as --help lists them"), metavar="NAME[,NAME...]", default=()
    )
    group.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"), help="two files with a BatchedLLM each")


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("fleet")
    group.add_argument(
        "--gpu-profile",
        default="h200-llama-8b",
        metavar="NAME|FILE",
        help="h200-llama-8b, h100-llama-8b, or JSON with your own step times (default: %(default)s)",
    )
    group.add_argument(
        "--startup-seconds", type=_typed(_seconds, "seconds, 0 or more"), default=120.0, help="(default: %(default)g)"
    )
    group.add_argument("--max-replicas", type=_typed(_count, "a number of replicas"), help="where no -f says (64)")
    group.add_argument("--seeds", type=_typed(_count, "a number of seeds"), default=5, help="(default: %(default)s)")
    group.add_argument(
        "--slo-ttft",
        type=_typed(ttft_of, "a time such as 2s+0.5ms/token"),
        metavar="TIME",
        help="longest time to first token (default: of spec.slo)",
    )
    group.add_argument(
        "--slo-itl",
        type=_typed(seconds_of, "a time such as 200ms"),
        metavar="TIME",
        help="longest mean time between tokens (default: of spec.slo)",
    )


def _typed(read: Callable[[str], Any], expected: str) -> Callable[[str], Any]:
    """Return a reader whose refusal tells what was given and what was expected."""

    def reader(text: str) -> Any:  # noqa: ANN401 - whatever `read` returns
        try:
            return read(text)
        except ValueError:
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            raise argparse.ArgumentTypeError(f"is {shown!r}, expected {expected}") from None

    return reader


def _factor(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= _MOST_SEEDS:
        raise ValueError(text)
    return int(text)


def _policies(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name != OWN and not is_known(name)]
    if unknown:
        raise ValueError(text)
    return names
