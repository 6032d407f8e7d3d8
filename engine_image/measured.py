"""What was measured on GPUs, as the tables and pictures of docs/engine.md: from engine_image/bench/*.json.

`profile_NAME.json` and `overhead_NAME.json` are what engine_image/bench/on_gpu.py writes, `gpu_exporter_NAME.json` and
`middleware_share_NAME.json` what the scripts of these names there do; NAME is the card, or cpu. The runs of tests/gpu,
in a cluster, are told beside them. `make generate` writes the page's generated parts.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, Final

from batchedllm_engine.bench.picture import svg

Result = Mapping[str, Any]
NOTHING: Final = "Not measured yet; the command above does it."
CLUSTER_RUNS: Final = "../../tests/gpu/results"
"""From the folder of the other results: what the same was on a GPU in a cluster."""
CLUSTER: Final = "gpu-in-cluster"


def results(folder: Path, kind: str) -> Iterator[tuple[str, Result]]:
    """Yield the name and content of each result of a kind."""
    for file in sorted(folder.glob(f"{kind}_*.json")):
        yield file.stem.removeprefix(f"{kind}_"), json.loads(file.read_text("utf-8"))


def cluster_run(folder: Path, case: str) -> Result | None:
    """Return the result of a case in a cluster, None where there is none."""
    file = folder / CLUSTER_RUNS / f"{case}.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


def profiles(folder: Path) -> Iterator[tuple[str, Result]]:
    """Yield the name and content of each profile, those measured in a cluster last."""
    yield from results(folder, "profile")
    run = cluster_run(folder, "engine-bench")
    if run is not None and run["measured"].get("curve"):
        engine = run["machine"]["engine"].removeprefix("vLLM ")
        yield CLUSTER, {**run["measured"], "engineVersion": run["measured"]["engineVersion"] or engine}


def page(text: str, folder: Path) -> str:
    """Return the page with its generated parts made anew. Raises ValueError where one has no end."""
    for name, made in PARTS.items():
        begin, end = f"<!-- measured: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(begin)
        if not found or end not in rest:
            raise ValueError(f"the page has no part {begin.strip()} ... {end}")
        text = before + begin + made(folder) + end + rest.partition(end)[2]
    return text


def pictures(folder: Path) -> dict[str, str]:
    """Return the pictures by the names of their files."""
    return {_picture(name): svg(one) for name, one in profiles(folder) if one["curve"]}


def _picture(name: str) -> str:
    return f"engine-curve-{name}.svg"


def curves(folder: Path) -> str:
    """Return the batch curves."""
    parts = [_curve(name, one) for name, one in profiles(folder)]
    return "\n".join(parts) or f"{NOTHING}\n"


def _curve(name: str, profile: Result) -> str:
    knee, spot = profile["knee"], profile.get("sweetSpot", {})
    words = f"The knee is at {knee['batch']}." if knee["isReached"] else f"No knee up to {knee['batch']}."
    if "batch" in spot:
        limit = spot["interTokenLimitSeconds"] * 1000
        words += f" Within {limit:g} ms between tokens: up to {spot['batch']}."
    rows = [
        (
            str(one["batch"]),
            f"{one['outputTokensPerSecond']:,.0f}",
            f"{one['perOutputTokenSeconds']['mean'] * 1000:.1f} ms",
            f"{one['perOutputTokenSeconds']['p95'] * 1000:.1f} ms",
            *_steps(one),
            f"{one['timeToFirstTokenSeconds']['p95'] * 1000:,.0f} ms",
        )
        for one in profile["curve"]
    ]
    columns = ("requests at once", "output tokens/s", "between tokens", "p95", *_STEP_COLUMNS, "first token, p95")
    return (
        f"**{profile['gpu']}**, vLLM {profile['engineVersion']}, {profile['promptTokens']} + {profile['outputTokens']} "
        f"tokens, by {profile['measuredBy']}, {profile['at'][:10]}. {words}\n\n"
        f"![Batch curve]({_picture(name)})\n\n{_table(columns, rows)}"
    )


def _steps(point: Result) -> tuple[str, str]:
    if "stepSeconds" not in point:
        return "", ""
    return f"{point['stepSeconds'] * 1000:.1f} ms", f"{point['stepBatch'] / point['stepSeconds']:,.0f}"


_STEP_COLUMNS: Final = ("decoding step", "tokens/s of such steps")


def static(folder: Path) -> str:
    """Return static batches against continuous batching."""
    rows = [
        (
            profile["gpu"],
            str(profile["static"]["batch"]),
            "{} to {}".format(*profile["static"]["outputTokens"]),
            f"{profile['static']['static']['outputTokensPerSecond']:,.0f}",
            f"{profile['static']['continuous']['outputTokensPerSecond']:,.0f}",
            f"{profile['static']['ratio']:.2f}",
        )
        for _, profile in profiles(folder)
        if "static" in profile
    ]
    columns = ("GPU", "batch", "tokens of an answer", "static, tokens/s", "continuous, tokens/s", "ratio")
    return _table(columns, rows) if rows else f"{NOTHING}\n"


def overhead(folder: Path) -> str:
    """Return what our additions cost."""
    rows = [
        (
            one["gpu"],
            one["vllm"],
            str(one["requestsAtOnce"]),
            f"{one['promptTokens']} + {'{} to {}'.format(*one['outputTokens'])}, streamed",
            str(len(one["pairs"])),
            _ratio(one["ratio"]),
            f"{one['ratio']['lowest']:.3f} to {one['ratio']['highest']:.3f}",
        )
        for _, one in results(folder, "overhead")
    ]
    for case in ("overhead", "api-server"):
        rows += _cluster_overhead(cluster_run(folder, case))
    columns = (
        *("GPU", "vLLM", "requests at once", "prompt + answer, tokens", "pairs"),
        *("tokens/s with by without: median; mean ± standard error", "range"),
    )
    return _table(columns, rows) if rows else f"{NOTHING}\n"


ANSWERS: Final = {"streamed": "streamed", "streamedByEight": "eight tokens a piece", "whole": "whole"}


def _cluster_overhead(run: Result | None) -> list[tuple[str, ...]]:
    """Return rows of one engine after the other kept full: tokens a second, bare and ours, in pairs."""
    if run is None:
        return []
    machine, measured = run["machine"], run["measured"]
    sizes = "{} + {}".format(*measured["sizes"])
    return [
        (
            f"{machine['gpu']['name']}, in a cluster",
            machine["engine"].removeprefix("vLLM "),
            str(measured["batch"]),
            f"{sizes}, {words}",
            str(len(ratios)),
            _ratio({"median": median(ratios), "mean": mean(ratios), "standardError": _standard_error(ratios)}),
            f"{min(ratios):.3f} to {max(ratios):.3f}",
        )
        for name, words in ANSWERS.items()
        if (ratios := [ours / bare for bare, ours in measured.get(name, ())])
    ]


def _standard_error(ratios: Sequence[float]) -> float:
    return stdev(ratios) / len(ratios) ** 0.5


def middleware(folder: Path) -> str:
    """Return what the middleware costs, where requests of one process went through it and around it in turns."""
    names = ("tokensPerSecond", "microsecondsPerToken")
    rows = [
        (where, str(one["requestsAtOnce"]), str(len(one["pairs"])), *(_ratio(one["ratio"][name]) for name in names))
        for where, one in results(folder, "middleware_share")
    ]
    columns = (
        *("engine", "streams at once", "pairs", "tokens/s, through by around: median; mean ± standard error"),
        "the API server's processor time a token, the same",
    )
    return _table(columns, rows) if rows else f"{NOTHING}\n"


def _ratio(one: Result) -> str:
    return f"{one['median']:.3f}; {one['mean']:.3f} ± {one['standardError']:.3f}"


def exporter(folder: Path) -> str:
    """Return the exporter's values beside nvidia-smi's."""
    rows = [
        (one["gpu"], state, metric, *(f"{found[key]:g}" for key in ("exporter", "nvidiaSmi", "mostApart")))
        for _, one in results(folder, "gpu_exporter")
        for state in ("idle", "busy")
        for metric, found in one.get(state, {}).items()
        if metric != "lookSeconds"
    ]
    columns = ("GPU, driver", "", "metric", "exporter", "nvidia-smi", "most apart in one pair of looks")
    return f"{_table(columns, rows)}{_looks(folder)}" if rows else f"{NOTHING}\n"


def _looks(folder: Path) -> str:
    """Return what a look at the GPU takes, where it was measured."""
    lines = [
        f"\n{one['gpu']}: a look takes {1000 * one['idle']['lookSeconds']:.1f} ms of the processor's time where the "
        f"GPU is idle and {1000 * one['busy']['lookSeconds']:.1f} where it is busy.\n"
        for _, one in results(folder, "gpu_exporter")
        if "lookSeconds" in one.get("busy", {})
    ]
    return "".join(lines)


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


PARTS: Final[Mapping[str, Callable[[Path], str]]] = {
    "curves": curves,
    "static": static,
    "overhead": overhead,
    "middleware": middleware,
    "exporter": exporter,
}
"""The generated parts of the page, by name."""
