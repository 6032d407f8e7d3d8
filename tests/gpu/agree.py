"""Simulator = reality: the burst that was lived, played again in `batchedllm simulate` with what was measured. No GPU.

The simulator gives each replica a GPU of its own. On the host they had one between them, which no profile tells; what
that does to the answers' times is in the error that is stated.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from batchedllm.api.resource import parse
from batchedllm.cli import simulate as command
from batchedllm.cli.simulate_case import arena_of
from batchedllm.core.scaling.objective import objective_of
from batchedllm.core.scaling.types import Fleet, ScalingState
from batchedllm.sim.fleet.own_policy import OwnPolicy
from batchedllm.sim.fleet.simulation import simulate
from batchedllm.sim.workload import TraceRequest
from bench.agreement.curves import Curve, Tolerance, agreement
from bench.agreement.traffic import as_csv
from gpu import traffic
from gpu.cases import fleet

SEEDS = 9
TOLERANCE = Tolerance(replicas=1, seconds=10.0)
BUILT_IN = "h200-llama-8b"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Played:
    """One run in the simulator."""

    wanted: Curve
    ttft_seconds: tuple[float, ...]


def profile(burst: Json, bench: Json) -> Json:
    """Return the profile for the simulator: the curve of the engine's own benchmark, and the burst's contexts.

    The benchmark's contexts are short. What a step of the burst took more than one of the benchmark is put on the
    tokens that its requests had to read.
    """
    knots = [(int(tokens), float(seconds)) for tokens, seconds in bench["knots"]]
    counters = burst["engineMetrics"]
    label = max(counters["decode_steps_total"], key=lambda one: counters["decode_steps_total"][one])
    steps = counters["decode_steps_total"][label]
    batch = counters["decode_step_requests_total"][label] / steps
    lived = counters["decode_step_seconds_total"][label] / steps
    context = batch * burst["meanContextTokens"]
    more = max(0.0, lived - _interpolated(knots, batch)) / context
    return {
        "gpu": f"{bench['gpu']}, measured",
        "knots": [list(one) for one in knots],
        "secondsPerContextToken": more,
        "kvCacheTokens": 40960,
    }


def _interpolated(knots: list[tuple[int, float]], at: float) -> float:
    for (left, before), (right, after) in pairwise(knots):
        if left <= at <= right:
            return before + (after - before) * (at - left) / (right - left)
    return knots[-1][1]


def compare(burst: Json, bench: Json, utilization: float) -> Json:
    """Play the burst with the measured profile and with the built-in one, and hold both against what was lived."""
    played = burst["trace"]
    requests = [
        TraceRequest(one.at_seconds, one.prompt_tokens, one.output_tokens)
        for one in fleet.requests(played["factor"], played["seconds"])
    ]
    context = sum(one.prompt_tokens + one.output_tokens / 2 for one in requests) / len(requests)
    measured = profile({**burst, "meanContextTokens": context}, bench)
    startup = burst["toAllReadySeconds"] - burst["toPatchSeconds"]
    found: Json = {"profile": measured, "startupSeconds": startup, "lived": lived(burst)}
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "profile.json"
        file.write_text(json.dumps(measured))
        for label, given in (("measured", str(file)), ("builtIn", BUILT_IN)):
            runs = [
                play(requests, given, utilization, startup, seed=seed, work=Path(name)) for seed in range(1, SEEDS + 1)
            ]
            found[label] = against(found["lived"], runs)
    return found


def lived(burst: Json) -> Json:
    """Return what is compared of the run on the GPU: replicas wanted over time, and times to first token."""
    begin = burst["beginSeconds"]
    curve = [[row[0] - begin, row[1]] for row in burst["series"] if row[0] >= begin]
    first = [row[1] for row in burst["rows"] if row[1] is not None]
    return {
        "wanted": curve,
        "ttftP50Seconds": traffic.percentile(first, 50),
        "ttftP99Seconds": traffic.percentile(first, 99),
    }


def against(seen: Json, runs: list[Played]) -> Json:
    """Return the simulator's median over the seeds beside what was seen, and the errors."""
    real = Curve(tuple((at, replicas) for at, replicas in seen["wanted"]))
    last = seen["wanted"][-1][0]
    shares = [agreement(real, one.wanted, last, TOLERANCE) for one in runs]
    p50, p99 = (
        median(traffic.percentile(list(one.ttft_seconds), percent) or 0.0 for one in runs) for percent in (50, 99)
    )
    middle = [[at, round(median(one.wanted.at(at) for one in runs))] for at in range(0, int(last), 5)]
    return {
        "wanted": middle,
        "agreement": median(shares),
        "ttftP50Seconds": p50,
        "ttftP99Seconds": p99,
        "ttftP99ErrorPercent": 100 * (p99 / seen["ttftP99Seconds"] - 1),
    }


def play(
    requests: list[TraceRequest], given: str, utilization: float, startup: float, *, seed: int, work: Path
) -> Played:
    """Run the simulator once, from one replica as on the cluster."""
    manifest = fleet.manifest(utilization)
    trace, resource = work / "trace.csv", work / "batchedllm.json"
    trace.write_text(as_csv(requests), encoding="utf-8")
    resource.write_text(json.dumps(manifest), encoding="utf-8")
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    options = parser.parse_args(
        [
            "simulate",
            "--trace",
            str(trace),
            "-f",
            str(resource),
            "--startup-seconds",
            str(startup),
            "--gpu-profile",
            given,
        ]
    )
    spec = parse(manifest)
    arena = arena_of(options)
    settings = replace(arena.settings, start_replicas=1, hold_seconds=0.0)
    state = ScalingState(
        spec.scaling, Fleet(0, 0, 0), None, batch_limit=spec.batching.max_num_seqs, objective=objective_of(spec.slo)
    )
    score = simulate(arena.make_trace(seed), OwnPolicy(state, startup_seconds=startup), settings, seed)
    return Played(Curve.of_changes(1, score.changes), tuple(score.ttft_seconds))
