"""Entry point: one subcommand per module."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

from batchedllm.cli.documents import DocumentError

COMMANDS: Final = ("render", "why", "top", "plan", "simulate")
"""Names of the subcommands, each a module here with `register`, which sets `run` as its parser's default.

Only the module of the command at hand is imported: those of the others would double the time that it takes to start.
"""

FAILED: Final = 1
"""Exit status when the input is at fault, arguments included: 2 and above are answers of `plan`."""


READER_GONE: Final = 141
"""Exit status when nobody reads the output any more: what a shell reports of a process that SIGPIPE ended."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without repeating the usage."""

    def error(self, message: str) -> NoReturn:
        """End the process."""
        self.exit(FAILED, f"{self.prog}: {message}\n")


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of the subcommands with these names."""
    top_level = Parser(prog="batchedllm", description="Look at BatchedLLM resources, with or without a cluster.")
    commands = top_level.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in names:
        import_module(f"batchedllm.cli.{name}").register(commands)
    return top_level


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; 0 when it worked, 1 when its input was at fault, others as the subcommand tells."""
    words = sys.argv[1:] if arguments is None else arguments
    asked_for = tuple(words[:1]) if words and words[0] in COMMANDS else COMMANDS
    options = parser(asked_for).parse_args(words)
    try:
        status = int(options.run(options))
        sys.stdout.flush()
    except DocumentError as error:
        print(f"batchedllm: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return status
