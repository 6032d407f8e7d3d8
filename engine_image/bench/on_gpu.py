"""A real vLLM on a host with a GPU and no network: batch curve, static against continuous batching, our overhead.

    PYTHONPATH=SITE:engine_image python engine_image/bench/on_gpu.py OUT_FOLDER

SITE is a folder into which vLLM (0.26 to 0.32) was installed. The model has the shape of Llama-3.1-8B, random weights
and a made-up tokenizer, all written here. Two engines share the GPU: `added`, with our plugin, middleware and exporter,
is measured alone first; then `bare`, without anything of ours, starts beside it, and the two are loaded in turn, in
pairs of changing order. Tokens a second are the difference of the engine's own counter over some seconds in the
middle of a load that keeps 256 requests running, sent by several processes so that the client does not hold the engine
up.

Writes profile.json (the format of `batchedllm_engine bench`), curve.svg and overhead.json, each as soon as it is there,
and the engines' logs. `--engine simulated`, or `--model FOLDER` and `--flags`, try it without a GPU.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import mean, median, stdev
from typing import Any, Final

from batchedllm_engine.bench import engine as engines
from batchedllm_engine.bench import load
from batchedllm_engine.bench.asks import mixed
from batchedllm_engine.bench.metrics_page import read_page

SOURCES: Final = Path(__file__).resolve().parents[1]
MODEL: Final = "llama-3.1-8b"
SHAPE: Final[Mapping[str, Any]] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131072,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": 0,
    "eos_token_id": 1,
}
"""The published sizes of Llama-3.1-8B."""
FLAGS: Final = (
    "--load-format=dummy",
    "--max-model-len=4096",
    "--max-num-seqs=512",
    "--max-num-batched-tokens=8192",
    "--gpu-memory-utilization=0.45",
    "--no-enable-prefix-caching",
)
"""Of both engines. Their shares of the memory leave room for the CUDA graphs of two."""
GRAPHS: Final = "--cudagraph-capture-sizes"
GRAPH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512)
"""Fewer than vLLM's own 51: two engines have to start within the time."""
ADDED: Final = "--middleware=batchedllm_engine.middleware.AdmissionMiddleware"
ENVIRONMENT: Final = {
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Nothing may be fetched at start."""
WORKERS: Final = 4
"""Processes that send requests."""
OUTPUT_TOKENS: Final = (64, 512)
PROMPT_TOKENS: Final = 128
WARM_SECONDS: Final = 3.0
SETTLE_SECONDS: Final = 1.0
LEAST_PAIRS: Final = 2


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load of one engine."""

    tokens_per_second: float
    client_tokens_per_second: float


def write_model(folder: Path) -> Path:
    """Write the model's config and a tokenizer of as many words; weights are made up by vLLM."""
    sys.path.insert(0, str(SOURCES))
    import tiny_model  # noqa: PLC0415 - a script beside the package, found only now

    tiny_model.write(folder)
    (folder / "config.json").write_text(json.dumps(SHAPE, indent=1), encoding="utf-8")
    vocabulary, merges = tiny_model.vocabulary_and_merges()
    words = tiny_model.tokenizer(tiny_model.filled(vocabulary, SHAPE["vocab_size"]), merges)
    (folder / "tokenizer.json").write_text(json.dumps(words), encoding="utf-8")
    return folder


def announce_plugin(folder: Path) -> Path:
    """Write what an installation of our package says of itself, by which vLLM finds the plugin."""
    project = tomllib.loads((SOURCES / "pyproject.toml").read_text("utf-8"))["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    groups = (
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in points.items())])
        for group, points in project["entry-points"].items()
    )
    (about / "entry_points.txt").write_text("\n".join(groups) + "\n", encoding="utf-8")
    return folder


