"""What a line of vLLM's log says of a start's times and memory. Pure.

Messages: v1/worker/gpu_worker.py, v1/worker/gpu/model_runner.py, v1/worker/cpu_worker.py, v1/engine/core.py and
compilation/monitor.py of vLLM 0.26 and 0.32. A version that words them otherwise lacks the metric of that message, and
nothing else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

_GIB: Final = 1 << 30
_NUMBER: Final = r"(-?[\d,]+(?:\.\d+)?)"
_GIBIBYTES: Final = rf"{_NUMBER} GiB"


@dataclass(frozen=True, slots=True)
class Fact:
    """One number that a process told."""

    kind: Literal["phase", "term"]
    name: str
    """A key of `PHASES` or `TERMS`."""
    value: float
    """Seconds, or bytes."""


def _message(pattern: str, *names: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    return re.compile(pattern), names


_MESSAGES: Final = (
    _message(
        rf"Model loading took {_GIBIBYTES}(?: memory)? and {_NUMBER} seconds", "term:weights", "phase:load_weights"
    ),
    _message(rf"torch\.compile took {_NUMBER} s in total", "phase:compile"),
    _message(rf"Initial profiling/warmup run took {_NUMBER} s", "phase:warmup"),
    _message(rf"Free memory on device (?:\S+ )?\({_NUMBER}/{_GIBIBYTES}\)", "", "term:total"),
    _message(rf"Desired GPU memory utilization is \({_NUMBER}, {_GIBIBYTES}\)", "", "term:requested"),
    _message(rf"Actual usage is {_GIBIBYTES} for weight", "term:weights"),
    _message(rf"Actual usage is {_GIBIBYTES} for consumed memory", "term:consumed"),
    _message(rf"{_GIBIBYTES} for peak activation", "term:activation"),
    _message(rf"{_GIBIBYTES} for non-torch memory", "term:non_torch"),
    _message(rf"Estimated CUDA graph memory: {_GIBIBYTES}", "term:cuda_graphs_estimate"),
    _message(
        rf"Graph capturing finished in {_NUMBER} secs, took {_GIBIBYTES}", "phase:capture_graphs", "term:cuda_graphs"
    ),
    _message(rf"Available KV cache memory: {_GIBIBYTES}", "term:kv_cache"),
    _message(rf"reserved {_GIBIBYTES} memory for KV Cache", "term:kv_cache"),
    _message(rf"Explicitly set \({_NUMBER}/{_NUMBER}\) GiB for KV cache", "term:kv_cache", ""),
    _message(rf"init engine \(profile, create kv cache, warmup model\) took {_NUMBER} s", "phase:initialize"),
)
"""Each message, and what its numbers are; an empty name is a number that is not kept."""


def facts_of(line: str) -> list[Fact]:
    """Return what a line says; most say nothing."""
    found = []
    for pattern, names in _MESSAGES:
        match = pattern.search(line)
        if match is not None:
            found += [_fact(name, text) for name, text in zip(names, match.groups(), strict=True) if name]
    return found


def _fact(place: str, text: str) -> Fact:
    kind, _, name = place.partition(":")
    number = float(text.replace(",", ""))
    return Fact("phase", name, number) if kind == "phase" else Fact("term", name, round(number * _GIB))


def merged(facts: Iterable[Fact]) -> list[Fact]:
    """Return one fact a name: of several ranks the largest, and of what is left for the KV cache the smallest."""
    by_name: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        other = by_name.setdefault((fact.kind, fact.name), fact)
        larger = max(fact, other, key=lambda one: one.value)
        smaller = min(fact, other, key=lambda one: one.value)
        by_name[fact.kind, fact.name] = smaller if fact.name == "kv_cache" else larger
    return list(by_name.values())
