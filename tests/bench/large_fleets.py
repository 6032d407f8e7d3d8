"""Steady traffic on a fleet that is far too large for it: how much of it is let go, and how soon.

    PYTHONPATH=$(.venv/bin/python tests/bench/compiled.py):tests .venv/bin/python -m bench.large_fleets

Who moves a deployment to the operator brings the replicas that somebody once guessed, and nothing is known of the model
yet. Each case is an hour; the judge's cases begin with what their first minutes need instead.
"""

from dataclasses import replace
from random import Random
from typing import Final

from batchedllm.sim.fleet.capacity import capacity_of
from batchedllm.sim.fleet.simulation import simulate
from batchedllm.sim.policies.registry import case_of, policy
from batchedllm.sim.traces.trace import Trace
from bench.other_traffic import CHAT, LONG_PROMPTS, REASONING, Size, arrivals
from bench.scaling.cases import World
from bench.scaling.tasks import own

CASES: Final[tuple[tuple[str, Size, float, int, int], ...]] = (
    ("chat, 8/s", CHAT, 8.0, 5, 60),
    ("chat, 20/s", CHAT, 20.0, 5, 60),
    ("chat, 120/s", CHAT, 120.0, 12, 240),
    ("answers of 1,200 tokens, 8/s", REASONING, 8.0, 10, 60),
    ("answers of 1,200 tokens, 1/s", REASONING, 1.0, 3, 60),
    ("prompts of 6,000 tokens, 3/s", LONG_PROMPTS, 3.0, 5, 240),
)
"""Name, sizes, requests per second, replicas at first, start-up in seconds."""
PEERS: Final = ("kubeai", "hpa-gpu")
SEED: Final = 5


def main() -> None:
    """Print a table: replica-hours and A of the operator's policy and of peers with their defaults."""
    print("| steady traffic | replicas at first | start-up s | needed |", " | ".join(("**ours**", *PEERS)), "|")
    print("| --- | ---: | ---: | ---: |" + " ---: |" * (1 + len(PEERS)))
    for name, size, per_second, replicas, startup_seconds in CASES:
        requests = tuple(arrivals(lambda _, rate=per_second: rate, size, Random(SEED)))
        trace, world = Trace(name, requests), World(name, "whole", startup_seconds)
        settings = replace(world.settings, start_replicas=replicas, hold_seconds=0.0)
        capacity = capacity_of(trace, settings, 1)
        case = case_of(trace, settings, capacity)
        policies = (own(world, "", capacity.tokens_per_second), *(policy(peer, case) for peer in PEERS))
        scores = [simulate(trace, one, settings, SEED) for one in policies]
        cells = " | ".join(f"{score.replica_hours:.2f} h, A {score.attainment:.3f}" for score in scores)
        needed = per_second / capacity.requests_per_second
        print(f"| {name} | {replicas} | {startup_seconds} | {needed:.2f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