def command(options: argparse.Namespace) -> list[str]:
    """Return what starts an engine."""
    if options.engine == "simulated":
        return [sys.executable, "-m", "batchedllm_engine.simulated"]
    return [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve"]


@contextlib.contextmanager
def environment(**more: str) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile."""
    before = dict(os.environ)
    os.environ.update({**ENVIRONMENT, **more})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def engine(options: argparse.Namespace, model: str, name: str) -> Iterator[str]:
    """Run one engine until the end of the block; yield its address once it serves."""
    plugins = str(announce_plugin(options.scratch / "plugins"))
    path = os.pathsep.join(filter(None, [plugins, str(SOURCES), os.environ.get("PYTHONPATH", "")]))
    arguments = [model, "--served-model-name=bench", *options.flags, *([ADDED] if name == "added" else [])]
    allowed = "batchedllm" if name == "added" else ""
    with (options.out / f"{name}.log").open("wb") as log, environment(PYTHONPATH=path, VLLM_PLUGINS=allowed):
        begin = time.monotonic()
        with engines.started(arguments, command(options), log.fileno()) as (process, address):
            asyncio.run(wait(address, process, options.startup_seconds))
            say(f"{name} serves after {time.monotonic() - begin:.0f} s")
            yield address


async def wait(address: str, process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait until it serves."""
    async with engines.looks(address, {}) as look:
        await engines.ready(look, seconds, process)


def measure(options: argparse.Namespace, address: str, model: str) -> dict[str, Any]:
    """Run our benchmark against an engine; return its profile, or an empty one where it failed."""
    profile = options.out / "profile.json"
    line = [
        *(sys.executable, "-m", "batchedllm_engine", "bench", f"--base-url={address}", f"--tokenizer={model}"),
        *("--parts=curve,static", f"--budget-seconds={options.curve_seconds}", f"--batches={options.batches}"),
        *("--prompt-tokens=128", "--output-tokens=128", f"--static-output-tokens={options.static_output_tokens}"),
        *(f"--static-batch={options.static_batch}", f"--output={profile}", f"--picture={options.out / 'curve.svg'}"),
        *(f"--gpu={gpu_name()}" if gpu_name() else "--gpu=CPU",),
        *(f"--client={options.client}",),
    ]
    with environment(), (options.out / "bench.log").open("wb") as log:
        code = subprocess.run(line, stdout=log, stderr=log, check=False).returncode  # noqa: S603 - our own command
    if code:
        say(f"the benchmark ended with code {code}: see bench.log")
        return {}
    found: dict[str, Any] = json.loads(profile.read_text("utf-8"))
    say(f"curve done in {found['seconds']} s: knee {found.get('knee')}, static {found.get('static', {}).get('ratio')}")
    return found


def send(
    address: str,
    at_once: int,
    seconds: float,
    seed: int,
    *,
    prompt_tokens: int = PROMPT_TOKENS,
    output_tokens: tuple[int, int] = OUTPUT_TOKENS,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Be one process that keeps requests running for some time; return the tokens of those that were answered."""

    async def run() -> int:
        random = Random(seed)  # noqa: S311 - lengths and prompts
        asks = mixed(100 * at_once, prompt_tokens, *output_tokens, random)
        answers: list[load.Answer] = []
        async with load.client(address, "bench", random, dict(headers or {})) as client:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.closed(asks, at_once, answers), seconds)
        if answers and load.first_error(answers) is not None:
            raise RuntimeError(load.first_error(answers))
        return sum(one.output_tokens for one in answers)

    return asyncio.run(run())


def generated(address: str) -> tuple[float, float]:
    """Return the tokens that an engine has made, and when that was."""

    async def run() -> float:
        async with engines.looks(address, {}) as look, look._session.get(f"{address}/metrics") as response:  # noqa: SLF001
            return read_page(await response.text()).generated_tokens

    return asyncio.run(run()), time.monotonic()


def loaded(pool: ProcessPoolExecutor, address: str, options: argparse.Namespace, seed: int) -> Loaded:
    """Load an engine, and count what it makes in the middle of it."""
    seconds = WARM_SECONDS + options.window_seconds + 0.5
    share = options.at_once // WORKERS
    sending = [pool.submit(send, address, share, seconds, seed * WORKERS + place) for place in range(WORKERS)]
    time.sleep(WARM_SECONDS)
    before, begin = generated(address)
    time.sleep(options.window_seconds)
    after, end = generated(address)
    answered = sum(one.result() for one in sending)
    time.sleep(SETTLE_SECONDS)
    return Loaded((after - before) / (end - begin), answered / seconds)


def overhead(options: argparse.Namespace, addresses: Mapping[str, str], until: float) -> dict[str, Any]:
    """Load the engines in pairs, in changing order, for as long as there is time."""
    pairs: list[dict[str, Any]] = []
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        for name in addresses:
            loaded(pool, addresses[name], argparse.Namespace(**{**vars(options), "window_seconds": 0.5}), 10_000)
        took = 2 * (WARM_SECONDS + options.window_seconds + SETTLE_SECONDS + 1)
        while len(pairs) < options.pairs and (len(pairs) < LEAST_PAIRS or time.monotonic() + took < until):
            begin = time.monotonic()
            order = ("bare", "added") if len(pairs) % 2 == 0 else ("added", "bare")
            seen = {name: loaded(pool, addresses[name], options, len(pairs)) for name in order}
            pairs.append(
                {
                    "first": order[0],
                    "bareTokensPerSecond": round(seen["bare"].tokens_per_second, 1),
                    "addedTokensPerSecond": round(seen["added"].tokens_per_second, 1),
                    "ratio": round(seen["added"].tokens_per_second / seen["bare"].tokens_per_second, 5),
                }
            )
            took = time.monotonic() - begin
            say(f"pair {len(pairs)}: {pairs[-1]}")
            write(options.out / "overhead.json", about(options) | told(options, pairs))
    return told(options, pairs)


def told(options: argparse.Namespace, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the pairs come to: `ratio` is added by bare, 1 for no cost."""
    ratios = [pair["ratio"] for pair in pairs]
    spread = stdev(ratios) if len(ratios) > 1 else 0.0
    return {
        "requestsAtOnce": options.at_once,
        "windowSeconds": options.window_seconds,
        "promptTokens": PROMPT_TOKENS,
        "outputTokens": list(OUTPUT_TOKENS),
        "ratio": {
            "mean": round(mean(ratios), 5),
            "median": round(median(ratios), 5),
            "standardDeviation": round(spread, 5),
            "standardError": round(spread / len(ratios) ** 0.5, 5),
            "lowest": min(ratios),
            "highest": max(ratios),
        },
        "pairs": list(pairs),
    }


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Return on what it was measured."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        engine_version = version("vllm")
    except PackageNotFoundError:
        engine_version = "simulated"
    return {
        "gpu": gpu_name() or "none",
        "driver": nvidia_smi("driver_version"),
        "vllm": engine_version,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "flags": list(options.flags),
    }


def gpu_name() -> str:
    """Return the first GPU's name; empty without one."""
    return nvidia_smi("name")


def nvidia_smi(field: str) -> str:
    """Return one field of the first GPU; empty without one."""
    try:
        line = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader", "--id=0"]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""


def write(file: Path, document: Mapping[str, Any]) -> None:
    """Write a result."""
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def say(words: str) -> None:
    """Tell how far it is."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {words}\n")
    sys.stdout.flush()


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("out", type=Path, help="folder for the results")
    add("--seconds", type=float, default=300.0, help="of all of it; what has no time is left out")
    add("--curve-seconds", type=float, default=100.0, help="of curve and static batches together")
    add("--pairs", type=int, default=8, help="most pairs of loads")
    add("--window-seconds", type=float, default=5.0, help="of each load, that are counted")
    add("--at-once", type=int, default=256, help="requests running in a load")
    add("--batches", default="1,2,4,8,16,32,64,128,256,512")
    add("--static-batch", type=int, default=64)
    add("--static-output-tokens", default="16,512")
    add("--client", default="auto", help="auto, vllm or own: see `batchedllm_engine bench`")
    add("--parts", default="curve,overhead")
    add("--startup-seconds", type=float, default=240.0)
    add("--engine", choices=("vllm", "simulated"), default="vllm")
    add("--model", help="folder or name of another model")
    add("--flags", type=shlex.split, help="of vllm serve, instead of those for the 8B shape")
    options = parser.parse_args()
    if options.flags is None:
        options.flags = [*FLAGS, GRAPHS, *(str(size) for size in GRAPH_SIZES)]
    return options


def main() -> None:
    """Measure what there is time for."""
    options = parsed()
    until = time.monotonic() + options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        options.scratch = Path(scratch)
        model = options.model or str(write_model(options.scratch / MODEL))
        with engine(options, model, "added") as added:
            if "curve" in options.parts:
                measure(options, added, model)
            if "overhead" not in options.parts:
                return
            with engine(options, model, "bare") as bare:
                found = overhead(options, {"bare": bare, "added": added}, until)
    write(options.out / "overhead.json", about(options) | found)
    say(f"overhead: tokens/s with by without, {found['ratio']}")


if __name__ == "__main__":
    main()
