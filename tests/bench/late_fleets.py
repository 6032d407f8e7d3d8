"""What no policy can make up for: fixed fleets that are asked for when everybody is, and not there from the start.

    PYTHONPATH=$(.venv/bin/python tests/bench/compiled.py):tests .venv/bin/python -m bench.late_fleets --traces DIR

Each begins as every policy of the judge does, with what the first two minutes need on average, and asks for its size
when that is over. Whoever does not know the traffic cannot be better on its first minutes; the fixed fleets of
`bench.scaling_judge` begin at their size.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from batchedllm.sim.fleet.capacity import capacity_of
from batchedllm.sim.fleet.fixed import Fixed
from batchedllm.sim.fleet.simulation import simulate
from batchedllm.sim.judge.comparison import start_of
from bench.scaling.cases import STARTUPS, World, traffic
from bench.scaling.tasks import own

TITLES = ("code x8", "code x6")
FLEETS = (9, 12, 16, 20)


def main() -> None:
    """Print a table: A and replica-hours of each fleet, and of the operator's policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, required=True, metavar="DIR")
    folder = parser.parse_args().traces
    fleets = " | ".join(f"{size} replicas: A / hours" for size in FLEETS)
    print("| traffic | part | start-up s | start |", fleets, "| ours |")
    print("| --- | --- | ---: | ---: |", " | ".join("---:" for _ in FLEETS), "| ---: |")
    for title in TITLES:
        capacity = capacity_of(traffic(folder, World(title, "whole")), World(title).settings, 1).tokens_per_second
        for part in ("second", "whole"):
            for startup in STARTUPS:
                world = World(title, part, startup)
                requests = traffic(folder, world)
                settings = replace(world.settings, start_replicas=start_of(requests, world.settings, capacity))
                policies = [*(Fixed(size, interval_seconds=0.0) for size in FLEETS), own(world, "", capacity)]
                scores = [simulate(requests, one, settings, 1) for one in policies]
                cells = (f"{score.attainment:.3f} / {score.replica_hours:.1f}" for score in scores)
                print(
                    f"| {title} | {part} | {startup} | {settings.start_replicas} |", " | ".join(cells), "|", flush=True
                )


if __name__ == "__main__":
    main()
