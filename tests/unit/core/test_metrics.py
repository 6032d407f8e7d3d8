"""An engine's exposition text becomes a reading, and whatever breaks the contract is unknown and named."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batchedllm.core.metrics import CONTRACT, parse
from batchedllm.core.readings import LatencyHistogram, PodReading

REAL_SCRAPE = (Path(__file__).parents[2] / "data" / "vllm_0_32_metrics.txt").read_text()

WAITING = 'vllm:num_requests_waiting{engine="0",model_name="m"} 3.0'
COMPLETE = f"""\
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
{WAITING}
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="m"}} 8.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{engine="0",model_name="m"}} 0.125
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{engine="0",model_name="m"}} 900.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{engine="0",model_name="m"}} 2.1e+03
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{{engine="0",model_name="m"}} 1.0
# TYPE vllm:admission_rejections_total counter
vllm:admission_rejections_total{{model_name="m",reason="max_num_queued_reqs"}} 4.0
vllm:admission_rejections_total{{model_name="m",reason="max_num_queued_tokens"}} 2.0
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{{gpu="0",UUID="GPU-1",modelName="H200"}} 90
DCGM_FI_DEV_GPU_UTIL{{gpu="1",UUID="GPU-2",modelName="H200"}} 70
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{{gpu="0",UUID="GPU-1",modelName="H200"}} 610.5
DCGM_FI_DEV_POWER_USAGE{{gpu="1",UUID="GPU-2",modelName="H200"}} 589.5
"""


def read(text: str) -> PodReading:
    return parse(text, "pod-a", 7.0)


def test_every_metric_of_the_contract_is_read() -> None:
    assert read(COMPLETE) == PodReading(
        pod="pod-a",
        at_seconds=7.0,
        queue_depth=3.0,
        running=8.0,
        kv_cache_usage_fraction=0.125,
        gpu_utilization_percent=80.0,
        gpu_power_watts=600.0,
        prompt_tokens_total=900.0,
        generation_tokens_total=2100.0,
        preemptions_total=1.0,
        rejections_total=6.0,
    )


MIDDLEWARE = """\
# TYPE batchedllm_engine:admission_queued_requests gauge
batchedllm_engine:admission_queued_requests{class="high"} 2.0
batchedllm_engine:admission_queued_requests{class="low"} 40.0
# TYPE batchedllm_engine:admission_rejections_total counter
batchedllm_engine:admission_rejections_total{class="low",reason="queue_full"} 10.0
batchedllm_engine:admission_rejections_total{class="low",reason="shed"} 5.0
batchedllm_engine:admission_rejections_total{class="high",reason="queue_time"} 1.0
batchedllm_engine:admission_rejections_total{class="",reason="bad_key"} 1000.0
batchedllm_engine:admission_rejections_total{class="low",reason="request_rate"} 1000.0
"""


def test_the_queue_before_the_engine_counts_as_queue() -> None:
    assert read(COMPLETE + MIDDLEWARE).queue_depth == 3.0 + 42.0


def test_what_is_turned_away_before_the_engine_for_want_of_room_counts_and_what_a_client_did_wrong_does_not() -> None:
    assert read(COMPLETE + MIDDLEWARE).rejections_total == 6.0 + 16.0


def test_a_middleware_that_turned_nobody_away_for_want_of_room_tells_0() -> None:
    text = COMPLETE.replace("vllm:admission_rejections", "vllm:other")
    refused = 'batchedllm_engine:admission_rejections_total{class="",reason="bad_key"} 7.0\n'

    assert read(text).rejections_total is None
    assert read(text + refused).rejections_total == 0.0


def test_the_middlewares_queue_stands_for_no_queue_of_the_engine_that_is_unknown() -> None:
    reading = read(COMPLETE.replace("num_requests_waiting", "num_requests_queued") + MIDDLEWARE)

    assert (reading.queue_depth, reading.missing) == (None, ("vllm:num_requests_waiting",))


def test_a_queue_before_the_engine_that_cannot_be_read_makes_the_queue_unknown() -> None:
    reading = read(COMPLETE + MIDDLEWARE.replace("} 40.0", "} NaN"))

    assert reading.queue_depth is None
    assert reading.missing == (
        "vllm:num_requests_waiting (batchedllm_engine:admission_queued_requests is 'NaN', not a finite number)",
    )


def test_a_stock_image_without_the_middleware_misses_nothing() -> None:
    assert read(COMPLETE).missing == ()


def test_a_real_vllm_0_32_fulfils_the_contract_but_for_the_gpu() -> None:
    reading = read(REAL_SCRAPE)

    assert reading.missing == ()
    assert reading.gpu_utilization_percent is None
    assert (reading.queue_depth, reading.running) == (3.0, 8.0)
    assert reading.kv_cache_usage_fraction == pytest.approx(0.126, abs=1e-3)
    assert (reading.prompt_tokens_total, reading.generation_tokens_total) == (909.0, 2088.0)
    assert (reading.preemptions_total, reading.rejections_total) == (0.0, 4.0)


@pytest.mark.parametrize("metric", CONTRACT, ids=lambda metric: metric.field)
def test_the_real_scrape_reads_the_same_as_by_the_reference_parser(metric) -> None:
    samples = [
        sample.value
        for family in text_string_to_metric_families(REAL_SCRAPE)
        for sample in family.samples
        if sample.name == metric.names[0]
    ]

    assert getattr(read(REAL_SCRAPE), metric.field) == (sum(samples) if samples else None)


def test_an_empty_body_makes_everything_unknown_and_names_it() -> None:
    reading = read("")

    assert reading.queue_depth is None
    assert not reading.is_measured
    assert reading.missing == (
        "vllm:num_requests_waiting",
        "vllm:num_requests_running",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:num_preemptions_total",
    )


def test_optional_metrics_may_be_absent_without_being_missed() -> None:
    text = "\n".join(
        line for line in COMPLETE.splitlines() if "DCGM" not in line and "admission_rejections" not in line
    )

    reading = read(text)

    assert (reading.gpu_utilization_percent, reading.rejections_total, reading.missing) == (None, None, ())


def test_the_old_name_of_the_kv_cache_usage_is_known() -> None:
    reading = read(COMPLETE.replace("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"))

    assert (reading.kv_cache_usage_fraction, reading.missing) == (0.125, ())


def test_todays_name_wins_over_the_old_one() -> None:
    assert read(COMPLETE + "vllm:gpu_cache_usage_perc 0.9\n").kv_cache_usage_fraction == 0.125


def test_a_metric_renamed_to_something_unknown_is_missing() -> None:
    reading = read(COMPLETE.replace("num_requests_waiting", "num_requests_queued"))

    assert (reading.queue_depth, reading.missing) == (None, ("vllm:num_requests_waiting",))


def test_engines_of_one_pod_are_summed_and_their_kv_caches_averaged() -> None:
    second = COMPLETE.replace('engine="0"', 'engine="1"').replace("} 0.125", "} 0.375")
    second = "\n".join(line for line in second.splitlines() if 'engine="1"' in line)

    reading = read(COMPLETE + second)

    assert (reading.queue_depth, reading.running, reading.prompt_tokens_total) == (6.0, 16.0, 1800.0)
    assert reading.kv_cache_usage_fraction == 0.25


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("NaN", "is 'NaN', not a finite number"),
        ("+Inf", "is '+Inf', not a finite number"),
        ("-Inf", "is '-Inf', not a finite number"),
        ("-1", "is -1, not between 0 and 1e+06"),
        ("1e300", "is 1e300, not between 0 and 1e+06"),
        ("1e999", "is 1e999, not between 0 and 1e+06"),
        ("1_000", "is '1_000', not a finite number"),
        ("٣", "is '٣', not a finite number"),
        ("true", "is 'true', not a finite number"),
        ("3 1764000000000", "has a timestamp of its own, so it may be old"),
        ("3 4 5", "not a sample"),
        ("", "not a sample"),
    ],
)
def test_a_value_that_cannot_be_is_unknown_and_said_why(value: str, why: str) -> None:
    reading = read(COMPLETE.replace(WAITING, WAITING.removesuffix("3.0") + value))

    assert reading.queue_depth is None
    assert reading.missing == (f"vllm:num_requests_waiting ({why})",)


def test_one_bad_engine_of_two_makes_the_pods_value_unknown() -> None:
    assert read(COMPLETE + 'vllm:num_requests_waiting{engine="1",model_name="m"} NaN\n').queue_depth is None


@pytest.mark.parametrize("again", [WAITING, 'vllm:num_requests_waiting{model_name="m",engine="0"} 9'])
def test_the_same_series_twice_is_unknown(again: str) -> None:
    reading = read(f"{COMPLETE}{again}\n")

    assert reading.missing == ("vllm:num_requests_waiting (the same series twice)",)


@pytest.mark.parametrize("kind", ["counter", "histogram", "summary"])
def test_a_gauge_that_became_something_else_is_unknown(kind: str) -> None:
    reading = read(COMPLETE.replace("num_requests_waiting gauge", f"num_requests_waiting {kind}"))

    assert reading.missing == (f"vllm:num_requests_waiting (is a {kind}, not a gauge)",)


def test_a_counter_that_became_a_gauge_is_unknown() -> None:
    reading = read(COMPLETE.replace("prompt_tokens_total counter", "prompt_tokens_total gauge"))

    assert (reading.prompt_tokens_total, reading.missing) == (
        None,
        ("vllm:prompt_tokens_total (is a gauge, not a counter)",),
    )


def test_the_openmetrics_way_to_type_a_counter_is_understood() -> None:
    text = COMPLETE.replace("TYPE vllm:prompt_tokens_total counter", "TYPE vllm:prompt_tokens counter")

    assert read(text).prompt_tokens_total == 900.0


def test_a_kv_cache_usage_in_percent_is_not_taken_for_a_fraction() -> None:
    assert read(COMPLETE.replace("} 0.125", "} 12.5")).kv_cache_usage_fraction is None


def test_a_gpu_utilization_that_is_there_but_broken_is_named() -> None:
    reading = read(COMPLETE.replace("} 70", "} 170"))

    assert reading.gpu_utilization_percent is None
    assert reading.missing == ("DCGM_FI_DEV_GPU_UTIL (is 170, not between 0 and 100)",)


@pytest.mark.parametrize(
    "line",
    [
        "vllm:num_requests_waiting 3",
        "  vllm:num_requests_waiting\t3\r",
        'vllm:num_requests_waiting {engine="0"} 3',
        'vllm:num_requests_waiting{ engine = "0" , } 3',
        r'vllm:num_requests_waiting{engine="a\"} 9\\"} 3',
        'vllm:num_requests_waiting{engine="}{,=#"} 3',
        "vllm:num_requests_waiting{} 3",
    ],
)
def test_any_valid_way_to_write_a_sample_is_read(line: str) -> None:
    assert read(COMPLETE.replace(WAITING, line)).queue_depth == 3.0


def test_longer_names_with_the_same_beginning_are_other_metrics() -> None:
    more = 'vllm:num_requests_waiting_by_reason{reason="capacity"} 9\nmy_vllm:num_requests_waiting 9\n'

    assert read(COMPLETE + more) == read(COMPLETE)


def test_what_the_engine_says_of_its_kv_cache_is_read_from_the_labels():
    told = dict(read(REAL_SCRAPE).cache_labels)

    assert told == {
        "num_gpu_blocks": "128",
        "block_size": "128",
        "kv_cache_size_tokens": "16384",
        "kv_cache_max_concurrency": "8.0",
    }


@pytest.mark.parametrize(
    "line", ["vllm:cache_config_info 1", "vllm:cache_config_info{", 'vllm:cache_config_info{block_size="16"', "x"]
)
def test_an_engine_that_says_nothing_readable_of_its_cache_says_nothing(line):
    assert read(f"{COMPLETE}{line}\n").cache_labels in ((), (("block_size", "16"),))


WAITS = (
    'batchedllm_engine:admission_queue_seconds_bucket{{class="{0}",le="1.0"}} {1}\n'
    'batchedllm_engine:admission_queue_seconds_bucket{{class="{0}",le="5.0"}} {2}\n'
    'batchedllm_engine:admission_queue_seconds_bucket{{class="{0}",le="+Inf"}} {3}\n'
)


def test_the_wait_before_the_engine_is_that_of_all_classes():
    reading = read(COMPLETE + WAITS.format("high", 4, 4, 4) + WAITS.format("low", 1, 6, 9))

    assert reading.admission_wait == LatencyHistogram((1.0, 5.0), (5.0, 10.0, 13.0))
    assert reading.missing == ()


def test_without_the_middleware_there_is_no_such_wait():
    assert read(COMPLETE).admission_wait is None


def test_a_wait_that_cannot_be_read_is_named():
    reading = read(COMPLETE + WAITS.format("low", 9, 6, 9))

    assert reading.admission_wait is None
    assert reading.missing == (
        "batchedllm_engine:admission_queue_seconds (a larger bucket holds less than a smaller one)",
    )


def test_what_an_image_tells_of_its_memory_is_read_by_term():
    text = (
        'batchedllm_engine:memory_bytes{term="weights"} 1.61e+10\nbatchedllm_engine:memory_bytes{term="kv_cache"} 5e9\n'
    )

    assert read(COMPLETE + text).memory_bytes == (("kv_cache", 5e9), ("weights", 1.61e10))
    assert read(COMPLETE).memory_bytes == ()


@pytest.mark.parametrize("value", ["NaN", "-1", "x"])
def test_an_account_of_memory_with_a_term_that_cannot_be_read_is_none(value: str):
    text = (
        f'batchedllm_engine:memory_bytes{{term="weights"}} {value}\nbatchedllm_engine:memory_bytes{{term="total"}} 9\n'
    )

    assert read(COMPLETE + text).memory_bytes == ()


@pytest.mark.parametrize(("value", "misconfigured"), [("0", True), ("1", False), (None, False)])
def test_a_pod_says_whether_it_can_use_its_admission_files(value: str | None, misconfigured: bool):
    text = "" if value is None else f"batchedllm_engine:admission_configuration_valid {value}\n"

    assert read(COMPLETE + text).is_misconfigured is misconfigured
