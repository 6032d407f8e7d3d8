"""The run in the simulator: what `batchedllm simulate` makes of the same manifest and the same requests."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from batchedllm.api.resource import parse
from batchedllm.cli import simulate as command
from batchedllm.cli.simulate_case import arena_of
from batchedllm.core.scaling.objective import objective_of
from batchedllm.core.scaling.types import Fleet, ScalingState
from batchedllm.sim.fleet.own_policy import OwnPolicy
from batchedllm.sim.fleet.simulation import simulate
from batchedllm.sim.traces.trace import Trace
from batchedllm.sim.workload import TraceRequest
from bench.agreement.curves import Curve
from bench.agreement.traffic import as_csv


@dataclass(frozen=True, slots=True)
class Simulated:
    """One run with one seed, which is the routing's."""

    wanted: Curve
    decisions: tuple[tuple[float, str], ...]
    """(seconds, reason) of those that changed the number."""


def run(
    manifest: dict[str, Any], requests: Sequence[TraceRequest], startup_seconds: float, seeds: int, work: Path
) -> list[Simulated]:
    """Simulate with the seeds 1, 2, ...; files for the command are left in `work`.

    The command sizes the start for the traffic and holds it; on the cluster a run begins with one replica, so here too.
    """
    spec = parse(manifest)
    arena = arena_of(_options(manifest, requests, startup_seconds, work))
    settings = replace(arena.settings, start_replicas=1, hold_seconds=0.0)
    state = ScalingState(
        spec.scaling,
        Fleet(0, 0, 0),
        None,
        batch_limit=spec.batching.max_num_seqs,
        objective=objective_of(spec.slo),
    )
    found = []
    for seed in range(1, seeds + 1):
        policy = OwnPolicy(state, startup_seconds=startup_seconds)
        score = simulate(_as_sent(arena.make_trace(seed), requests), policy, settings, seed)
        reasons = tuple((at, decision.reason) for at, decision in policy.decisions)
        found.append(Simulated(Curve.of_changes(settings.start_replicas, score.changes), reasons))
    return found


def _as_sent(trace: Trace, requests: Sequence[TraceRequest]) -> Trace:
    """Return the trace with the time before its first request, which a file's reader leaves out."""
    later = requests[0].offset_seconds
    shifted = (replace(one, offset_seconds=one.offset_seconds + later) for one in trace.requests)
    return replace(trace, requests=tuple(shifted))


def _options(
    manifest: dict[str, Any], requests: Sequence[TraceRequest], startup_seconds: float, work: Path
) -> argparse.Namespace:
    trace, resource = work / "trace.csv", work / "batchedllm.yaml"
    trace.write_text(as_csv(requests), encoding="utf-8")
    resource.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    given = ["simulate", "--trace", str(trace), "-f", str(resource), "--startup-seconds", str(startup_seconds)]
    return parser.parse_args(given)
