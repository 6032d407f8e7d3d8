"""Goals: settings for latency, throughput or both, chosen by planning, and why.

What the user set stays. Batch sizes come from measuring an 8B model on an H200 (sim/measurements.py): 32 requests at
once take each other a fifth of their speed, 256 do two thirds, and 512 have 7 % more throughput than 256; a step of
2,048 tokens of prefill, which running requests wait for, takes 46 ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from batchedllm.core.memory.errors import InvalidSettings
from batchedllm.core.memory.plan import plan
from batchedllm.core.memory.plan_types import Plan, Question, Settings, Verdict
from batchedllm.core.memory.units import Tokens

Goal = Literal["latency", "balanced", "throughput"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a goal asks for."""

    max_num_seqs: int
    max_num_batched_tokens: Tokens
    requests_at_full_length: int
    """With an open length: so many requests of it shall fit at once."""
    why: str


GOALS: Final[dict[Goal, Wishes]] = {
    "latency": Wishes(32, Tokens(2048), 4, "small steps, so that a prefill holds up running requests only briefly"),
    "balanced": Wishes(
        256, Tokens(8192), 16, "batches that have most of the throughput, and steps of the engine's own size"
    ),
    "throughput": Wishes(1024, Tokens(16384), 64, "large steps and batches, whatever a single request waits"),
}


@dataclass(frozen=True, slots=True)
class Batches:
    """What a benchmark says of batch sizes."""

    knee: int
    """After it, throughput grows by a smaller factor than latency."""
    fastest: int
    """With the most tokens a second."""
    sweet_spot: int | None = None
    """Largest within the latency limit; None where it is not known."""


SHORTEST_OPEN_LENGTH: Final = Tokens(4096)
"""An open length is not shortened below this for the sake of concurrency."""
FEWEST_SEQS: Final = 8
SMALLEST_STEP: Final = Tokens(512)


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings that were chosen, why, and what they come to."""

    settings: Settings
    reasons: tuple[str, ...]
    plan: Plan


def choose(goal: Goal, question: Question, measured: Batches | None = None) -> Choice:
    """Fill in what the user left open so that the goal is served; raise InvalidSettings for what cannot be.

    `measured` are batch sizes that a benchmark of this engine found; without, they are those of an 8B model.
    """
    wishes = GOALS[goal] if measured is None else _measured(goal, measured)
    open_names = [
        name for name in ("max_num_seqs", "max_num_batched_tokens") if getattr(question.settings, name) is None
    ]
    settings, planned = _steps(question, wishes)
    reasons = [f"goal {goal}: {wishes.why}"] if open_names else []
    settings, planned, length_reasons = _length(replace(question, settings=settings), planned, wishes)
    settings, planned, seqs_reasons = _seqs(replace(question, settings=settings), planned, open_names)
    chosen = [f"{name} {getattr(settings, name)}" for name in open_names]
    reasons += [", ".join(chosen)] if chosen else []
    return Choice(settings, (*reasons, *length_reasons, *seqs_reasons), planned)


def _measured(goal: Goal, measured: Batches) -> Wishes:
    """Return the goal's wishes, with the batch that a benchmark found for it."""
    wishes = GOALS[goal]
    calm = measured.knee if measured.sweet_spot is None else min(measured.sweet_spot, measured.knee)
    by_goal: dict[Goal, tuple[int, str]] = {
        "latency": (min(calm, wishes.max_num_seqs), "at most the knee, and within the latency limit, as measured"),
        "balanced": (measured.knee, "the knee as measured: beyond it, latency grows more than throughput"),
        "throughput": (measured.fastest, "the batch with the most tokens a second, as measured"),
    }
    batch, why = by_goal[goal]
    return replace(wishes, max_num_seqs=batch, why=f"{wishes.why}; maxNumSeqs is {why}")


def _steps(question: Question, wishes: Wishes) -> tuple[Settings, Plan]:
    """Take the goal's step, or the largest half of it with which the model fits."""
    asked = question.settings
    seqs = asked.max_num_seqs if asked.max_num_seqs is not None else wishes.max_num_seqs
    tokens = asked.max_num_batched_tokens or wishes.max_num_batched_tokens
    if asked.max_num_seqs is None:
        seqs = min(seqs, tokens)
    while True:
        step = tokens if asked.max_num_batched_tokens is not None else Tokens(max(tokens, seqs))
        settings = replace(asked, max_num_seqs=seqs, max_num_batched_tokens=step)
        planned = plan(replace(question, settings=settings))
        is_open = asked.max_num_batched_tokens is None and tokens > SMALLEST_STEP
        if planned.verdict is not Verdict.DOES_NOT_FIT or not is_open:
            return settings, planned
        tokens = Tokens(tokens // 2)
        if asked.max_num_seqs is None:
            seqs = min(seqs, max(FEWEST_SEQS, tokens // 8))


def _length(question: Question, planned: Plan, wishes: Wishes) -> tuple[Settings, Plan, Sequence[str]]:
    """With an open length, take the longest of which the goal's number of requests fit at once."""
    settings = question.settings
    longest = planned.largest_max_model_len
    if settings.max_model_len != "auto" or longest is None or planned.verdict is not Verdict.FITS:
        return settings, planned, ()
    wanted = plan(replace(question, settings=replace(settings, max_num_seqs=wishes.requests_at_full_length)))
    several = wanted.largest_for_concurrency or Tokens(0)
    length = min(longest, max(several, SHORTEST_OPEN_LENGTH))
    chosen = replace(settings, max_model_len=Tokens(length))
    try:
        checked = plan(replace(question, settings=chosen))
    except InvalidSettings:
        return settings, planned, ()
    if checked.verdict is not Verdict.FITS:
        return settings, planned, ()
    cache = checked.kv_cache
    fit = f": {cache.concurrency:.1f} requests of that length fit at once" if cache is not None else ""
    return chosen, checked, (f"maxModelLen {length}{fit}",)


def _seqs(question: Question, planned: Plan, open_names: Sequence[str]) -> tuple[Settings, Plan, Sequence[str]]:
    """Never more requests at once than there are blocks for at a sixteenth of the longest length."""
    settings, cache = question.settings, planned.kv_cache
    if "max_num_seqs" not in open_names or cache is None or planned.verdict is not Verdict.FITS:
        return settings, planned, ()
    useful = max(FEWEST_SEQS, int(cache.concurrency * 16))
    if settings.max_num_seqs is None or settings.max_num_seqs <= useful:
        return settings, planned, ()
    chosen = replace(settings, max_num_seqs=useful)
    checked = plan(replace(question, settings=chosen))
    if checked.verdict is not Verdict.FITS:
        return settings, planned, ()
    return chosen, checked, (f"maxNumSeqs {useful}: the KV cache holds no more requests, even short ones",)
