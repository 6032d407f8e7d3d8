"""The metrics of the engine images are defined once: names that hold, labels that stay few, a page that is current."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from batchedllm_engine import instruments
from batchedllm_engine.gpu_exporter.definitions import EXPORTER_METRICS
from batchedllm_engine.metric_definitions import PREFIX
from batchedllm_engine.start.definitions import START_METRICS
from batchedllm_engine.stat_logger.definitions import OWN_METRICS, STEP_METRICS

ROOT = Path(__file__).parents[3]
METRICS = (*STEP_METRICS, *OWN_METRICS, *EXPORTER_METRICS, *START_METRICS)
BOUNDED = {
    *("engine", "model_name", "batch_le", "phase", "term", "reason"),
    *("gpu", "UUID", "modelName", "GPU_I_PROFILE", "GPU_I_ID"),
}
"""Labels whose values come from lists in the code, or from the pod's own hardware and served name."""


def test_names_are_unique_and_are_ours_or_dcgms():
    names = [one.name for one in METRICS]
    assert len(set(names)) == len(names)
    assert all(name.startswith((PREFIX, "DCGM_FI_DEV_")) for name in names)


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_a_definition_holds(metric):
    assert set(metric.labels) <= BOUNDED
    assert bool(metric.buckets) is (metric.kind == "histogram")
    assert all(lower < upper for lower, upper in pairwise(metric.buckets))
    assert metric.text.endswith(".")
    assert not re.search(r"_(total|bucket|sum|count)$", metric.name), "a suffix of Prometheus' own"


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_an_instrument_is_what_its_definition_says(metric):
    registry = CollectorRegistry()
    getattr(instruments, metric.kind)(metric, registry)
    (family,) = registry.collect()
    assert (family.name, family.type, family.documentation) == (metric.name, metric.kind, metric.text)


def generate(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "engine_image/generate.py"), *arguments],
        env={"PYTHONPATH": str(ROOT / "engine_image")}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_page_is_current_and_names_every_metric():
    assert generate("--check").returncode == 0
    page = (ROOT / "docs/engine_metrics.md").read_text()
    assert all(f"| `{one.series}` |" in page for one in METRICS)


def test_a_page_that_is_not_current_is_found_and_written_anew(tmp_path):
    page = tmp_path / "page.md"
    refused = generate("--check", f"--file={page}")
    assert (refused.returncode, "make generate" in refused.stderr) == (1, True)
    assert generate(f"--file={page}").returncode == 0
    page.write_text(page.read_text() + "by hand\n")
    assert generate("--check", f"--file={page}").returncode == 1
