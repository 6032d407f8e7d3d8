"""The log: lines on stderr beside vLLM's, and one line of JSON a request where that is asked for."""

import json
import logging
import sys
from typing import Final

LOG: Final = logging.getLogger("batchedllm_engine.middleware")
ACCESS: Final = logging.getLogger("batchedllm_engine.middleware.access")


def configure_logging() -> None:
    """Write to stderr, unless somebody has decided otherwise: vLLM sets up no logger but its own."""
    if not LOG.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(asctime)s [admission] %(message)s"))
        LOG.addHandler(handler)
        LOG.setLevel(logging.INFO)
        LOG.propagate = False


def log_access(**fields: object) -> None:
    """Write one request's line."""
    ACCESS.info("%s", json.dumps(fields))
