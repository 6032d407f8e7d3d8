"""Readings become a fleet's load: what is known, what is silent, what is stalled, and never a 0 for an unknown."""

import pytest

from batchedllm.core.readings import FleetLoad, PodReading
from batchedllm.core.windows import MOST_READINGS, Windows, increase, tokens_per_second


def reading(pod: str = "a", at: float = 0.0, queue: float | None = 0.0, running: float | None = 0.0, **more):
    more.setdefault("kv_cache_usage_fraction", 0.1)
    more.setdefault("prompt_tokens_total", 0.0)
    more.setdefault("generation_tokens_total", 0.0)
    return PodReading(pod, at, queue_depth=queue, running=running, **more)


def windows(*readings: PodReading, interval: float = 2.0) -> Windows:
    kept = Windows(interval)
    for one in readings:
        kept.add(one)
    return kept


def load(kept: Windows, pods: str, now: float) -> FleetLoad:
    found = kept.load(list(pods), now)
    assert found is not None
    return found


def test_no_pod_ever_read_is_no_load_at_all() -> None:
    assert windows().load(["a"], 0.0) is None
    assert windows(reading("a")).load([], 0.0) is None


def test_totals_are_sums_and_means_are_means_over_the_ready_pods() -> None:
    kept = windows(
        reading("a", queue=3.0, running=8.0, kv_cache_usage_fraction=0.2, gpu_utilization_percent=90.0),
        reading("b", queue=1.0, running=4.0, kv_cache_usage_fraction=0.4, gpu_utilization_percent=50.0),
        reading("terminating", queue=99.0, running=99.0),
    )

    found = load(kept, "ab", 1.0)

    assert (found.reporting_replicas, found.silent_pods) == (2, ())
    assert (found.queue_depth_total, found.running_total, found.running_max) == (4.0, 12.0, 8.0)
    assert found.kv_cache_usage_fraction_mean == pytest.approx(0.3)
    assert found.gpu_utilization_percent_mean == 70.0
    assert found.is_complete


def test_a_pod_without_a_fresh_reading_is_silent_and_not_in_the_totals() -> None:
    kept = windows(reading("a", 0.0, queue=5.0), reading("b", 6.0, queue=2.0))

    assert load(kept, "abc", 6.0).silent_pods == ("c",)
    assert load(kept, "abc", 6.1).new_pods == ("c",)
    later = load(kept, "abc", 6.1)
    assert (later.silent_pods, later.queue_depth_total, later.is_complete) == (("a", "c"), 2.0, False)


@pytest.mark.parametrize("unknown", [{"queue": None}, {"running": None}])
def test_a_pod_that_does_not_tell_its_queue_or_batch_is_silent_however_fresh(unknown) -> None:
    found = load(windows(reading("a", **unknown, missing=("vllm:x",)), reading("b")), "ab", 0.0)

    assert (found.silent_pods, found.missing) == (("a",), ("vllm:x",))


def test_when_all_are_silent_nothing_is_known_and_nothing_is_zero() -> None:
    found = load(windows(reading("a", 0.0, queue=5.0)), "a", 60.0)

    assert (found.reporting_replicas, found.silent_pods) == (0, ("a",))
    assert (found.queue_depth_total, found.running_total, found.tokens_per_second_total) == (None, None, None)
    assert not found.no_gpu_metrics
    assert not found.is_complete


def test_a_mean_is_unknown_as_soon_as_one_replica_does_not_tell() -> None:
    kept = windows(reading("a", gpu_utilization_percent=10.0), reading("b", kv_cache_usage_fraction=None))

    found = load(kept, "ab", 0.0)

    assert (found.gpu_utilization_percent_mean, found.kv_cache_usage_fraction_mean) == (None, None)
    assert not found.no_gpu_metrics


def test_a_fleet_without_gpu_metrics_says_so() -> None:
    assert load(windows(reading("a"), reading("b")), "ab", 0.0).no_gpu_metrics


@pytest.mark.parametrize(
    ("of_node", "source"),
    [((False, False), "engine"), ((True, True), "dcgm-exporter"), ((True, False), "mixed")],
)
def test_who_told_of_the_gpus_is_known(of_node, source) -> None:
    first, second = (
        reading(name, gpu_utilization_percent=50.0, gpu_is_of_node=one) for name, one in zip("ab", of_node, strict=True)
    )

    assert load(windows(first, second), "ab", 0.0).gpu_metrics_source == source
    assert load(windows(reading("a")), "a", 0.0).gpu_metrics_source == "none"


def test_a_nodes_idle_gpu_does_not_make_a_pod_stalled_within_the_short_window_as_it_may_be_half_a_minute_old() -> None:
    values = {"queue": 5.0, "prompt_tokens_total": 9.0, "generation_tokens_total": 9.0, "gpu_utilization_percent": 0.0}
    of_engine = windows(*(reading("a", at, **values) for at in (0, 2, 4, 6)))
    of_node = windows(*(reading("a", at, **values, gpu_is_of_node=True) for at in (0, 2, 4, 6)))
    for_a_minute = windows(*(reading("a", at, **values, gpu_is_of_node=True) for at in range(0, 62, 2)))

    assert load(of_engine, "a", 6.0).stalled_pods == ("a",)
    assert load(of_node, "a", 6.0).stalled_pods == ()
    assert load(for_a_minute, "a", 60.0).stalled_pods == ("a",)


