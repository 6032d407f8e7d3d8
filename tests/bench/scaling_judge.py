"""The policies on the judge's traces.

    PYTHONPATH=$(.venv/bin/python tests/bench/compiled.py):tests .venv/bin/python -m bench.scaling_judge --traces DIR

DIR holds `AzureLLMInferenceTrace_{conv,code}.csv` (https://github.com/Azure/AzurePublicDataset) and
`mooncake_synthetic.jsonl` (https://github.com/kvcache-ai/Mooncake). Every run is kept in a file of the user's cache:
what was stopped goes on, and only what changed is run again. `--write` puts the tables into docs/scaling.md.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from batchedllm.sim.fleet.capacity import Capacity
from bench.scaling import plan
from bench.scaling.cases import REQUIRED, STARTUPS, TITLES
from bench.scaling.report import sections
from bench.scaling.results import FILE, Figures, Results
from bench.scaling.tasks import Task, perform

DOCUMENT = Path(__file__).parents[2] / "docs" / "scaling.md"
BEGIN, END = "<!-- begin: scaling_judge.py -->", "<!-- end: scaling_judge.py -->"
PROGRESS_SECONDS = 30.0
STAGES = ("tuning", "scoring", "whole", "reaching", "studies")

Job = tuple[Task, Capacity | None]


def made(job: Job, folder: Path) -> tuple[Task, Figures]:
    """Make a run, in whatever process."""
    return job[0], perform(job[0], folder, job[1])


def all_made(jobs: list[Job], folder: Path, processes: int) -> Iterator[tuple[Task, Figures]]:
    """Make all runs, those of the same traffic one after the other."""
    make = partial(made, folder=folder)
    if processes == 1:
        yield from map(make, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(make, jobs, chunksize=8)


def run(name: str, tasks: Iterable[Task], results: Results, folder: Path, processes: int) -> bool:
    """Make what was not made yet; return whether there was anything."""
    missing = [task for task in dict.fromkeys(tasks) if results.get(task) is None]
    missing.sort(key=lambda task: (task.world.title, task.world.seed, task.world.window))
    jobs = [(task, capacity_in(results, task)) for task in missing]
    began = told = time.monotonic()
    for done, (task, figures) in enumerate(all_made(jobs, folder, processes), start=1):
        results.add(task, figures)
        if time.monotonic() > told + PROGRESS_SECONDS or done == len(jobs):
            told = time.monotonic()
            print(f"{name}: {done} of {len(jobs)} runs, {told - began:.0f} s; {task.name}", flush=True)
    return bool(missing)


def capacity_in(results: Results, task: Task) -> Capacity | None:
    """Return the measured capacity of a task's traffic; None for the task that measures it."""
    if task.policy == "capacity":
        return None
    figures = results.get(plan.capacity_task(task.world.title))
    assert figures is not None, f"the capacity for {task.world.title} is measured before anything else"
    return Capacity(**figures)


def stages(scope: plan.Scope, results: Results) -> dict[str, Callable[[], list[Task]]]:
    """Return what there is to run, in order; a stage may depend on what the ones before came to."""
    return {
        "capacity": lambda: [plan.capacity_task(title) for title in scope.titles],
        "tuning": lambda: plan.tuning(scope),
        "scoring": lambda: plan.scoring(scope, results),
        "whole": lambda: plan.whole(scope),
        "reaching": lambda: plan.reaching(scope, results),
        "studies": lambda: plan.studies(scope),
    }


def write(tables: list[str]) -> None:
    """Replace what is between the marks of the page."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(before + "\n\n".join([BEGIN, *tables, END]) + after, encoding="utf-8")


def main() -> None:
    """Run what is missing, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", action="append", choices=TITLES, help="a trace by its title")
    parser.add_argument("--startup", action="append", type=int, help=f"seconds (default: {STARTUPS})")
    parser.add_argument("--policy", action="append", choices=plan.PEERS, help="besides ours (default: all)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--clairvoyant-seeds", type=int, default=1, help="minutes each (default: %(default)s)")
    parser.add_argument("--stage", action="append", choices=STAGES, help="(default: all)")
    parser.add_argument("--tables", action="store_true", help="run nothing, tell what is known")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--results", type=Path, default=FILE, help="where every run is kept (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/scaling.md")
    options = parser.parse_args()
    scope = plan.Scope(
        *(tuple(options.only or REQUIRED), tuple(options.startup or STARTUPS), options.seeds),
        peers=tuple(options.policy or plan.PEERS),
        clairvoyant_seeds=options.clairvoyant_seeds,
    )
    results = Results(options.results)
    for name, tasks in stages(scope, results).items():
        if not options.tables and (name == "capacity" or not options.stage or name in options.stage):
            while run(name, tasks(), results, options.traces, options.processes):
                pass
    tables = sections(scope, results)
    print("\n\n".join(tables))
    if options.write:
        write(tables)


if __name__ == "__main__":
    main()
