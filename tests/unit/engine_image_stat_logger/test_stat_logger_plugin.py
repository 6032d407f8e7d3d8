"""The class that vLLM loads, with a stand-in for vLLM's base class alone; `tests/engine` runs it in the real vLLM."""

import importlib
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

from vllm_stats import SchedulerStats, decoded

PLUGIN = "batchedllm_engine.stat_logger.plugin"
PYPROJECT = Path(__file__).parents[3] / "engine_image/pyproject.toml"
CONFIG = SimpleNamespace(
    model_config=SimpleNamespace(served_model_name="tiny"),
    cache_config=SimpleNamespace(num_gpu_blocks=101),
    observability_config=SimpleNamespace(),
    parallel_config=SimpleNamespace(),
)


class AggregateStatLoggerBase:
    """vLLM's."""


@pytest.fixture
def registry(monkeypatch):
    """The registry of the process."""
    made = CollectorRegistry()
    monkeypatch.setattr(prometheus_client, "REGISTRY", made)
    return made


@pytest.fixture
def plugin(monkeypatch, registry):
    """The module, as vLLM loads it, in a process without GPU and without an account of the start."""
    loggers = ModuleType("vllm.v1.metrics.loggers")
    loggers.AggregateStatLoggerBase = AggregateStatLoggerBase
    for name in ("vllm", "vllm.v1", "vllm.v1.metrics"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "vllm.v1.metrics.loggers", loggers)
    monkeypatch.setitem(sys.modules, PLUGIN, None)
    del sys.modules[PLUGIN]
    module = importlib.import_module(PLUGIN)
    monkeypatch.setattr(module, "start_exporter", lambda *_: None)
    return module


def errors(registry):
    return registry.get_sample_value("batchedllm_engine:stat_logger_errors_total")


def test_the_entry_points_name_what_is_there(plugin):
    groups = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]
    module, _, name = groups["vllm.stat_logger_plugins"]["batchedllm"].partition(":")
    assert issubclass(getattr(importlib.import_module(module), name), AggregateStatLoggerBase)
    module, _, name = groups["vllm.general_plugins"]["batchedllm"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_a_step_goes_into_the_registry_of_the_process(plugin, registry):
    logger = plugin.BatchStatLogger(vllm_config=CONFIG, engine_indexes=[0])
    logger.log_engine_initialized()
    logger.record(SchedulerStats(1), decoded(0.02), mm_cache_stats=None, engine_idx=0)
    labels = {"engine": "0", "model_name": "tiny"}
    assert registry.get_sample_value("batchedllm_engine:batch_size_count", labels) == 1
    assert registry.get_sample_value("batchedllm_engine:kv_blocks", labels) == 100
    assert errors(registry) == 0


def test_a_configuration_that_cannot_be_read_leaves_the_engine_alone(plugin, registry):
    logger = plugin.BatchStatLogger(vllm_config=object(), engine_indexes=[0])
    logger.record(SchedulerStats(1), decoded(0.02))
    assert errors(registry) == 1


def test_neither_gpus_nor_the_start_can_harm_it(plugin, registry, monkeypatch):
    def broken(*_):
        raise OSError("no")

    monkeypatch.setattr(plugin, "start_exporter", broken)
    monkeypatch.setattr(plugin, "report_start", broken)
    logger = plugin.BatchStatLogger(CONFIG, [0])
    logger.log_engine_initialized()
    logger.record(SchedulerStats(1), decoded(0.02))
    assert errors(registry) == 2
    assert registry.get_sample_value("batchedllm_engine:batch_size_count", {"engine": "0", "model_name": "tiny"}) == 1
