"""What the engine images find before vLLM starts: an exit code, and one line as the termination message.

The table is that of `batchedllm_engine.start.failures` and, for the model, `batchedllm_engine.inspect.failures`.
"""

import re
from collections.abc import Mapping
from typing import Final

from batchedllm.api.conditions import Reason
from batchedllm.core.crash_log import redacted

EXIT_CODES: Final[Mapping[int, Reason]] = {
    10: Reason.GATED_MODEL,
    11: Reason.NO_SUCH_MODEL,
    12: Reason.NO_SUCH_REVISION,
    13: Reason.NO_NETWORK,
    20: Reason.NO_GPU,
    21: Reason.OLD_DRIVER,
    22: Reason.OLD_GPU,
    23: Reason.TOO_FEW_GPUS,
    24: Reason.TOO_LITTLE_GPU_MEMORY,
    25: Reason.TOO_LITTLE_SHARED_MEMORY,
    26: Reason.NO_TOKEN,
    27: Reason.NO_WEIGHTS,
}

OF_THE_SPEC: Final = frozenset(
    {
        Reason.GATED_MODEL,
        Reason.NO_SUCH_MODEL,
        Reason.NO_SUCH_REVISION,
        Reason.TOO_FEW_GPUS,
        Reason.TOO_LITTLE_SHARED_MEMORY,
        Reason.NO_TOKEN,
        Reason.NO_WEIGHTS,
    }
)
"""Those that every pod of the same spec finds again, on whatever node."""

_LINE: Final = re.compile(r"preflight: (\w+): ([^\n]+)")


def preflight_finding(exit_code: int | None, words: str) -> tuple[Reason, str] | None:
    """Return what the check found and what to do, from the code and the last words; None for any other end.

    Both must say the same: an image of somebody else may end with such a code for reasons of its own. The words name
    the field to change.
    """
    reason = EXIT_CODES.get(-1 if exit_code is None else exit_code)
    said = next((match[2] for match in _LINE.finditer(words) if match[1] == reason), None)
    return None if reason is None or said is None else (reason, f"the start was checked before vLLM: {redacted(said)}")
