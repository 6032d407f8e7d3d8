"""Check a configuration: `python -m batchedllm_engine.middleware FILE`. Exit code 2 and the reason if it is wrong."""

import argparse
import sys
from pathlib import Path

from batchedllm_engine.middleware.configuration import ConfigurationError
from batchedllm_engine.middleware.reference import reference
from batchedllm_engine.middleware.settings import SettingsSource

WRONG = 2


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m batchedllm_engine.middleware", description=__doc__)
    parser.add_argument(
        "file", type=Path, nargs="?", help="the configuration; the key file that it names is read as well"
    )
    parser.add_argument("--reference", action="store_true", help="print the page of all fields, answers and metrics")
    given = parser.parse_args(arguments)
    if given.reference:
        sys.stdout.write(reference())
        return 0
    if given.file is None:
        parser.error("expected a file, or --reference")
    try:
        SettingsSource(given.file).poll()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    sys.stdout.write("ok\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
