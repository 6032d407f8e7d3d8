"""What a command line of `vllm serve` asks of the machine: the few of its flags that preflight looks at.

Everything else is vLLM's to read, and to refuse. A value that cannot be read here is left to vLLM as well.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from batchedllm_engine.readable_numbers import readable_int

DEFAULT_UTILIZATION: Final = 0.92
"""vLLM's own (config/cache.py of 0.26 to 0.32)."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What is asked for."""

    model: str | None = None
    """A folder, an id of the Hugging Face hub, or something else that vLLM can load; None where it stands in a file."""
    revision: str | None = None
    load_format: str = "auto"
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    data_parallel_size_local: int | None = None
    nnodes: int = 1
    gpu_memory_utilization: float = DEFAULT_UTILIZATION
    kv_cache_memory_bytes: int | None = None
    data_parallel_rank: int | None = None
    """Of an engine whose fellows are started elsewhere."""
    distributed_executor_backend: str | None = None
    data_parallel_backend: str | None = None
    config: str | None = None
    """A file with more flags."""

    @property
    def may_be_elsewhere(self) -> bool:
        """Whether ranks may run on other machines, or other flags may hold than those that are seen."""
        return "ray" in {self.distributed_executor_backend, self.data_parallel_backend} or self.config is not None

    @property
    def gpus_of_an_engine(self) -> int:
        """GPUs that one data-parallel engine takes on this machine."""
        return -(-self.tensor_parallel_size * self.pipeline_parallel_size // max(1, self.nnodes))

    @property
    def gpus(self) -> int:
        """GPUs that this machine must have."""
        engines = 1 if self.data_parallel_rank is not None else self.data_parallel_size
        local = engines if self.data_parallel_size_local is None else self.data_parallel_size_local
        return self.gpus_of_an_engine * max(1, local)


class _UnreadableError(Exception):
    """A flag has a value that is none."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UnreadableError(message)


def parse(arguments: Sequence[str]) -> StartRequest | None:
    """Return what the arguments of `vllm serve` ask for; None if vLLM will refuse them."""
    dashed = [_dashed(argument) for argument in arguments]
    has_tag = bool(dashed) and not dashed[0].startswith("-")
    try:
        read, _ = _parser().parse_known_args(dashed[1:] if has_tag else dashed)
    except _UnreadableError:
        return None
    values = vars(read)
    return StartRequest(**(values | {"model": dashed[0]} if has_tag else values))


def _dashed(argument: str) -> str:
    """Write a flag's name with dashes: vLLM takes underscores as well."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for flag in ("--model", "--revision", "--load-format", "--config"):
        parser.add_argument(flag)
    parser.add_argument("--distributed-executor-backend")
    parser.add_argument("--data-parallel-backend", "-dpb")
    parser.add_argument("--tensor-parallel-size", "-tp", type=int)
    parser.add_argument("--pipeline-parallel-size", "-pp", type=int)
    parser.add_argument("--data-parallel-size", "-dp", type=int)
    parser.add_argument("--data-parallel-size-local", "-dpl", type=int)
    parser.add_argument("--data-parallel-rank", "-dpn", type=int)
    parser.add_argument("--nnodes", "-n", type=int)
    parser.add_argument("--gpu-memory-utilization", type=float)
    parser.add_argument("--kv-cache-memory-bytes", "--kv-cache-memory", type=readable_int)
    return parser
