"""The picture of docs/gpu.md: a burst over time, and the engine's batch curve."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

Json = dict[str, Any]


def draw(found: dict[str, Json], target: Path) -> None:
    """Draw the burst over time, the overload it was, and the batch curve, from the results by case."""
    figure, (replicas, load, batches) = plt.subplots(3, 1, figsize=(10, 9), layout="constrained")
    seen, rows = found["burst"]["measured"], found["burst"]["measured"]["series"]
    begin = seen["beginSeconds"]
    times = [row[0] - begin for row in rows]
    replicas.step(times, [row[1] for row in rows], where="post", label="replicas wanted", color="tab:orange")
    replicas.step(times, [row[2] for row in rows], where="post", label="replicas ready", color="tab:green")
    replicas.set_ylim(bottom=0)
    load.plot(times, [row[3] for row in rows], label="queue depth, as the operator tells it", color="tab:red")
    percent: Axes = load.twinx()
    used = seen["utilizationSeries"]
    percent.plot([row[0] - begin for row in used], [row[1] for row in used], label="nvidia-smi, %", color="tab:gray")
    percent.plot(
        [row[0] - begin for row in used], [row[2] for row in used], label="scraped, %", color="tab:blue", ls=":"
    )
    percent.set_ylim(0, 105)
    load.set_xlabel("seconds since the burst began")
    measured = found["engine-bench"]["measured"]["curve"]
    sizes = [one["batch"] for one in measured]
    batches.plot(sizes, [one["outputTokensPerSecond"] for one in measured], "o-", label="tokens/s, at the client")
    batches.plot(sizes, [one["batch"] / one["stepSeconds"] for one in measured], "s--", label="by the engine's steps")
    batches.set_xscale("log", base=2)
    batches.set_xlabel("batch")
    for axes, place in (
        (replicas, "upper right"),
        (load, "center"),
        (percent, "center right"),
        (batches, "upper left"),
    ):
        axes.legend(loc=place)
        axes.grid(alpha=0.3)
    figure.suptitle("Llama-3.1-8B shape on one H200: a burst on up to three replicas, and the engine's batch curve")
    figure.savefig(target, dpi=90, metadata={"Software": None})
    plt.close(figure)
