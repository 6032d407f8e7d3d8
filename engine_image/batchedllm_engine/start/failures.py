"""Why a start cannot succeed: an exit code for machines, and a sentence that says what to do."""

from enum import StrEnum
from typing import Final

from batchedllm_engine.inspect.failures import EXIT_CODES as MODEL_EXIT_CODES
from batchedllm_engine.inspect.failures import InspectionError
from batchedllm_engine.inspect.failures import Reason as ModelReason


class Reason(StrEnum):
    """What is wrong with the machine, or with what the model's start was given."""

    NO_GPU = "NoGpu"
    OLD_DRIVER = "OldDriver"
    OLD_GPU = "OldGpu"
    TOO_FEW_GPUS = "TooFewGpus"
    TOO_LITTLE_GPU_MEMORY = "TooLittleGpuMemory"
    TOO_LITTLE_SHARED_MEMORY = "TooLittleSharedMemory"
    NO_TOKEN = "NoToken"  # noqa: S105 - a reason, no password
    NO_WEIGHTS = "NoWeights"


EXIT_CODES: Final = {
    Reason.NO_GPU: 20,
    Reason.OLD_DRIVER: 21,
    Reason.OLD_GPU: 22,
    Reason.TOO_FEW_GPUS: 23,
    Reason.TOO_LITTLE_GPU_MEMORY: 24,
    Reason.TOO_LITTLE_SHARED_MEMORY: 25,
    Reason.NO_TOKEN: 26,
    Reason.NO_WEIGHTS: 27,
}
"""Beside those of `inspect`, which hold here for the same troubles of a model (10 to 13)."""


class PreflightError(Exception):
    """A start that would fail."""

    def __init__(self, reason: Reason | ModelReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return EXIT_CODES[self.reason] if isinstance(self.reason, Reason) else MODEL_EXIT_CODES[self.reason]

    @property
    def line(self) -> str:
        """The termination message: one line."""
        return f"preflight: {self.reason}: {' '.join(self.message.split())}"


def from_inspection(error: InspectionError) -> PreflightError:
    """Return the same trouble of a model as a failure of the start."""
    return PreflightError(error.reason, error.message)
