"""`python -m demo`: from a bare machine to a model that scales under a real burst, with everything shown live."""

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path

import openai
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

import testbed
from demo import burst, chart, reach, trace, watch
from demo.story import ENGINES, Engine
from testbed import diagnosis
from testbed.cluster import Cluster
from testbed.errors import TestbedError

NAMESPACE = "demo"
RELEASE_NAMESPACE = "batchedllm-system"
ROOT = Path(__file__).parents[2]
console = Console()


class DemoError(Exception):
    """The demo cannot go on; the message says what to do."""


def main() -> int:
    """Run the demo; 0 when everything it shows was seen."""
    options = _options()
    engine = ENGINES[options.engine]
    cluster = None
    try:
        cluster = testbed.ensure_cluster()
        _install(cluster, engine)
        address = _serve(cluster, engine)
        _ask(address, engine)
        run = asyncio.run(_burst(cluster, engine, address, options))
        _summary(cluster, engine, run, options.output)
    except KeyboardInterrupt:
        console.print("\nStopped. The cluster still runs: `make demo-down` removes it and everything in it.")
        return 130
    except (DemoError, TestbedError, openai.OpenAIError) as error:
        console.print(f"[red]The demo stopped:[/] {error}", highlight=False)
        if cluster is not None:
            console.print(diagnosis.troubles(cluster), highlight=False, markup=False, soft_wrap=True)
        console.print("`make demo-down` cleans this machine.", highlight=False)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument(
        "--engine", choices=sorted(ENGINES), default="sim", help="sim: simulated, vllm: real, on the CPU"
    )
    parser.add_argument("--seconds", type=float, default=None, help="length of the burst")
    parser.add_argument("--calm-seconds", type=float, default=None, help="longest wait for replicas to go again")
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output", help="folder of the chart")
    return parser.parse_args()


def _install(cluster: Cluster, engine: Engine) -> None:
    console.rule("Operator")
    operator = cluster.load_image("operator")
    cluster.load_image(engine.image)
    console.print(f"helm upgrade --install batchedllm helm/batchedllm   (image {operator})")
    cluster.helm(
        "upgrade", "--install", "batchedllm", str(ROOT / "helm/batchedllm"),
        "--namespace", RELEASE_NAMESPACE, "--create-namespace",
        "--take-ownership", "--force-conflicts", "--wait", "--timeout", "3m",
    )  # fmt: skip


def _serve(cluster: Cluster, engine: Engine) -> str:
    """Apply the example and wait until it is Ready; the address at which it answers."""
    console.rule(f"Model {engine.name}")
    cluster.kubectl("create", "namespace", NAMESPACE, "--dry-run=client", "-o", "name")
    if f"namespace/{NAMESPACE}" not in cluster.kubectl("get", "namespaces", "-o", "name").split():
        cluster.kubectl("create", "namespace", NAMESPACE)
    manifest = engine.manifest(ROOT)
    console.print(manifest.strip(), highlight=False)
    _plan(engine)
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=manifest)
    _wait_ready(cluster, engine)
    return reach.address(cluster, NAMESPACE, engine.name, engine.model)


def _plan(engine: Engine) -> None:
    """Show what the operator is about to check before it creates anything."""
    console.rule("Its memory, planned before a GPU is taken")
    if Path(engine.model).is_absolute():
        console.print("only the engine's image knows this model: the operator asks it, in a short pod without a GPU")
        return
    command = [Path(sys.executable).with_name("batchedllm"), "plan", "-f", ROOT / engine.example]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    words = f"batchedllm plan -f {engine.example}\n{told.stdout or told.stderr}"
    console.print(words, highlight=False, markup=False, soft_wrap=True)


def _wait_ready(cluster: Cluster, engine: Engine) -> None:
    begin = time.monotonic()
    with console.status("waiting for the first replica") as line:
        while time.monotonic() - begin < engine.ready_seconds:
            seen = watch.look(cluster, NAMESPACE, engine.name, time.monotonic() - begin)
            if watch.is_ready(seen):
                console.print(f"Ready after {seen.at_seconds:.0f} s: {seen.conditions['Ready']['message']}")
                console.print(f"memory, as planned: {seen.conditions['MemoryPlanned']['message']}")
                return
            line.update(f"{seen.at_seconds:.0f} s: {seen.conditions.get('Ready', {}).get('message', 'no status yet')}")
            time.sleep(1)
    raise DemoError(
        f"{engine.name} is not Ready after {engine.ready_seconds:.0f} s. {' '.join(seen.failures)} "
        f"See: kubectl describe batchedllm {engine.name} -n {NAMESPACE}"
    )


