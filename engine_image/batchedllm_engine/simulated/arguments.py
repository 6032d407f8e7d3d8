"""The command line: that of `vllm serve` 0.32.0, and the simulation's own options."""

import argparse
import json
import re
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any, Literal

from batchedllm_engine.readable_numbers import readable_int, readable_int_or_auto

FAILURES = ("cuda-oom", "kv-cache-too-small", "host-oom", "crash", "never-ready", "stall")
CRASH_AFTER = re.compile(r"crash-after=(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The flags of `vllm serve` that the simulation obeys, then its own."""

    model: str
    served_model_name: tuple[str, ...]
    host: str
    port: int
    max_model_len: int | None
    max_num_seqs: int
    max_num_active_seqs: int | None
    max_num_batched_tokens: int
    max_num_queued_reqs: int | None
    max_num_queued_tokens: int | None
    scheduling_policy: Literal["fcfs", "priority"]
    gpu_memory_utilization: float
    kv_cache_memory_bytes: int | None
    kv_cache_dtype: str
    block_size: int
    num_gpu_blocks_override: int | None
    tensor_parallel_size: int
    watermark: float
    shutdown_timeout: float
    disable_log_stats: bool
    middleware: tuple[str, ...]
    sim_gpu: Literal["H200", "H100"]
    sim_time_scale: float
    sim_startup_seconds: float
    sim_failure: str | None
    sim_no_gpu_metrics: bool

    @property
    def served_name(self) -> str:
        """The name in answers and metrics."""
        return self.served_model_name[0]

    @property
    def crash_after_seconds(self) -> float | None:
        """When `--sim-failure=crash-after=SECONDS` ends the engine."""
        matched = CRASH_AFTER.fullmatch(self.sim_failure or "")
        return float(matched.group(1)) if matched else None


def parse(arguments: list[str]) -> EngineOptions:
    """Return the options. Like vLLM, exit with code 2 and a word about it for a flag or value that does not exist."""
    parser = _parser()
    given = [_dashed(argument) for argument in arguments]
    if given[:1] == ["serve"]:
        given = given[1:]
    read = parser.parse_args(given)
    model = read.model_tag or read.model
    if model is None:
        parser.error("the following arguments are required: model_tag")
    values = {field.name: getattr(read, field.name) for field in fields(EngineOptions) if field.name != "model"}
    values["served_model_name"] = tuple(read.served_model_name or [model])
    values["middleware"] = tuple(read.middleware)
    return EngineOptions(model=model, **values)


def _dashed(argument: str) -> str:
    """Write a flag's name with dashes: vLLM takes underscores as well."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _failure(text: str) -> str:
    if text in FAILURES or CRASH_AFTER.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r}: expected one of {', '.join(FAILURES)}, crash-after=SECONDS")


def _dotted(text: str) -> str:
    if re.fullmatch(r"\w+(\.\w+)+", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r}: expected a class, as package.module.Class")


def _above_zero(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text}: expected a number above 0")
    return value


def _utilization(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"gpu_memory_utilization={text}: expected a fraction above 0 and at most 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vllm serve", allow_abbrev=False)
    parser.add_argument("model_tag", nargs="?")
    parser.add_argument("--model")
    parser.add_argument("--served-model-name", nargs="+")
    _add_server_flags(parser)
    _add_engine_flags(parser)
    _add_simulation_flags(parser)
    _add_flags_without_effect(parser)
    return parser


def _add_server_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - vLLM's own default: every interface of the pod
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--shutdown-timeout", type=float, default=0.0)
    parser.add_argument("--middleware", action="append", default=[], type=_dotted)
    parser.add_argument("--disable-log-stats", action=argparse.BooleanOptionalAction, default=False)


def _add_engine_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-model-len", type=readable_int_or_auto)
    parser.add_argument("--max-num-seqs", type=readable_int, default=1024)
    parser.add_argument("--max-num-active-seqs", type=readable_int)
    parser.add_argument("--max-num-batched-tokens", type=readable_int, default=8192)
    parser.add_argument("--max-num-queued-reqs", type=readable_int)
    parser.add_argument("--max-num-queued-tokens", type=readable_int)
    parser.add_argument("--scheduling-policy", choices=("fcfs", "priority"), default="fcfs")
    parser.add_argument("--gpu-memory-utilization", type=_utilization, default=0.92)
    parser.add_argument("--kv-cache-memory-bytes", type=readable_int)
    parser.add_argument("--kv-cache-dtype", default="auto")
    parser.add_argument("--block-size", type=readable_int, default=16)
    parser.add_argument("--num-gpu-blocks-override", type=readable_int)
    parser.add_argument("--tensor-parallel-size", "-tp", type=int, default=1)
    parser.add_argument("--watermark", type=float, default=0.0)


def _add_simulation_flags(parser: argparse.ArgumentParser) -> None:
    own = parser.add_argument_group("simulation")
    own.add_argument("--sim-gpu", choices=("H200", "H100"), default="H200", help="whose measured times to keep")
    own.add_argument("--sim-time-scale", type=_above_zero, default=1.0, help="10: ten times faster than life")
    own.add_argument("--sim-startup-seconds", type=float, default=0.0, help="until it listens, in simulated seconds")
    own.add_argument("--sim-failure", type=_failure, help=f"{', '.join(FAILURES)} or crash-after=SECONDS")
    own.add_argument("--sim-no-gpu-metrics", action="store_true", help="as if no GPU could be read: no DCGM_FI_DEV_*")


def _add_flags_without_effect(parser: argparse.ArgumentParser) -> None:
    """Add vLLM's other flags, so that only what vLLM does not know is refused."""
    text = resources.files(__package__).joinpath("vllm_flags.json").read_text(encoding="utf-8")
    forms: dict[str, dict[str, Any]] = {
        "switch": {"action": "store_true"},
        "value": {},
        "many": {"nargs": "*"},
        "optional": {"nargs": "?"},
    }
    taken = set(parser._option_string_actions)  # noqa: SLF001 - argparse offers no other way to ask
    for form, flags in json.loads(text).items():
        for flag in sorted(set(flags) - taken):
            parser.add_argument(flag, dest=f"unused_{flag}", help=argparse.SUPPRESS, **forms[form])
