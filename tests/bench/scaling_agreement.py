"""The same burst on a real cluster and in the simulator: do the replicas agree? `make agreement [INDEX=1]`.

On the cluster the operator scales pods of the simulated engine behind a Service, and clients send a real trace. In the
simulator `batchedllm simulate` plays the same requests against the same manifest; of the cluster it is told only how
long a replica took to start. Prints tables; --write puts them into docs/scaling.md.
"""

import argparse
import asyncio
import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import operator_machine
from bench import operator_process as process
from bench.agreement import lived, simulated, traffic
from bench.agreement.report import Compared
from bench.agreement.traffic import Phase
from bench.operator_report import filled
from bench.operator_watch import BenchError
from testbed import Cluster, Gpus, TestbedError
from testbed.commands import say
from testbed.providers import choose

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/scaling.md"
WORK = ROOT / "build/agreement"
PART = "scaling_agreement.py"
SCRAPE_SECONDS = 2.0
SEEDS = 9
LONGEST_SECONDS = 6 * 60.0
GOAL = 0.9
"""Of the median seed."""
PHASES = (Phase(10, 0.0), Phase(20, 0.4), Phase(50, 2.2), Phase(130, 0.3))
"""Nobody; 3 requests a second, 17 in the burst, 2 after it: what two cores play on time, beside the engines."""
MANIFEST: dict[str, Any] = {
    "apiVersion": "batchedllm.dev/v1alpha1",
    "kind": "BatchedLLM",
    "metadata": {"name": "agreement"},
    "spec": {
        "model": {"id": "meta-llama/Llama-3.1-8B-Instruct"},
        "gpu": {"memory": "139.8Gi"},
        "batching": {"maxModelLen": 16384, "maxNumSeqs": 4, "maxNumBatchedTokens": 8192},
        "engine": {
            "image": "batchedllm.dev/engine:0.1.0-sim",
            "arguments": ["--sim-startup-seconds=3"],
            "sharedMemory": "16Mi",
        },
        "rollout": {"drainSeconds": 20},
        "scaling": {
            "minReplicas": 1,
            "maxReplicas": 12,
            "scaleDown": {"stabilizationSeconds": 30, "maxStep": 2, "periodSeconds": 10},
        },
    },
}
"""A batch of 4, so that few requests need many replicas; all signals at their defaults."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is run."""

    manifest: dict[str, Any]
    phases: tuple[Phase, ...]
    seeds: int = SEEDS
    """Of the simulator's routing."""


CASE = Case(MANIFEST, PHASES)


async def compare(cluster: Cluster, namespace: str, case: Case, work: Path) -> Compared:
    """Run both. An operator must look after the namespace already."""
    manifest, phases = case.manifest, case.phases
    requests = traffic.played(traffic.recorded(), phases)
    duration = traffic.duration_seconds(phases)
    real = await lived.live(cluster, namespace, manifest, requests)
    if not real.starts:
        raise BenchError(f"no replica was added, so there is nothing to compare; the status: {real.status}")
    startup = median(one.seen_seconds for one in real.starts)
    simulations = await asyncio.to_thread(simulated.run, manifest, requests, startup, case.seeds, work)
    return Compared(real, simulations, startup, duration)


@contextmanager
def _scene(cluster: Cluster) -> Iterator[str]:
    """Make a namespace with an operator of its own, and remove both in the end."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds/batchedllms.yaml"))
    # Not by its condition: kubectl fails where a new resource has none yet.
    kind = "--for=jsonpath={.status.acceptedNames.kind}=BatchedLLM"
    cluster.kubectl("wait", kind, "crd/batchedllms.batchedllm.dev", "--timeout=30s")
    namespace = f"agreement-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", namespace)
    try:
        operator = process.start(cluster.kubeconfig, namespace, SCRAPE_SECONDS, WORK / "operator.log")
        try:
            yield namespace
        finally:
            operator.stop()
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--timeout=120s", timeout_seconds=150)


async def _run(index: int) -> tuple[Compared, str]:
    load = os.getloadavg()[0]
    cluster = choose(index, os.environ).up(Gpus(count=16))
    cluster.load_image("engine-sim")
    WORK.mkdir(parents=True, exist_ok=True)
    with _scene(cluster) as namespace:
        async with asyncio.timeout(LONGEST_SECONDS):
            found = await compare(cluster, namespace, CASE, WORK)
    machine = operator_machine.describe(load)
    return found, (
        f"Measured on {machine['date']} by `make agreement`: {machine['cores']} cores ({machine['processor']}), load "
        f"average before it {machine['load_average']:.1f}."
    )


def _details(found: Compared) -> str:
    """Return what to look at where the two do not agree."""
    told = [f"cluster: {json.dumps(found.lived.status.get('decisions'), indent=1)}", "simulator, first seed:"]
    told += [f"  {at:4.0f} s  {reason}" for at, reason in found.simulated[0].decisions]
    return "\n".join((*told, *sorted(set(found.lived.failed))))


def main() -> int:
    """Run both, print the tables, and return 0 where they agree for long enough."""
    parser = argparse.ArgumentParser(prog="bench.scaling_agreement", description=__doc__)
    parser.add_argument("--index", type=int, default=0, help="which of the testbed's clusters (0)")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/scaling.md")
    options = parser.parse_args()
    try:
        found, machine = asyncio.run(_run(options.index))
    except (BenchError, TestbedError, TimeoutError) as error:
        say(f"agreement: {error or 'it took too long'}; the operator's log is in {WORK}")
        return 1
    part = f"{machine}\n\n{found.figures()}\n\n{found.starts()}\n\n{found.replicas()}"
    print(part)
    (WORK / "details.txt").write_text(_details(found), encoding="utf-8")
    if options.write:
        DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8"), {PART: part}), encoding="utf-8")
    return 0 if median(found.shares) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