def _ask(address: str, engine: Engine) -> None:
    console.rule("One request, by the OpenAI client")
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", timeout=60)
    answer = client.chat.completions.create(
        model=engine.model, messages=[{"role": "user", "content": "What does continuous batching do?"}], max_tokens=32
    )
    console.print(
        f"{answer.choices[0].message.content!r} ({answer.usage.completion_tokens if answer.usage else '?'} tokens)"
    )


async def _until_calm(cluster: Cluster, engine: Engine) -> None:
    """Wait until the replicas are gone that measuring the first one may have asked for."""
    begin = time.monotonic()
    while time.monotonic() - begin < engine.calm_seconds:
        seen = await asyncio.to_thread(watch.look, cluster, NAMESPACE, engine.name, 0.0)
        if seen.wanted <= 1 and not seen.queue:
            return
        await asyncio.sleep(1)


async def _burst(cluster: Cluster, engine: Engine, address: str, options: argparse.Namespace) -> chart.Run:
    duration = options.seconds or engine.burst_seconds
    calm_seconds = engine.calm_seconds if options.calm_seconds is None else options.calm_seconds
    recorded = [engine.shorten(one) for one in trace.read(trace.SLICE.read_text().splitlines())]
    if engine.density is None:
        can = await burst.tokens_per_second(address, engine.model)
        console.print(f"one replica generates {can:.0f} tokens/s on this machine; the burst asks for twice as many")
        arrivals = trace.as_dense_as(recorded, 2 * can, duration)
        await _until_calm(cluster, engine)
    else:
        arrivals = trace.densify(recorded, engine.density, duration)
    console.rule(f"Burst: {len(arrivals)} requests of a real trace in {arrivals[-1].at_seconds:.0f} s")
    served: list[burst.Served] = []
    looks: list[watch.Look] = []
    begin = time.monotonic()
    player = asyncio.create_task(burst.play(address, engine.model, arrivals, served.append))
    with Live(console=console, refresh_per_second=4) as live:
        while time.monotonic() - begin < duration + calm_seconds:
            seen = await asyncio.to_thread(watch.look, cluster, NAMESPACE, engine.name, time.monotonic() - begin)
            looks.append(seen)
            live.update(_table(seen, served, len(arrivals)))
            if player.done() and seen.wanted <= 1 and len(looks) > 10:
                break
            await asyncio.sleep(1)
    await player
    return chart.Run(f"{engine.name}: a burst of {len(arrivals)} requests", looks, served)


def _table(seen: watch.Look, served: list[burst.Served], total: int) -> Group:
    recent = [one.first_token_seconds for one in served[-200:] if one.first_token_seconds is not None]
    p99 = burst.percentile(recent, 99)
    table = Table("time", "answered", "queue", "running", "GPU %", "KV %", "replicas", "p99 TTFT")
    table.add_row(
        f"{seen.at_seconds:.0f} s", f"{len(served)}/{total}", *(_known(one) for one in (seen.queue, seen.running)),
        *(_known(one) for one in (seen.gpu_percent, seen.kv_percent)), f"{seen.ready}/{seen.wanted}",
        "-" if p99 is None else f"{p99:.2f} s",
    )  # fmt: skip
    return Group(table, f"last decision: {seen.decision}")


def _known(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _summary(cluster: Cluster, engine: Engine, run: chart.Run, output: Path) -> None:
    console.rule("Summary")
    picture, page = chart.write(run, output)
    failed = [one for one in run.served if one.error]
    first = [one.first_token_seconds for one in run.served if one.first_token_seconds is not None]
    most = max((one.wanted for one in run.looks), default=0)
    risen = next((one.at_seconds for one in run.looks if one.wanted > run.looks[0].wanted), None)
    console.print(f"requests: {len(run.served)}, failed: {len(failed)}" + (f" ({failed[0].error})" if failed else ""))
    console.print(f"time to first token: p50 {_seconds(first, 50)}, p99 {_seconds(first, 99)}")
    console.print(f"replicas: {run.looks[0].wanted} -> {most} -> {run.looks[-1].wanted}")
    console.print(f"first scale-up seen {risen:.0f} s after the burst began" if risen is not None else "no scale-up")
    for at, words in chart.decisions(run.looks):
        console.print(f"  {at:4.0f} s  {words}", highlight=False)
    console.print(f"\nchart: {picture}  {page}")
    console.print(
        f"look further:\n  export KUBECONFIG={cluster.kubeconfig}"
        f"\n  kubectl describe batchedllm {engine.name} -n {NAMESPACE}"
        f"\n  kubectl logs -n {RELEASE_NAMESPACE} deployment/batchedllm-operator\n  make demo-down",
        highlight=False,
    )
    if most <= run.looks[0].wanted or failed:
        raise DemoError("the burst was not served as it should be: see the summary above")


def _seconds(values: list[float], percent: float) -> str:
    value = burst.percentile(values, percent)
    return "-" if value is None else f"{value:.2f} s"


if __name__ == "__main__":
    sys.exit(main())
