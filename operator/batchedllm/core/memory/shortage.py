"""What an engine that ended for want of GPU memory found there: the question to plan again with.

Three ends are told apart. The cache was too small: the engine says what was left for it. The GPU was not free: the
engine says what was. An allocation failed: PyTorch says what was asked for and what was free, or nothing at all.
Messages: v1/worker/utils.py and v1/core/kv_cache_utils.py of vLLM 0.32, c10/cuda/CUDACachingAllocator.cpp of PyTorch 2.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from batchedllm.core.memory.actual import Actual, actual_of_log
from batchedllm.core.memory.calibration import MEASURED
from batchedllm.core.memory.plan_types import Bill, Correction, Question
from batchedllm.core.memory.units import GIB, KIB, MIB, Bytes
from batchedllm.core.memory.verdict import gib

UNTOLD_SHARE: Final = 0.01
"""Of the GPU: what is taken to be missing where the engine does not say, the smallest step of its utilization."""

_UNITS: Final = {"bytes": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_SIZE: Final = r"([\d.]+) (bytes|KiB|MiB|GiB)"
_FAILED: Final = re.compile(r"OutOfMemoryError|(?:CUDA|HIP) out of memory|CUDA error: out of memory")
_ASKED: Final = re.compile(rf"Tried to allocate {_SIZE}\.")
_FREE: Final = re.compile(rf"of which {_SIZE} is free")
_NOTHING_LEFT: Final = re.compile(r"No available memory for the cache blocks|Cannot auto-fit max_model_len")
_NOT_FREE: Final = re.compile(r"on startup is less than desired GPU memory utilization")
_BEFORE_THE_CACHE: Final = re.compile(r"\bin (?:load_model|determine_available_memory|profile_run)\b")
"""Frames of a traceback from before the engine takes what is left for its cache (v1/worker/gpu_worker.py)."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """What was found out."""

    question: Question
    """The planned question with what was found out in it."""
    words: str
    """What the engine had, beside what was planned."""
    actual: Actual | None = None
    """The engine's own account, where later plans can learn from it."""


def shortage(question: Question, planned: Bill, log: str) -> Shortage | None:
    """Read the last words of an engine that `question` was planned for; None if they tell of no want of memory."""
    actual = actual_of_log(log)
    if _NOT_FREE.search(log) and actual.free is not None and actual.total is not None:
        return _not_free(question, planned, actual.free, actual.total)
    if actual.kv_needed is not None or _NOTHING_LEFT.search(log):
        return _small_cache(question, planned, actual)
    return _ran_out(question, planned, log) if _FAILED.search(log) else None


def _small_cache(question: Question, planned: Bill, actual: Actual) -> Shortage:
    """Put what was missing on the activation peak, the least sure of the terms before the cache."""
    left = Bytes(0) if actual.kv_cache is None else actual.kv_cache
    words = f"it had {gib(left)} for its KV cache, {gib(planned.kv_cache)} were planned"
    found = _with_more_activation(question, planned.kv_cache - left)
    return Shortage(found, words, None if actual.kv_cache is None else actual)


def _not_free(question: Question, planned: Bill, free: Bytes, total: Bytes) -> Shortage:
    occupied = Bytes(max(0, total - free - MEASURED.context))
    words = f"{gib(free)} of the GPU's {gib(total)} were free at its start, {gib(planned.requested)} were to be taken"
    return Shortage(_occupied(question, occupied), words)


def _ran_out(question: Question, planned: Bill, log: str) -> Shortage:
    """Plan with a GPU that lacks what could not be allocated."""
    missing, told = _missing(question, log)
    amount = f"{gib(missing)} more than was free" if told else "more than was free"
    frames = _BEFORE_THE_CACHE.findall(log)
    if frames:
        words = f"it asked for {amount} before its KV cache, for which {gib(planned.kv_cache)} were planned"
        return Shortage(_with_more_activation(question, planned.kv_cache + max(0, planned.headroom) + missing), words)
    words = f"it asked for {amount} beside the {gib(planned.requested)} of its budget"
    beside = planned.headroom + planned.headroom_error
    return Shortage(_occupied(question, Bytes(max(0, beside) + missing)), words)


def _missing(question: Question, log: str) -> tuple[Bytes, bool]:
    """Return what an allocation lacked, and whether the engine told it."""
    asked, free = _ASKED.search(log), _FREE.search(log)
    if asked is None or free is None:
        return Bytes(int(question.gpu.memory * UNTOLD_SHARE)), False
    return Bytes(max(MIB, _bytes(asked) - _bytes(free))), True


def _bytes(match: re.Match[str]) -> int:
    return int(float(match[1]) * _UNITS[match[2]])


def _with_more_activation(question: Question, extra: int) -> Question:
    before = question.correction or Correction()
    return replace(question, correction=replace(before, activation_bytes=before.activation_bytes + extra))


def _occupied(question: Question, occupied: Bytes) -> Question:
    return replace(question, gpu=replace(question.gpu, occupied=occupied))
