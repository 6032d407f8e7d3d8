"""`python -m batchedllm_engine gpu`: what the exporter would show now, to hold against nvidia-smi."""

import logging
import sys

from prometheus_client import CollectorRegistry, generate_latest

from batchedllm_engine.gpu_exporter.definitions import UP
from batchedllm_engine.gpu_exporter.exporter import exporter


def main() -> int:
    """Print the exposition text of one look; return 1 if no GPU could be read, which is said on stderr."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    registry = CollectorRegistry()
    exporter(registry, logging.getLogger("gpu")).look()
    sys.stdout.write(generate_latest(registry).decode())
    return 0 if registry.get_sample_value(UP.name) else 1


if __name__ == "__main__":
    sys.exit(main())
