"""Steps become metrics, and no error of the plugin's reaches the engine."""

import logging
import timeit
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from batchedllm_engine.stat_logger.definitions import OWN_METRICS, STEP_METRICS
from batchedllm_engine.stat_logger.observer import Errors, Setting, StepObserver, setting_of
from vllm_stats import SchedulerIterationDetails, SchedulerStats, decoded, mixed

MOST_MICROSECONDS = 500
"""Of one step at a batch of 256: 1 % of a step of an H200 at that batch (20 ms) would be 200, on a core that is not
shared. Measured: about 15 to 25."""
LABELS = {"engine": "0", "model_name": "tiny"}
OFF = logging.getLogger("off")


@pytest.fixture
def registry():
    return CollectorRegistry()


def observer(registry, engines=(0,), **setting):
    values = {"model": "tiny", "blocks": 100, "detailed": False, "sole_front_end": True} | setting
    return StepObserver(registry, Setting(**values), engines, Errors(registry, OFF))


def value(registry, name, **labels):
    return registry.get_sample_value(f"batchedllm_engine:{name}", LABELS | labels)


def test_steps_make_a_batch_histogram_and_a_latency_by_batch_size(registry):
    watching = observer(registry)
    for _ in range(10):
        watching.record(SchedulerStats(3), decoded(0.0215, 0.0215, 0.0215), 0)
    watching.record(SchedulerStats(1), decoded(0.009), 0)
    assert value(registry, "batch_size_count") == 11
    assert value(registry, "batch_size_sum") == 31
    assert value(registry, "batch_size_bucket", le="1.0") == 1
    assert value(registry, "batch_size_bucket", le="4.0") == 11
    assert value(registry, "step_seconds_count", batch_le="4") == 10
    assert value(registry, "step_seconds_bucket", batch_le="4", le="0.02") == 0
    assert value(registry, "step_seconds_bucket", batch_le="4", le="0.025") == 10
    assert value(registry, "step_seconds_sum", batch_le="1") == pytest.approx(0.009)


def test_the_curve_is_that_of_decoding_steps_alone(registry):
    watching = observer(registry)
    watching.record(SchedulerStats(2), decoded(0.01, 0.01), 0)
    watching.record(SchedulerStats(2), decoded(0.03, 0.03), 0)
    watching.record(SchedulerStats(2), mixed(500, 1, 0.5), 0)
    batch = {"batch_le": "2"}
    assert value(registry, "decode_steps_total", **batch) == 2
    assert value(registry, "decode_step_seconds_total", **batch) == pytest.approx(0.04)
    assert value(registry, "decode_step_requests_total", **batch) == 4
    assert value(registry, "decode_step_tokens_total", **batch) == 4
    assert value(registry, "step_seconds_count", **batch) == 3


def test_tokens_are_split_by_phase(registry):
    watching = observer(registry)
    watching.record(SchedulerStats(3), mixed(700, 1, 0.02, 0.02), 0)
    watching.record(SchedulerStats(3), decoded(0.02, 0.02, 0.02), 0)
    assert value(registry, "step_tokens_sum", phase="prefill") == 700
    assert value(registry, "step_tokens_count", phase="prefill") == 1
    assert value(registry, "step_tokens_sum", phase="decode") == 5


def test_preemptions_and_free_blocks(registry):
    watching = observer(registry)
    assert value(registry, "kv_blocks") == 100
    assert value(registry, "kv_blocks_free") == 100
    watching.record(SchedulerStats(1, kv_cache_usage=0.4), decoded(0.01, preempted=2), 0)
    watching.record(None, decoded(0.01, preempted=1), 0)
    assert value(registry, "preemptions_total") == 3
    assert value(registry, "kv_blocks_free") == 60


def test_each_engine_has_series_of_its_own(registry):
    watching = observer(registry, engines=(0, 1))
    watching.record(SchedulerStats(1), decoded(0.01), 1)
    assert value(registry, "batch_size_count") == 0
    assert value(registry, "batch_size_count", engine="1") == 1


def test_batch_sizes_that_never_occurred_have_no_series(registry):
    observer(registry).record(SchedulerStats(1), decoded(0.01), 0)
    shown = {
        sample.labels["batch_le"] for family in registry.collect() for sample in family.samples
        if "batch_le" in sample.labels
    }  # fmt: skip
    assert shown == {"1"}


def test_the_metrics_are_those_that_are_defined(registry):
    observer(registry)
    shown = {family.name: (family.type, family.documentation) for family in registry.collect()}
    assert shown == {one.name: (one.kind, one.text) for one in (*STEP_METRICS, *OWN_METRICS)}


def test_an_error_is_counted_told_once_and_kept_from_the_engine(registry, caplog):
    watching = StepObserver(
        registry, Setting("tiny", 100, detailed=False, sole_front_end=True), (0,), Errors(registry, logging.getLogger())
    )
    for _ in range(3):
        watching.record(SchedulerStats(1), object(), 0)
    watching.record(SchedulerStats(1), decoded(0.01), 7)
    assert registry.get_sample_value("batchedllm_engine:stat_logger_errors_total") == 4
    assert [record.getMessage() for record in caplog.records] == [
        "taking an engine step down failed; the engine goes on without it. Reported once"
    ]
    assert "AttributeError" in caplog.text


def vllm_config(**changes):
    values = {
        "model_config": SimpleNamespace(served_model_name="tiny"),
        "cache_config": SimpleNamespace(num_gpu_blocks=1024),
        "observability_config": SimpleNamespace(enable_logging_iteration_details=True),
        "parallel_config": SimpleNamespace(_api_process_count=4),
    }
    return SimpleNamespace(**(values | changes))


def test_the_setting_is_read_from_vllms_configuration():
    """Of the blocks of two engines each has half, and keeps one for padding."""
    assert setting_of(vllm_config(), 2) == Setting("tiny", 511, detailed=True, sole_front_end=False)


def test_what_an_older_configuration_lacks_is_off():
    older = vllm_config(observability_config=object(), parallel_config=object())
    assert setting_of(older, 1) == Setting("tiny", 1023, detailed=False, sole_front_end=True)


@pytest.mark.parametrize("detailed", [False, True])
def test_a_step_costs_microseconds(registry, detailed):
    watching = observer(registry, detailed=detailed)
    scheduler = SchedulerStats(256, 0.5, SchedulerIterationDetails(0, 0, 256, 256, 20.0))
    iteration = decoded(*[0.02] * 256)
    timer = timeit.Timer(lambda: watching.record(scheduler, iteration, 0))
    microseconds = min(timer.repeat(repeat=5, number=200)) / 200 * 1e6
    assert microseconds < MOST_MICROSECONDS
