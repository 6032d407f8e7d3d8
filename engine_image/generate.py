"""Write the pages of the engine images that are made from definitions and results, or check that they are current.

python engine_image/generate.py            writes docs/engine_metrics.md, and the generated parts of docs/engine.md
python engine_image/generate.py --check    exits with 1 if they are not what definitions and results say
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import measured
from batchedllm_engine.gpu_exporter.definitions import EXPORTER_METRICS
from batchedllm_engine.metric_definitions import MetricDefinition
from batchedllm_engine.start.definitions import PHASES, START_METRICS, TERMS
from batchedllm_engine.stat_logger.definitions import OWN_METRICS, STEP_METRICS

SOURCES = Path(__file__).resolve().parent
REFERENCE = SOURCES.parent / "docs/engine_metrics.md"
MEASURED = "engine.md"
"""The page of what was measured; it lies beside the reference."""
INTRODUCTION = """\
<!-- Generated from the definitions in engine_image/batchedllm_engine by engine_image/generate.py (make generate). -->
# Metrics of the engine images

On the same port and path as vLLM's own metrics, beside them. A stock vLLM image has none of these; our package can be
installed into one (`pip install ./engine_image`). What is not known has no series, and nothing is 0 because it was not
there.
"""
STEPS = """\
What engine steps are like. `engine` is the data-parallel index, as in vLLM's own metrics. `batch_le` is the smallest of
{sizes} that the step's batch is not larger than, or `+Inf`; sizes that never
occurred have no series.

- Latency at a batch size:
  `histogram_quantile(0.95, sum by (batch_le, le) (rate(batchedllm_engine:step_seconds_bucket[5m])))`.
- The curve of operating points, from the increases of the `decode_step` counters over any time, for each `batch_le`:
  batch = requests / steps, seconds a step = seconds / steps, tokens a second = tokens / seconds.
- With several API servers (`--api-server-count`), tokens and the curve need `--enable-logging-iteration-details`; never
  add `--disable-log-stats` to several, or the engine tells nothing at all.
- With one API server, that flag only tells apart prompts that are read in part, and costs the engine a look at each
  request of each step. Then `--disable-log-stats` keeps it from logging every step; the metrics stay.
- With speculative decoding and that flag, decode tokens are those tried.
- Queue and waits by priority class are the middleware's ([reference](admission-reference.md)): vLLM's statistics name
  no request's priority.
- vLLM's elastic expert parallelism drops plugins when it scales, and these metrics with them.
"""
GPUS = """\
Of the GPUs that CUDA lets the engine use, by NVML, every second; energy, ECC errors and the memory's clock every ten.
`GPU_I_PROFILE` and `GPU_I_ID` are empty but for MIG instances, which have memory of their own and nothing else that
NVML tells. All are gauges, also those that only grow.
"""
START = """\
Of the start that led to this engine; they stay as they are. vLLM tells these numbers in its log alone, so a level above
INFO (`VLLM_LOGGING_LEVEL`) leaves them out.
"""


def reference() -> str:
    """Return the page."""
    sizes = ", ".join(f"{size:g}" for size in STEP_METRICS[0].buckets)
    return "\n".join(
        [
            INTRODUCTION,
            _section("Engine steps", STEPS.format(sizes=sizes), (*STEP_METRICS, *OWN_METRICS)),
            _section("GPUs", GPUS, EXPORTER_METRICS),
            _section("Start", START, START_METRICS),
            _values("phase", PHASES),
            _values("term", TERMS),
        ]
    )


def _section(title: str, text: str, metrics: Sequence[MetricDefinition]) -> str:
    rows = [f"| `{one.series}` | {one.kind} | {', '.join(one.labels)} | {_told(one)} |" for one in metrics]
    return "\n".join([f"## {title}\n", text, "| metric | type | labels | |", "|---|---|---|---|", *rows, ""])


def _told(metric: MetricDefinition) -> str:
    bounds = f" Bounds: {', '.join(f'{bound:g}' for bound in metric.buckets)}." if metric.buckets else ""
    return metric.text + bounds


def _values(label: str, values: dict[str, str]) -> str:
    rows = [f"| `{name}` | {text} |" for name, text in values.items()]
    return "\n".join([f"| {label} | |", "|---|---|", *rows, ""])


def main(arguments: list[str] | None = None) -> int:
    """Write, or with `--check` compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where the page is not current")
    parser.add_argument("--file", type=Path, default=REFERENCE, help="where the page lies")
    chosen = parser.parse_args(arguments)
    wanted = {chosen.file: reference(), **_measured(chosen.file.with_name(MEASURED))}
    if not chosen.check:
        for file, text in wanted.items():
            file.write_text(text, "utf-8")
        return 0
    stale = [file for file, text in wanted.items() if not file.is_file() or file.read_text("utf-8") != text]
    for file in stale:
        sys.stderr.write(f"{file} is not current: run `make generate` and commit it\n")
    return 1 if stale else 0


def _measured(page: Path) -> dict[Path, str]:
    """Return the page of what was measured, and its pictures; nothing where there is no such page."""
    if not page.is_file():
        return {}
    results = SOURCES / "bench"
    pictures = {page.with_name(name): text for name, text in measured.pictures(results).items()}
    return {page: measured.page(page.read_text("utf-8"), results), **pictures}


if __name__ == "__main__":
    sys.exit(main())
