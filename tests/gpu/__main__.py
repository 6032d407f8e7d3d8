"""`python -m gpu pack|unpack|run|report`: see the package's description."""

import argparse
import sys
from pathlib import Path

from gpu import pack, parts, results, run
from gpu.budget import Budget
from gpu.cases import CASES, agreement, fleet
from gpu.parts import PartsError
from gpu.results import Result
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY
from testbed.providers import given_index

WORK = REPOSITORY / "build/gpu-work"


def parser() -> argparse.ArgumentParser:
    """Return the commands and their options."""
    top = argparse.ArgumentParser(prog="python -m gpu", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    packing = commands.add_parser("pack", help="write what a bare GPU host lacks as parts")
    packing.add_argument("output", type=Path, help="folder of the parts")
    packing.add_argument("--part-size", default="55M", help="most bytes of a part (default 55M)")
    packing.add_argument("--work", type=Path, default=WORK / "pack", help="where what is gathered stays")

    unpacking = commands.add_parser("unpack", help="unpack parts as they arrive; `run` does it as well")
    _add_parts(unpacking)

    running = commands.add_parser("run", help="unpack, bring up, run the cases, take down")
    _add_parts(running)
    running.add_argument("--out", type=Path, required=True, help="folder of the results: JSON by case, and logs")
    running.add_argument("--budget-seconds", type=float, default=3600, help="no wait and no case goes on for longer")
    running.add_argument("--cases", default="", help="some of them, with commas (default: all)")
    running.add_argument("--shares", type=int, default=4, help="as how many GPUs the one is advertised (default 4)")
    running.add_argument("--index", type=int, default=given_index(), help="which of the testbed's clusters")
    running.add_argument("--again", action="store_true", help="run also what has a result already")
    running.add_argument("--keep", action="store_true", help="leave the cluster up for another run")
    running.add_argument("--rehearsal", type=Path, help="folder whose bin/vllm stands in for vLLM, where no GPU is")

    agreeing = commands.add_parser("agree", help="play a finished burst in the simulator; no GPU")
    agreeing.add_argument("results", type=Path, help="folder of the results")
    reporting = commands.add_parser("report", help="write docs/gpu.md and its picture from the committed results")
    reporting.add_argument("--check", action="store_true", help="only tell whether the page is current")
    return top


def _add_parts(command: argparse.ArgumentParser) -> None:
    command.add_argument("parts", type=Path, help="folder of the parts")
    command.add_argument("--work", type=Path, default=WORK / "host", help="where all is unpacked")
    command.add_argument("--wait-seconds", type=float, default=5, help="how long a missing part is waited for")


def _run(options: argparse.Namespace) -> int:
    wanted = [one for one in options.cases.split(",") if one] or list(CASES)
    unknown = [one for one in wanted if one not in CASES]
    if unknown:
        raise PartsError(f"--cases names {', '.join(unknown)}; there are {', '.join(CASES)}")
    rehearsal = options.rehearsal.resolve() if options.rehearsal else None
    return run.run(
        options.parts,
        options.work.resolve(),
        options.out.resolve(),
        wanted,
        budget=Budget(options.budget_seconds),
        shares=options.shares,
        index=options.index,
        again=options.again,
        keep=options.keep,
        rehearsal=rehearsal,
    )


def _agree(folder: Path) -> None:
    """Compare, and write the result beside the others."""
    from gpu import agree  # noqa: PLC0415 - needs the operator's packages, which a GPU host does not have

    found = results.read(folder)
    burst, bench = found["burst"], found["engine-bench"]
    result = Result("agreement", burst["at"], 0.0, burst["machine"])
    utilization = round(fleet.GIBIBYTES * 1024 / burst["machine"]["gpu"]["memory_mebibytes"], 2)
    result.measured = agree.compare(burst["measured"], bench["measured"], utilization)
    result.checks = agreement.judge(result.measured)
    print(results.write(folder, result))


def _report(*, check: bool) -> int:
    from gpu import report  # noqa: PLC0415 - draws, which a GPU host may not be able to

    stale = report.run(check=check)
    for line in stale:
        print(f"gpu: {line}", file=sys.stderr)
    return len(stale)


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "pack":
            for part in pack.pack(options.output, parts.size_of(options.part_size), options.work.resolve()):
                print(part)
        elif options.command == "unpack":
            pack.unpack(options.parts, options.work.resolve(), options.wait_seconds)
        elif options.command == "run":
            return _run(options)
        elif options.command == "agree":
            _agree(options.results)
        elif options.command == "report":
            return _report(check=options.check)
    except (PartsError, TestbedError) as error:
        print(f"gpu: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
