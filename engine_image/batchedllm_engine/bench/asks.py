"""The requests of a measurement: how long they are, and when they come. Pure: randomness is an argument."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp, isfinite, log
from pathlib import Path
from random import Random
from typing import Final

TRACE_COLUMNS: Final = (("TIMESTAMP", "ContextTokens", "GeneratedTokens"), ("t_s", "input_tokens", "output_tokens"))
"""Of Azure's traces, and of plain ones."""
TOKEN_IDS: Final = (500, 800)
"""Prompts are random tokens of this range: two never share a block of the prefix cache. In every vocabulary these are
pieces of words. Lower ones are bytes, and behind a prompt that is no text vLLM decodes more than it would."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request."""

    prompt_tokens: int
    output_tokens: int
    at_seconds: float = 0.0
    """When it comes, counted from the first; only of a stream."""


class TraceFileError(Exception):
    """A trace that cannot be read; the message says what was expected."""


def prompt(tokens: int, random: Random) -> list[int]:
    """Return token ids that no other prompt has."""
    low, high = TOKEN_IDS
    return [random.randrange(low, high) for _ in range(tokens)]


def mixed(count: int, prompt_tokens: int, shortest: int, longest: int, random: Random) -> list[Ask]:
    """Return requests whose answers are between short and long, each magnitude as common as any other."""
    span = log(longest / shortest)
    return [Ask(prompt_tokens, round(shortest * exp(span * random.random()))) for _ in range(count)]


def stream(count: int, per_second: float, variation: float, lengths: tuple[int, int], random: Random) -> list[Ask]:
    """Return requests with gamma-distributed gaps; `variation` is their coefficient of variation, 1 for Poisson."""
    shape = 1 / (variation * variation)
    at, asks = 0.0, []
    for _ in range(count):
        asks.append(Ask(*lengths, at_seconds=at))
        at += random.gammavariate(shape, 1 / (shape * per_second))
    return asks


def read_trace(file: Path, longest_tokens: int | None) -> list[Ask]:
    """Return the requests of a CSV file, those that the engine can hold. Raises TraceFileError."""
    try:
        rows = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    except (OSError, ValueError) as error:
        raise TraceFileError(f"{file}: {error}") from error
    columns = next((names for names in TRACE_COLUMNS if rows and set(names) <= set(rows[0])), None)
    if columns is None:
        raise TraceFileError(
            f"{file}: expected a CSV with the columns {' or '.join(','.join(c) for c in TRACE_COLUMNS)}"
        )
    asks = []
    for number, row in enumerate(rows, start=2):
        try:
            at, (sent, wanted) = _moment(row[columns[0]]), (int(row[column]) for column in columns[1:])
        except (ValueError, TypeError) as error:
            raise TraceFileError(f"{file} line {number}: {error}") from error
        if sent > 0 < wanted and (longest_tokens is None or sent + wanted <= longest_tokens):
            asks.append(Ask(sent, wanted, at))
    if not asks:
        raise TraceFileError(f"{file}: holds no request that the engine can take")
    first = min(one.at_seconds for one in asks)
    return sorted(
        (Ask(one.prompt_tokens, one.output_tokens, one.at_seconds - first) for one in asks),
        key=lambda one: one.at_seconds,
    )


def at_rate(asks: Sequence[Ask], per_second: float | None, seconds: float) -> list[Ask]:
    """Return a trace's beginning of so many seconds, played faster or slower so that its mean rate is as asked for."""
    last = asks[-1].at_seconds
    factor = 1.0 if per_second is None or last <= 0 else (len(asks) / last) / per_second
    played = (Ask(one.prompt_tokens, one.output_tokens, one.at_seconds * factor) for one in asks)
    return [one for one in played if one.at_seconds <= seconds]


def _moment(text: str) -> float:
    """Return seconds, of a number or of a date; more digits than microseconds are cut."""
    try:
        value = float(text)
    except ValueError:
        whole, _, fraction = text.partition(".")
        return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00").timestamp()
    if not isfinite(value):
        raise ValueError(f"{text!r} is no time")
    return value
