"""Tells, once the engine is up, how long its start took and where its memory went: as metrics, and in a line of log."""

import logging
import os
from pathlib import Path

from prometheus_client import CollectorRegistry

from batchedllm_engine import instruments
from batchedllm_engine.start.account import FOLDER, accounts, seconds_since_begin
from batchedllm_engine.start.definitions import MEMORY_BYTES, PHASES, STARTUP_SECONDS, TERMS
from batchedllm_engine.start.log_lines import Fact, merged


def report_start(registry: CollectorRegistry, log: logging.Logger) -> None:
    """Show the account of a start that has just succeeded. Where none was kept, there is nothing to show."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return
    facts = with_sums(merged(accounts(Path(folder))), seconds_since_begin())
    show(registry, facts)
    log.info("%s", summary(facts))


def with_sums(facts: list[Fact], age_seconds: float) -> list[Fact]:
    """Add how long the whole start took, and the engine's part of it."""
    before = sum(fact.value for fact in facts if fact.name in {"preflight", "import"})
    return [*facts, Fact("phase", "engine", age_seconds - before), Fact("phase", "total", age_seconds)]


def show(registry: CollectorRegistry, facts: list[Fact]) -> None:
    """Set the metrics."""
    gauges = {
        "phase": instruments.gauge(STARTUP_SECONDS, registry),
        "term": instruments.gauge(MEMORY_BYTES, registry),
    }
    for fact in facts:
        gauges[fact.kind].labels(fact.name).set(fact.value)


def summary(facts: list[Fact]) -> str:
    """Return the start in one line, in the order of its phases."""
    values = {(fact.kind, fact.name): fact.value for fact in facts}
    phases = [f"{name} {values['phase', name]:.1f} s" for name in PHASES if ("phase", name) in values]
    terms = [f"{name} {values['term', name] / (1 << 30):.2f} GiB" for name in TERMS if ("term", name) in values]
    return f"started: {', '.join(phases)}" + (f"; memory: {', '.join(terms)}" if terms else "")
