"""The commands of this package: `python -m batchedllm_engine COMMAND ...`."""

import runpy
import sys
from typing import Final

COMMANDS: Final = {
    "serve": ("batchedllm_engine.start", "check that a start can succeed, then become `vllm serve`"),
    "inspect": ("batchedllm_engine.inspect", "state what a model takes"),
    "bench": ("batchedllm_engine.bench", "measure an engine: batch curve, streams, static batches"),
    "gpu": ("batchedllm_engine.gpu_exporter", "print the GPU metrics once"),
}
"""Each is a package that runs by itself as well."""


def main(arguments: list[str]) -> int:
    """Run a command; return 2 where there is none of that name."""
    if not arguments or arguments[0] not in COMMANDS:
        listed = "\n".join(f"  {name:8} {text}" for name, (_, text) in COMMANDS.items())
        sys.stderr.write(f"usage: python -m batchedllm_engine COMMAND ...\n{listed}\n")
        return 0 if arguments in (["-h"], ["--help"]) else 2
    sys.argv = sys.argv[1:]
    runpy.run_module(COMMANDS[arguments[0]][0], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