def test_gpu_utilization_is_averaged_over_the_short_window_because_samples_jump() -> None:
    kept = windows(*(reading(at=at, gpu_utilization_percent=p) for at, p in ((0, 0.0), (10, 80.0), (12, 100.0))))

    assert load(kept, "a", 12.0).gpu_utilization_percent_mean == 90.0


def test_power_is_averaged_alike_and_unknown_where_one_replica_does_not_tell_it() -> None:
    kept = windows(*(reading(at=at, gpu_power_watts=watts) for at, watts in ((0, 75.0), (10, 500.0), (12, 600.0))))

    assert load(kept, "a", 12.0).gpu_power_watts_mean == 550.0
    kept.add(reading("b", 12.0))
    assert load(kept, "ab", 12.0).gpu_power_watts_mean is None


def test_tokens_per_second_are_summed_from_the_pods_own_rates() -> None:
    kept = windows(
        *(reading("a", at, prompt_tokens_total=100.0 * at, generation_tokens_total=50.0 * at) for at in (0, 2, 4)),
        *(reading("b", at, prompt_tokens_total=1000 + 10.0 * at) for at in (1, 3)),
    )

    assert load(kept, "ab", 4.0).tokens_per_second_total == pytest.approx(160.0)


def test_tokens_per_second_are_unknown_after_one_reading() -> None:
    assert load(windows(reading()), "a", 0.0).tokens_per_second_total is None


def test_a_counter_reset_by_a_restart_never_counts_backwards() -> None:
    readings = [reading(at=at, prompt_tokens_total=total) for at, total in ((0, 1000.0), (2, 1100.0), (4, 30.0))]

    assert increase(readings, lambda one: one.prompt_tokens_total) == (130.0, 4.0)


def test_an_unknown_counter_value_leaves_a_hole_in_the_rate_not_a_zero() -> None:
    readings = [
        reading(at=at, prompt_tokens_total=total) for at, total in ((0, 0.0), (2, 100.0), (4, None), (6, 900.0))
    ]

    assert increase(readings, lambda one: one.prompt_tokens_total) == (100.0, 2.0)
    assert tokens_per_second(readings[2:]) is None


def waiting(pod: str, times, running: float = 0.0, **more) -> list[PodReading]:
    return [reading(pod, float(at), queue=7.0, running=running, **more) for at in times]


def test_a_queue_that_lasts_while_gpu_and_tokens_stand_still_is_a_stalled_engine() -> None:
    kept = windows(*waiting("a", (0, 2, 4, 6), running=2.0, gpu_utilization_percent=0.0), reading("b", 6.0))

    found = load(kept, "ab", 6.0)

    assert (found.stalled_pods, found.stalled_queue_depth, found.stalled_running) == (("a",), 7.0, 2.0)
    assert found.queue_depth_total == 7.0


def test_a_queue_that_has_only_just_come_is_not_stalled() -> None:
    kept = windows(
        *(reading(at=float(at), gpu_utilization_percent=0.0) for at in (0, 2)),
        *waiting("a", (4, 6), gpu_utilization_percent=0.0),
    )

    assert load(kept, "a", 6.0).stalled_pods == ()


def test_a_busy_gpu_or_flowing_tokens_are_no_stall() -> None:
    busy = windows(*waiting("a", (0, 2, 4, 6), gpu_utilization_percent=60.0))
    flowing = windows(
        *(
            reading("a", at, queue=7.0, gpu_utilization_percent=0.0, generation_tokens_total=at)
            for at in (0.0, 2.0, 4.0)
        )
    )

    assert load(busy, "a", 6.0).stalled_pods == ()
    assert load(flowing, "a", 4.0).stalled_pods == ()


def test_without_a_gpu_utilization_a_stall_needs_the_long_window() -> None:
    kept = windows(*waiting("a", range(0, 31, 2)))
    assert load(kept, "a", 30.0).stalled_pods == ()

    for one in waiting("a", range(32, 61, 2)):
        kept.add(one)
    assert load(kept, "a", 60.0).stalled_pods == ("a",)


def test_the_batch_of_a_full_replica_is_learned_where_a_queue_lasts() -> None:
    kept = windows(
        *(reading("a", float(at), queue=1.0, running=running, generation_tokens_total=at * 10.0)
          for at, running in ((0, 60.0), (2, 64.0), (4, 62.0))),
        *(reading("b", float(at), queue=queue, running=9.0) for at, queue in ((0, 0.0), (2, 1.0), (4, 1.0))),
    )  # fmt: skip

    assert load(kept, "ab", 4.0).full_batch == 64.0


def test_no_lasting_queue_teaches_nothing_about_full_batches() -> None:
    assert load(windows(*(reading(at=float(at), running=50.0) for at in (0, 2, 4))), "a", 4.0).full_batch is None


def test_pods_that_are_gone_are_forgotten() -> None:
    kept = windows(reading("a"), reading("b"))

    kept.keep_only(["b"])

    assert kept.latest("a") is None
    assert [one.pod for one in kept.latest_of_all()] == ["b"]


def test_memory_is_bounded_in_time_and_number() -> None:
    slow = windows(*(reading(at=float(at)) for at in range(0, 1000, 2)))
    fast = windows(*(reading(at=at / 1000) for at in range(5000)), interval=0.001)

    assert len(slow._since("a", -1.0)) == 31
    assert len(fast._since("a", -1.0)) == MOST_READINGS
