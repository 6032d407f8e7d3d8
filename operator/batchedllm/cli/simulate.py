"""`batchedllm simulate`: what a scaling policy would make of some traffic, without a GPU or a cluster."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from batchedllm.cli.documents import DocumentError
from batchedllm.cli.simulate_arguments import DESCRIPTION, EPILOG, add_arguments
from batchedllm.cli.simulate_case import Arena, arena_of
from batchedllm.cli.simulate_require import refusals
from batchedllm.cli.simulate_table import table
from batchedllm.sim.judge.comparison import Ran, compared, judged

NOT_MET: Final = 2
"""Exit status where a figure is beyond what --require asks."""

_PICTURES: Final = (".html", ".png")


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `simulate`."""
    parser = commands.add_parser(
        "simulate",
        help="replay traffic against a BatchedLLM or other scaling policies, offline",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run all policies with all seeds and print the figures. Raises DocumentError for bad input."""
    if options.plot is not None and Path(options.plot).suffix not in _PICTURES:
        raise DocumentError(f"--plot is {options.plot}, expected a name in .html or .png")
    arena = arena_of(options)
    runs = _run(arena, options.seeds)
    found = document(runs)
    print(json.dumps(found, indent=2) if options.form == "json" else table(found, arena.settings, options.seeds))
    if options.plot is not None:
        _draw([ran for ran in runs if ran.seed == 1], Path(options.plot))
    means = {name: found["policies"][name]["mean"] for name in arena.judged}
    missed = refusals(options.require, means)
    for line in missed:
        print(f"batchedllm: {line}", file=sys.stderr)
    return NOT_MET if missed else 0


def document(runs: list[Ran]) -> dict[str, Any]:
    """Return the figures as JSON, and what was played."""
    trace = runs[0].trace
    return {
        "trace": {
            "name": trace.name,
            "requests": len(trace.requests),
            "durationSeconds": trace.duration_seconds,
            "skipped": dict(trace.skipped),
        },
        "clairvoyant": {"A": runs[0].best.score.attainment, "maxReplicas": runs[0].best.score.most_replicas},
        "policies": {name: judge.document() for name, judge in judged(runs).items()},
    }


def _run(arena: Arena, seeds: int) -> list[Ran]:
    runs = []
    if sys.stderr.isatty():
        print("first the cheapest plan is looked for: many runs of the trace", file=sys.stderr)
    for ran in compared(arena.make_trace, arena.contestants, arena.settings, seeds):
        if sys.stderr.isatty():
            print(f"seed {ran.seed} of {seeds}: {ran.name}", file=sys.stderr)
        runs.append(ran)
    return runs


def _draw(runs: list[Ran], path: Path) -> None:
    """Draw the first seed's runs. Raises DocumentError where that is not possible."""
    from batchedllm.cli import simulate_picture  # noqa: PLC0415 - only a picture needs it

    try:
        if path.suffix == ".html":
            path.write_text(simulate_picture.html(runs), encoding="utf-8")
        else:
            _draw_png(runs, path)
    except OSError as error:
        raise DocumentError(f"--plot {path}: cannot be written: {error}") from error
    print(f"wrote {path}", file=sys.stderr)


def _draw_png(runs: list[Ran], path: Path) -> None:
    try:
        from batchedllm.cli.simulate_png import write_png  # noqa: PLC0415 - matplotlib is an extra
    except ModuleNotFoundError as error:
        raise DocumentError(
            f"--plot {path}: takes matplotlib, pip install 'batchedllm[pictures]', or give a name in .html"
        ) from error
    write_png(runs, path)
