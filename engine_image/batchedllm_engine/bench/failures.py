"""Why a benchmark can end without a result: a reason for machines, an exit code, a sentence that says what to do."""

from enum import StrEnum
from typing import Any, Final

VERSION: Final = 1
"""Of the profile, and of the document in the termination message."""


class Reason(StrEnum):
    """What kept the engine from being measured."""

    INTERNAL = "Internal"
    BAD_ARGUMENTS = "BadArguments"
    ENGINE_ENDED = "EngineEnded"
    NOT_READY = "NotReady"
    NO_ANSWER = "NoAnswer"
    DEADLINE = "Deadline"
    ENDED = "Ended"


EXIT_CODES: Final = {
    Reason.INTERNAL: 1,
    Reason.BAD_ARGUMENTS: 2,
    Reason.DEADLINE: 17,
    Reason.ENGINE_ENDED: 30,
    Reason.NOT_READY: 31,
    Reason.NO_ANSWER: 32,
    Reason.ENDED: 143,
}
"""1 and 2 are what Python and argparse end with themselves; 17 is also what an inspection ends with for the same;
143 is what SIGTERM makes of any program."""


class BenchError(Exception):
    """The benchmark ended without a result."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def document(self) -> dict[str, Any]:
        """What goes into the termination message."""
        return {"version": VERSION, "error": {"reason": self.reason.value, "message": self.message}}
