"""Each process writes down what it logs of its start; the sum becomes metrics and a line of log."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from batchedllm.core.memory.actual import actual_of_log
from batchedllm_engine.start import account
from batchedllm_engine.start.definitions import START_METRICS, TERMS
from batchedllm_engine.start.log_lines import Fact, facts_of, merged
from batchedllm_engine.start.report import report_start, summary, with_sums

ENGINE_IMAGE = Path(__file__).parents[3] / "engine_image"
GIB = 1 << 30
OLD_START = (
    "Model loading took 14.29 GiB and 1.597012 seconds",
    "torch.compile took 12.61 s in total",
    "Initial profiling/warmup run took 0.52 s",
    "Available KV cache memory: 110.18 GiB",
    "Estimated CUDA graph memory: 0.64 GiB total",
    "Graph capturing finished in 6 secs, took 0.89 GiB",
    (
        "Free memory on device (139.29/139.8 GiB) on startup. Desired GPU memory utilization is (0.9, 125.82 GiB). "
        "Actual usage is 14.29 GiB for weight, 1.13 GiB for peak activation, 0.22 GiB for non-torch memory, and 0.89 "
        "GiB for CUDAGraph memory."
    ),
    "init engine (profile, create kv cache, warmup model) took 22.40 s (compilation: 12.61 s)",
)
NEW_START = (
    "Model loading took 15.12 GiB memory and 2.084211 seconds",
    "Available KV cache memory: 53.3 GiB",
    (
        "Free memory on device (78.66/79.18 GiB) on startup. Desired GPU memory utilization is (0.9, 71.26 GiB). "
        "Actual usage is 15.5 GiB for consumed memory (weights + non-torch), 1.77 GiB for peak activation, and 0.98 "
        "GiB for CUDAGraph memory."
    ),
)


def told(lines):
    return {(fact.kind, fact.name): fact.value for line in lines for fact in facts_of(line)}


def test_a_whole_start_of_0_26():
    values = told(OLD_START)
    phases = {name: value for (kind, name), value in values.items() if kind == "phase"}
    assert phases == {
        "load_weights": 1.597012, "compile": 12.61, "warmup": 0.52, "capture_graphs": 6, "initialize": 22.4,
    }  # fmt: skip
    assert {name for kind, name in values if kind == "term"} == set(TERMS) - {"consumed"}


def test_0_32_says_weights_and_the_rest_in_one():
    values = told(NEW_START)
    assert values["term", "consumed"] == round(15.5 * GIB)
    assert ("term", "non_torch") not in values


@pytest.mark.parametrize("lines", [OLD_START, NEW_START])
def test_the_terms_are_those_that_the_operator_reads_from_the_log(lines):
    theirs = actual_of_log("\n".join(lines))
    ours = {name: value for (kind, name), value in told(lines).items() if kind == "term"}
    assert ours == {name: getattr(theirs, name) for name in TERMS if getattr(theirs, name) is not None}


@pytest.mark.parametrize(
    "line",
    [
        "Initial free memory 78.1 GiB, reserved 0.06 GiB memory for KV Cache as specified by kv_cache_memory_bytes",
        "Explicitly set (0.06/23.54) GiB for KV cache on node 0.",
    ],
)
def test_a_kv_cache_of_a_given_size(line):
    assert facts_of(line) == [Fact("term", "kv_cache", round(0.06 * GIB))]


@given(st.text())
def test_any_other_line_says_nothing(line):
    assert facts_of(line) == []


def test_of_several_ranks_the_slowest_counts_and_the_smallest_cache():
    facts = [
        Fact("phase", "load_weights", 3), Fact("term", "kv_cache", 70), Fact("term", "weights", 5),
        Fact("phase", "load_weights", 9), Fact("term", "kv_cache", 60), Fact("term", "weights", 4),
    ]  # fmt: skip
    assert set(merged(facts)) == {
        Fact("phase", "load_weights", 9), Fact("term", "kv_cache", 60), Fact("term", "weights", 5),
    }  # fmt: skip


@pytest.fixture
def vllm_log(monkeypatch, tmp_path):
    """vLLM's logger, with a first process that has begun to keep account."""
    monkeypatch.delenv(account.FOLDER, raising=False)
    monkeypatch.delenv(account.BEGIN, raising=False)
    monkeypatch.setattr(account.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    log = logging.getLogger("vllm")
    before, level = list(log.handlers), log.level
    log.setLevel(logging.INFO)
    yield log
    log.handlers, log.level = before, level
    os.environ.pop(account.FOLDER, None)
    os.environ.pop(account.BEGIN, None)


def test_a_start_becomes_metrics_and_a_line_of_log(vllm_log, monkeypatch, caplog):
    monkeypatch.setenv(account.PREFLIGHT_SECONDS, "0.250")
    account.keep_account()
    logging.getLogger("vllm.v1.worker.gpu_worker").info("Available KV cache memory: %s GiB", "53.3")
    logging.getLogger("vllm.v1.engine").info("Using FlashAttention")
    registry = CollectorRegistry()
    report_start(registry, vllm_log)

    def value(name, **labels):
        return registry.get_sample_value(f"batchedllm_engine:{name}", labels)

    assert value("memory_bytes", term="kv_cache") == round(53.3 * GIB)
    assert value("memory_bytes", term="weights") is None
    assert value("startup_seconds", phase="preflight") == 0.25
    assert value("startup_seconds", phase="total") == pytest.approx(
        sum(value("startup_seconds", phase=one) for one in ("preflight", "import", "engine"))
    )
    assert {family.name for family in registry.collect()} == {one.name for one in START_METRICS}
    assert [one for one in caplog.messages if one.startswith("started: preflight 0.2 s, import ")]


def test_without_a_preflight_there_is_no_such_phase(vllm_log, monkeypatch):
    monkeypatch.delenv(account.PREFLIGHT_SECONDS, raising=False)
    account.keep_account()
    registry = CollectorRegistry()
    report_start(registry, vllm_log)
    name = "batchedllm_engine:startup_seconds"
    assert registry.get_sample_value(name, {"phase": "preflight"}) is None
    assert registry.get_sample_value(name, {"phase": "import"}) >= 0


def test_without_an_account_nothing_is_told(monkeypatch):
    monkeypatch.delenv(account.FOLDER, raising=False)
    registry = CollectorRegistry()
    report_start(registry, logging.getLogger("off"))
    assert list(registry.collect()) == []


def test_other_processes_write_beside_the_first(vllm_log, tmp_path):
    account.keep_account()
    code = (
        "import logging; from batchedllm_engine.start.account import keep_account; keep_account()\n"
        "log = logging.getLogger('vllm.v1'); log.setLevel('INFO')\n"
        "log.info('Model loading took 1.5 GiB and 2.0 seconds')"
    )
    subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ENGINE_IMAGE)}, check=True, timeout=60
    )
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    found = {fact.name for fact in account.accounts(tmp_path)}
    assert found == {"import", "weights", "load_weights"}


def test_a_full_disk_disturbs_nobody(vllm_log, monkeypatch):
    account.keep_account()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(account, "note", full)
    vllm_log.info("Available KV cache memory: 53.3 GiB")


def test_the_summary_is_in_the_order_of_the_start():
    facts = with_sums([Fact("phase", "load_weights", 7), Fact("phase", "import", 9), Fact("term", "weights", GIB)], 30)
    assert summary(facts) == (
        "started: import 9.0 s, engine 21.0 s, load_weights 7.0 s, total 30.0 s; memory: weights 1.00 GiB"
    )


def test_accounts_are_lines_of_json(tmp_path):
    account.note(tmp_path / "1.jsonl", [Fact("phase", "compile", 1.5)])
    assert json.loads((tmp_path / "1.jsonl").read_text()) == {"kind": "phase", "name": "compile", "value": 1.5}


def test_the_start_is_timed_from_the_first_process(vllm_log, monkeypatch):
    account.keep_account()
    assert 0 < account.seconds_since_begin() < 86400
    monkeypatch.setattr(account, "process_begin_seconds", lambda: 1e12)
    account.keep_account()
    assert account.seconds_since_begin() > 0, "another process's begin is not that of the start"
