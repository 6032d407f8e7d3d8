"""What each signal asks for, from an outlook that is given."""

from dataclasses import replace

import pytest

from batchedllm.api.scaling import (
    GpuPowerSignal,
    GpuUtilizationSignal,
    KvCacheUsageSignal,
    PastDemandSignal,
    QueueDepthSignal,
    Scaling,
    Signals,
    TokenRateSignal,
)
from batchedllm.core.scaling.levels import LEVELS, NOTHING, index_of, with_added
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.outlook import Outlook
from batchedllm.core.scaling.signals import opinions
from batchedllm.core.scaling.signals.latency import is_not_a_matter_of_replicas
from batchedllm.core.scaling.signals.opinion import Opinion, replicas_in_words, rounded_up, thousands, worth
from batchedllm.core.scaling.types import Fleet, Memory, ScalingState
from imagined_pods import ImaginedPod, load_of

OUTLOOK = Outlook(
    objective=Objective(),
    startup_seconds=120.0,
    demands=((30.0, 30_000.0), (60.0, 30_000.0), (120.0, 30_000.0)),
    tokens=1200.0,
    speed=30_000.0,
    least_speed=30_000.0,
    speed_is_known=True,
    held=25_000.0,
    late_shares=tuple(0.0 if level <= 25_000 else 1.0 for level in LEVELS),
    attainable_late_share=0.02,
    past=with_added(NOTHING, index_of(90_000), 500.0),
    margin=1.0,
    growth=0.0,
    late_share=0.0,
    answered=500.0,
)


def asked(
    signal: str, outlook: Outlook = OUTLOOK, *, replicas: int = 3, queued: float = 0, running: float = 30, **more
) -> Opinion:
    signals = more.pop("signals", Signals())
    memory, batch_limit = more.pop("memory", Memory()), more.pop("batch_limit", None)
    pods = [ImaginedPod(name) for name in "abcdefghij"[:replicas]]
    load = load_of(*(pod.did(0.0, queued=queued / replicas, running=running / replicas) for pod in pods), **more)
    policy = Scaling(max_replicas=50, signals=signals)
    state = ScalingState(policy, Fleet(replicas, replicas, 0), load, memory, batch_limit)
    return next(one for one in opinions(state, outlook) if one.signal == signal)


ASSUMED = replace(OUTLOOK, speed_is_known=False)
"""Before the speed of a full replica was seen."""


def demanding(short: float, middle: float, long: float) -> Outlook:
    return replace(OUTLOOK, demands=((30.0, short), (60.0, middle), (120.0, long)))


# Token rate


def test_the_demand_is_shared_among_replicas_that_hold_it_within_the_slo() -> None:
    opinion = asked("tokenRate")

    assert opinion.replicas == 2  # 30k / 24k, which is 80 % of the speed and less than what is held
    assert opinion.reason == "30.0k tokens/s come over 30 s, a replica holds 24.0k, 30.0k at full speed"


def test_of_several_windows_the_busiest_counts() -> None:
    assert asked("tokenRate", demanding(96_000, 50_000, 30_000)).replicas == 4
    assert asked("tokenRate", demanding(30_000, 50_000, 96_000)).replicas == 4


def test_what_the_demand_grows_by_while_a_replica_starts_is_asked_for_with_it() -> None:
    opinion = asked("tokenRate", replace(demanding(52_000, 50_000, 48_000), growth=12_000.0))

    assert asked("tokenRate", demanding(52_000, 50_000, 48_000)).replicas == 3
    assert opinion.replicas == 3  # 62k / 24k
    assert "62.0k tokens/s come over 60 s, with 12.0k by which it grows within a start-up" in opinion.reason
    assert asked("tokenRate", replace(demanding(52_000, 50_000, 48_000), growth=26_000.0)).replicas == 4


def test_where_more_make_requests_late_a_replica_gets_less() -> None:
    assert asked("tokenRate", replace(OUTLOOK, held=10_000.0)).replicas == 3


def test_a_replica_that_would_get_little_to_do_is_not_asked_for() -> None:
    assert asked("tokenRate", demanding(24_000 * 2.1, 0, 0)).replicas == 2
    assert asked("tokenRate", demanding(24_000 * 2.2, 0, 0)).replicas == 3


def test_the_target_is_the_share_of_the_speed_that_is_asked_for() -> None:
    signals = Signals(token_rate=TokenRateSignal(target=40))
    assert asked("tokenRate", signals=signals).replicas == 3


def test_replicas_whose_load_is_unknown_come_on_top_and_let_nothing_be_removed() -> None:
    opinion = asked("tokenRate", silent_pods=("x",))
    assert (opinion.replicas, opinion.known) == (3, False)


# An assumed speed


@pytest.mark.parametrize("signal", ["queueDepth", "tokenRate", "pastDemand"])
def test_an_assumed_speed_adds_no_replica_while_nobody_waits_and_nobody_is_late(signal: str) -> None:
    known = replace(demanding(200_000, 200_000, 200_000), past=with_added(NOTHING, index_of(300_000), 500.0))
    assumed = replace(known, speed_is_known=False)

    assert asked(signal, known).replicas > 3
    assert asked(signal, known).reason in asked(signal, assumed).reason
    assert asked(signal, assumed).replicas == asked(signal, assumed, queued=12).replicas == 3
    assert asked(signal, assumed).reason.endswith("nobody waits or is late: no replica is added")
    assert asked(signal, assumed, queued=13).replicas > 3
    assert asked(signal, replace(assumed, late_share=0.021)).replicas > 3
    assert asked(signal, replace(assumed, late_share=0.019)).replicas == 3


def test_an_assumed_speed_still_lets_replicas_go_and_other_signals_add_them() -> None:
    idle = replace(demanding(100, 100, 100), speed_is_known=False, past=NOTHING)
    busy = {"gpu_utilization_percent_mean": 98.0, "no_gpu_metrics": False}
    target = Signals(gpu_utilization=GpuUtilizationSignal(role="target", target=50))

    assert asked("tokenRate", idle).replicas == 1
    assert "assumed" not in asked("tokenRate", idle).reason
    assert asked("gpuUtilization", idle, signals=target, **busy).replicas == 6


def test_a_model_that_has_no_replica_yet_may_have_one() -> None:
    load = load_of(ImaginedPod().did(0.0, running=1))
    state = ScalingState(Scaling(max_replicas=9), Fleet(0, 1, 0), load)
    said = {one.signal: one.replicas for one in opinions(state, replace(ASSUMED, demands=((30.0, 9e4),) * 3))}

    assert (said["queueDepth"], said["tokenRate"]) == (1, 1)


# Queue depth


def test_without_a_queue_and_with_enough_replicas_it_asks_for_what_holds_the_batches() -> None:
    assert asked("queueDepth", ASSUMED, memory=Memory(full_batch=20.0)).replicas == 2


def test_a_batch_that_was_seen_in_a_queue_says_less_than_the_speed_of_a_full_replica() -> None:
    """Long prompts fill the steps of an engine whose batch has room."""
    assert asked("queueDepth", memory=Memory(full_batch=20.0)).replicas == 1
    assert asked("queueDepth", replace(OUTLOOK, is_known=False), memory=Memory(full_batch=20.0)).replicas == 2
    assert asked("queueDepth", memory=Memory(full_batch=99.0), batch_limit=20).replicas == 2
    without = Signals(token_rate=TokenRateSignal(role="off"))
    assert asked("queueDepth", memory=Memory(full_batch=20.0), signals=without).replicas == 2


WITHIN_A_MINUTE = Signals(queue_depth=QueueDepthSignal(drain_seconds=60))


def test_a_queue_is_worked_off_within_the_drain_time_beside_what_arrives() -> None:
    queued = 12 + 3000  # 3.6 million tokens above what is expected: two replicas' work for a minute
    assert asked("queueDepth", queued=queued, signals=WITHIN_A_MINUTE).replicas == 4  # and 1.25 for the arrivals

    slowly = Signals(queue_depth=QueueDepthSignal(drain_seconds=600))
    assert asked("queueDepth", queued=queued, signals=slowly).replicas == 2


def test_unless_it_is_set_a_queue_gets_a_minute_or_as_long_as_a_replica_takes_to_start() -> None:
    queued = 12 + 3000  # 1.25 replicas for the arrivals, and two replicas' work for a minute

    def asks(startup_seconds: float) -> int | None:
        return asked("queueDepth", replace(OUTLOOK, startup_seconds=startup_seconds), queued=queued).replicas

    assert [asks(startup) for startup in (1.0, 60.0, 120.0, 600.0)] == [4, 4, 3, 2]


def test_what_will_have_queued_by_the_time_a_replica_starts_is_caught_up_with_too() -> None:
    """One replica gets 30,000 more than it does: for as long as that has lasted, it is expected to last."""
    short, lasting = demanding(60_000, 30_000, 30_000), demanding(60_000, 60_000, 60_000)

    assert asked("queueDepth", short, replicas=1, signals=WITHIN_A_MINUTE).replicas == 3  # 2.5 + 30 s / 60 s
    assert asked("queueDepth", lasting, replicas=1, signals=WITHIN_A_MINUTE).replicas == 5  # 2.5 + 120 s / 60 s


def test_a_queue_is_caught_up_with_by_what_a_replica_does_at_least() -> None:
    """30,000 tokens per second come. Twice as many replicas are needed for them and for the queue as it may be."""
    queued = 12 + 3000  # 3.6 million tokens above what is expected
    slower = replace(OUTLOOK, least_speed=15_000.0)

    assert asked("queueDepth", slower, queued=queued, signals=WITHIN_A_MINUTE).replicas == 7  # 2.5 + 4
    late_early = replace(slower, held=20_000.0)
    assert asked("queueDepth", late_early, queued=queued, signals=WITHIN_A_MINUTE).replicas == 7  # 3 + 4
    late_earlier = replace(slower, held=16_000.0)
    assert asked("queueDepth", late_earlier, queued=queued, signals=WITHIN_A_MINUTE).replicas == 8  # 3.75 + 4
    assert asked("tokenRate", slower).replicas == asked("tokenRate").replicas


def test_what_ready_replicas_do_at_least_decides_whether_more_comes_than_they_do() -> None:
    few = replace(demanding(40_000, 40_000, 40_000), least_speed=15_000.0)

    assert asked("queueDepth", few, replicas=3, running=9, batch_limit=1000).replicas == 1
    assert asked("queueDepth", few, replicas=2, running=9).replicas == 4  # 10k too many, as long as it has lasted


def test_before_it_is_known_how_fast_a_replica_is_batches_and_queues_are_counted() -> None:
    """Else a queue on an engine that is slower than assumed would wait until it has taught its speed."""
    assumed = replace(OUTLOOK, speed_is_known=False)
    assert asked("queueDepth", assumed, queued=60, running=30).replicas == 7


def test_before_the_engines_tell_what_they_do_batches_and_queues_are_counted() -> None:
    unknown = replace(OUTLOOK, is_known=False)
    assert asked("queueDepth", unknown, queued=60, running=30).replicas == 7  # 90 requests, 14 in each
    assert asked("tokenRate", unknown).replicas is None
    assert asked("pastDemand", unknown).reason.startswith("left out")
    assert asked("latency", unknown).reason.startswith("left out")
    assert asked("tokenRate", unknown).known


def test_until_a_replicas_speed_was_seen_a_queue_asks_for_what_holds_it() -> None:
    assumed = replace(demanding(0, 0, 0), speed=10_000.0, speed_is_known=False)

    assert asked("queueDepth", assumed, queued=60, running=30).replicas == 7  # 90 requests, 14 in each
    assert asked("queueDepth", replace(assumed, speed_is_known=True), queued=60, running=30).replicas == 1
    assert asked("queueDepth", assumed, queued=12, running=30).replicas == 1  # as many as are expected to wait


# Past demand


def test_the_past_asks_for_the_replicas_that_would_have_kept_it_in_time() -> None:
    opinion = asked("pastDemand")

    assert opinion.replicas == 5
    assert opinion.reason == (
        "100.0% of the requests of the past half hour came faster than replicas are added, at up to 98.4k tokens/s; "
        "4.3 replicas would have kept 98% of all in time"
    )


def test_a_past_that_was_met_asks_for_one_replica_and_says_so() -> None:
    opinion = asked("pastDemand", replace(OUTLOOK, past=with_added(NOTHING, 0, 500.0)))

    assert opinion.replicas == 1
    assert opinion.reason == "nothing in the past half hour came faster than replicas were there for it"


def test_a_margin_is_told() -> None:
    opinion = asked("pastDemand", replace(OUTLOOK, margin=1.5))

    assert opinion.replicas == 7
    assert opinion.reason.endswith("in time, had it been 1.50 times as much: for bursts not seen yet")


def test_the_margin_adds_no_replica_to_an_almost_idle_one() -> None:
    few = with_added(NOTHING, index_of(200), 3.0)

    assert asked("pastDemand", replace(OUTLOOK, past=few, margin=1.5)).replicas == 1


def test_lateness_that_no_number_of_replicas_would_end_asks_for_none() -> None:
    opinion = asked("pastDemand", replace(OUTLOOK, late_shares=(0.4,) * len(LEVELS), attainable_late_share=0.44))

    assert opinion.replicas == 1
    assert opinion.reason.endswith("; 1.0 replicas would have kept as many as more could in time")


# KV cache


@pytest.mark.parametrize(("usage", "replicas"), [(0.2, 1), (0.7, 3), (0.82, 3), (0.95, 4), (1.0, 4)])
def test_the_kv_cache_in_use_is_shared_among_replicas_at_their_target(usage: float, replicas: int) -> None:
    pods = [ImaginedPod(name) for name in "abc"]
    load = replace(load_of(*(pod.did(0.0, running=10) for pod in pods)), kv_cache_usage_fraction_mean=usage)
    state = ScalingState(Scaling(max_replicas=50), Fleet(3, 3, 0), load)
    opinion = next(one for one in opinions(state, OUTLOOK) if one.signal == "kvCacheUsage")

    assert opinion.replicas == replicas
    assert opinion.reason == f"{usage:.0%} of the KV cache in use, target 80 %"


def test_a_kv_cache_that_some_do_not_report_is_unknown() -> None:
    load = replace(load_of(ImaginedPod().did(0.0)), kv_cache_usage_fraction_mean=None)
    state = ScalingState(Scaling(max_replicas=50), Fleet(1, 1, 0), load)
    opinion = next(one for one in opinions(state, OUTLOOK) if one.signal == "kvCacheUsage")

    assert (opinion.replicas, opinion.known) == (None, False)
    assert opinion.reason == "unknown: some replicas do not report it"


def test_the_kv_cache_of_replicas_that_stall_or_are_silent_is_not_counted_on() -> None:
    def said(usage: float, **more) -> Opinion:
        pods = [ImaginedPod(name) for name in "abc"]
        load = replace(load_of(*(pod.did(0.0, running=10) for pod in pods), **more), kv_cache_usage_fraction_mean=usage)
        state = ScalingState(Scaling(max_replicas=50), Fleet(3, 3, 0), load)
        return next(one for one in opinions(state, OUTLOOK) if one.signal == "kvCacheUsage")

    assert [said(usage).replicas for usage in (0.0, 0.8, 0.88, 0.89)] == [1, 3, 3, 4]
    assert said(0.8).known
    assert (said(0.8, silent_pods=("x",)).replicas, said(0.8, silent_pods=("x",)).known) == (4, False)
    assert said(0.8, stalled_pods=("a", "b")).replicas == 3
    stalled = said(0.8, stalled_pods=("a", "b", "c"))
    assert (stalled.replicas, stalled.reason, stalled.known) == (None, "unknown: no ready replica reports", False)


# Latency


def test_while_too_many_are_late_nothing_is_removed() -> None:
    opinion = asked("latency", replace(OUTLOOK, late_share=0.07, demands=((120.0, 60_000.0),)))

    assert (opinion.replicas, opinion.reason) == (
        3,
        "7.0% of 500 requests of the last minute late, 2% may be: no replica is removed",
    )


def test_lateness_without_a_queue_on_replicas_with_little_to_do_is_not_a_matter_of_replicas() -> None:
    idle = replace(OUTLOOK, late_share=0.07, demands=((120.0, 9_000.0),))

    assert asked("latency", idle).replicas is None
    assert "a smaller batch would help" in asked("latency", idle).reason
    assert asked("latency", idle, queued=100).replicas == 3


def test_lateness_of_a_queue_that_has_just_been_worked_off_is_not_explained_by_its_absence() -> None:
    """The share of late requests is of a minute, and so is the queue."""
    after_a_burst = replace(OUTLOOK, late_share=0.07, demands=((120.0, 9_000.0),), longest_queue=4.1)

    assert asked("latency", after_a_burst).replicas == 3
    assert asked("latency", after_a_burst).reason.endswith("no replica is removed")
    assert asked("latency", replace(after_a_burst, longest_queue=4.0)).replicas is None


def test_where_no_queue_is_known_lateness_is_not_explained_by_its_absence() -> None:
    late = replace(OUTLOOK, late_share=0.07, demands=((120.0, 9_000.0),))
    state = ScalingState(Scaling(max_replicas=50), Fleet(3, 3, 0), None)

    assert not is_not_a_matter_of_replicas(state, late)
    assert not is_not_a_matter_of_replicas(replace(state, load=load_of()), late)
    assert not is_not_a_matter_of_replicas(replace(state, load=replace(load_of(), queue_depth_total=None)), late)


@pytest.mark.parametrize("changes", [{"late_share": 0.05}, {"late_share": 0.5, "answered": 29.0}])
def test_some_lateness_or_few_requests_keep_nothing(changes: dict[str, float]) -> None:
    assert asked("latency", replace(OUTLOOK, **changes)).replicas is None


def test_lateness_is_told_with_what_follows_from_it() -> None:
    late, much = replace(OUTLOOK, late_share=0.07), ((120.0, 60_000.0),)

    def told(outlook: Outlook, **more) -> tuple[int | None, str, bool]:
        opinion = asked("latency", outlook, **more)
        return (
            opinion.replicas,
            opinion.reason.removeprefix("7.0% of 500 requests of the last minute late, "),
            opinion.known,
        )

    assert told(replace(late, demands=much)) == (3, "2% may be: no replica is removed", True)
    little = "2% may be, with a short queue and little to do: a smaller batch would help"
    assert told(late) == (None, little, True)
    assert told(replace(OUTLOOK, late_share=0.04, demands=much)) == (
        None,
        "4.0% of 500 requests of the last minute late, 2% may be: no objection to removing replicas",
        True,
    )


def test_the_thresholds_of_lateness_are_met_by_what_is_just_at_them() -> None:
    late = replace(OUTLOOK, late_share=0.07, demands=((30.0, 90_000.0), (120.0, 9_000.0)))
    busy = replace(late, demands=((30.0, 0.0), (120.0, 0.35 * 30_000 * 3)))

    assert asked("latency", replace(busy, answered=30.0)).replicas == 3, "30 requests are enough to tell"
    assert asked("latency", busy).replicas == 3, "at 35 % of their speed replicas have much to do"
    assert asked("latency", late, queued=12).replicas is None, "4 waiting in each of 3 are a short queue"
    assert asked("latency", late, queued=13).replicas == 3


def test_lateness_of_nobody_hinders_nothing() -> None:
    state = ScalingState(Scaling(max_replicas=50), Fleet(3, 3, 0), None)
    for load in (None, load_of()):
        said = next(one for one in opinions(replace(state, load=load), OUTLOOK) if one.signal == "latency")
        assert (said.replicas, said.reason, said.known) == (None, "unknown: no ready replica reports", True)


# GPU utilization


def test_a_busy_gpu_keeps_replicas_unless_tokens_or_batches_say_that_fewer_have_room() -> None:
    busy = {"gpu_utilization_percent_mean": 98.0, "no_gpu_metrics": False}
    full = demanding(60_000, 60_000, 60_000)

    assert asked("gpuUtilization", demanding(48_100, 0, 0), **busy).replicas == 3
    assert asked("gpuUtilization", demanding(47_900, 0, 0), **busy).replicas is None, "two replicas are 80 % full of it"

    assert asked("gpuUtilization", demanding(24_100, 0, 0), replicas=1, **busy).replicas == 1
    assert asked("gpuUtilization", demanding(23_900, 0, 0), replicas=1, **busy).replicas is None, "one always stays"
    assert asked("gpuUtilization", full, **busy).replicas == 3
    assert asked("gpuUtilization", **busy).replicas is None
    assert "33% full" in asked("gpuUtilization", **busy).reason
    assert asked("gpuUtilization", full, memory=Memory(full_batch=100.0), **busy).replicas is None
    unknown = replace(full, is_known=False)
    assert asked("gpuUtilization", unknown, **busy).replicas == 3


def test_a_busy_gpu_whose_steps_are_short_keeps_no_replica_however_little_is_known() -> None:
    """A few requests at a time keep it at 90 %, and teach no speed."""
    busy = {"gpu_utilization_percent_mean": 90.0, "no_gpu_metrics": False}
    unknown = replace(ASSUMED, is_known=False)

    assert asked("gpuUtilization", unknown, **busy).replicas == 3
    assert asked("gpuUtilization", replace(unknown, busy=0.54), **busy).replicas == 3
    assert asked("gpuUtilization", replace(unknown, busy=0.53), **busy).replicas is None, "two are 79.5 % full of it"


def test_what_a_gpu_says_is_told_or_why_it_says_nothing() -> None:
    guard = {"gpu_utilization_percent_mean": 98.0, "no_gpu_metrics": False}
    full = demanding(60_000, 90_000, 90_000)

    def told(**more) -> tuple[int | None, str, bool]:
        opinion = asked("gpuUtilization", full, **more)
        return opinion.replicas, opinion.reason, opinion.known

    assert told(**guard) == (3, "GPUs 98 % busy, guard 80 %: no replica is removed", True)
    assert told(**{**guard, "gpu_utilization_percent_mean": 80.0}) == (
        None,
        "GPUs 80 % busy, guard 80 %: no objection to removing replicas",
        True,
    )
    assert told(**{**guard, "gpu_utilization_percent_mean": None}) == (
        None,
        "unknown: some replicas report it, others do not",
        False,
    )
    assert told() == (None, "left out: no replica reports it (CPU engine, or image without exporter)", True)
    unread = ScalingState(Scaling(max_replicas=50), Fleet(3, 3, 0), None)
    for state in (unread, replace(unread, load=load_of())):
        silent = opinions(state, OUTLOOK)
        assert {one.signal: (one.replicas, one.known) for one in silent if one.signal != "latency"} == dict.fromkeys(
            ("queueDepth", "tokenRate", "pastDemand", "kvCacheUsage", "gpuUtilization"), (None, False)
        )
        assert {one.reason.removesuffix(" its queue") for one in silent if not one.known} == {
            "unknown: no ready replica reports"
        }


def test_with_a_target_the_gpu_asks_as_an_hpa_does_outside_a_tolerance() -> None:
    target = Signals(gpu_utilization=GpuUtilizationSignal(role="target", target=80))

    def asks(percent: float, **more) -> Opinion:
        return asked(
            "gpuUtilization", signals=target, gpu_utilization_percent_mean=percent, no_gpu_metrics=False, **more
        )

    assert [asks(percent).replicas for percent in (0.0, 20.0, 72.0, 88.0, 89.0, 100.0)] == [1, 1, 3, 3, 4, 4]
    assert (asks(100.0).signal, asks(100.0).reason) == ("gpuUtilization", "GPUs 100 % busy, target 80 %")
    assert asks(100.0).known
    assert (asks(100.0, silent_pods=("x",)).replicas, asks(100.0, silent_pods=("x",)).known) == (5, False)


# GPU power

POWERED = Signals(gpu_power=GpuPowerSignal(target_watts=500))


def test_power_has_a_say_only_where_it_has_a_target() -> None:
    with pytest.raises(StopIteration):
        asked("gpuPower", gpu_power_watts_mean=700.0)
    assert asked("gpuPower", signals=POWERED, gpu_power_watts_mean=700.0).replicas == 5


def test_power_asks_as_an_hpa_does_outside_a_tolerance() -> None:
    def asks(watts: float | None, **more) -> Opinion:
        return asked("gpuPower", signals=POWERED, gpu_power_watts_mean=watts, **more)

    assert [asks(watts).replicas for watts in (0.0, 75.0, 166.0, 451.0, 549.0, 551.0)] == [1, 1, 1, 3, 3, 4]
    assert (asks(551.0).reason, asks(551.0).known) == ("GPUs draw 551 W, target 500 W", True)
    assert (asks(551.0, silent_pods=("x",)).replicas, asks(551.0, silent_pods=("x",)).known) == (5, False)


def test_power_that_some_or_none_report_is_no_power_of_zero() -> None:
    pods = [ImaginedPod(name).did(0.0) for name in "ab"]
    state = ScalingState(Scaling(max_replicas=50, signals=POWERED), Fleet(2, 2, 0), load_of(*pods))

    def told(load) -> tuple[int | None, str, bool]:
        last = opinions(replace(state, load=load), OUTLOOK)[-1]
        return last.replicas, last.reason, last.known

    none = "left out: no replica reports it (CPU engine, or image without exporter)"
    assert told(load_of(*pods)) == (None, none, True)
    some = load_of(replace(pods[0], gpu_power_watts=300.0), pods[1])
    assert told(some) == (None, "unknown: some replicas report it, others do not", False)
    for silent in (None, load_of()):
        assert told(silent) == (None, "unknown: no ready replica reports", False)


# Queue depth


def queue_asks(queued: float, running: float = 30, outlook: Outlook = OUTLOOK, **more) -> int | None:
    return asked("queueDepth", outlook, queued=queued, running=running, signals=WITHIN_A_MINUTE, **more).replicas


def test_the_queue_beyond_what_is_expected_is_caught_up_with_beside_what_comes() -> None:
    """12 queued are expected at three replicas; each more is 1200 tokens of work, to be done within 60 s."""
    calm = demanding(24_000, 24_000, 24_000)

    assert queue_asks(12, outlook=calm, memory=Memory(full_batch=1000.0)) == 1
    assert queue_asks(12 + 200, outlook=calm) == 1
    assert queue_asks(12 + 1500, outlook=calm) == 2
    assert queue_asks(12 + 1800, outlook=calm) == 3


def test_what_comes_beyond_what_ready_replicas_do_will_have_queued_by_the_time_others_are_ready() -> None:
    assert queue_asks(0, outlook=demanding(150_000, 0, 0)) == worth(150 / 24 + 60 * 30 / (60 * 30)) == 8
    assert queue_asks(0, outlook=demanding(90_000, 0, 0), memory=Memory(full_batch=1000.0)) == 1


def test_without_requests_one_replica_does_and_one_request_needs_no_more() -> None:
    idle = replace(demanding(0, 0, 0), speed_is_known=False)

    assert queue_asks(0, running=0, outlook=idle) == 1
    assert queue_asks(0, running=1, outlook=idle) == 1
    assert queue_asks(0, running=30, outlook=idle, memory=Memory(full_batch=15.0)) == 3
    assert queue_asks(0, running=30, outlook=idle, memory=Memory(full_batch=30.0)) == 2


def test_engines_that_tell_nothing_of_requests_are_counted_by_what_they_hold() -> None:
    blind = replace(OUTLOOK, is_known=False)

    assert queue_asks(13, running=30, outlook=blind) == 4
    assert queue_asks(130, running=30, outlook=blind, memory=Memory(full_batch=16.0)) == 8
    assert queue_asks(12, running=30, outlook=blind, memory=Memory(full_batch=16.0)) == 3


def test_what_is_expected_to_queue_is_told_as_one_says_it() -> None:
    one = Signals(queue_depth=QueueDepthSignal(per_replica=1))

    assert asked("queueDepth", queued=1, signals=one).reason == (
        "1 request queued and 30 running on 3 replicas, 1 queued per replica is expected"
    )
    assert asked("queueDepth", queued=2).reason.endswith("4 queued per replica are expected")


def test_engines_that_stall_are_named_and_counted_beside_what_the_others_need() -> None:
    stalled = {"stalled_pods": ("a", "b", "c", "d"), "stalled_queue_depth": 6.0, "stalled_running": 2.0}
    opinion = asked("queueDepth", demanding(0, 0, 0), replicas=5, queued=6, running=2, **stalled)

    assert opinion.replicas == 1 + 4
    assert opinion.reason == (
        "0 requests queued and 0 running on 1 replica, 4 queued per replica are expected; "
        "EngineStalled: 6 requests wait in a, b, c, where neither tokens nor the GPU move; more replicas would not help"
    )


# All


@pytest.mark.parametrize(
    ("signal", "signals"),
    [
        ("tokenRate", Signals(token_rate=TokenRateSignal(role="off"))),
        ("pastDemand", Signals(past_demand=PastDemandSignal(role="off"))),
        ("kvCacheUsage", Signals(kv_cache_usage=KvCacheUsageSignal(role="off"))),
        ("gpuUtilization", Signals(gpu_utilization=GpuUtilizationSignal(role="off"))),
    ],
)
def test_what_is_switched_off_has_no_say(signal: str, signals: Signals) -> None:
    opinion = asked(signal, signals=signals)
    assert (opinion.replicas, opinion.reason, opinion.known) == (None, "off: not read", True)


def test_where_all_replicas_stall_none_is_asked_for() -> None:
    for signal in ("queueDepth", "tokenRate", "pastDemand", "kvCacheUsage"):
        opinion = asked(signal, replicas=1, queued=50, stalled_pods=("a",), stalled_queue_depth=50.0)
        assert (opinion.replicas, opinion.known) == (None, False)


def test_numbers_are_written_as_people_say_them() -> None:
    assert [thousands(one) for one in (0, 950.4, 1000, 12_100, 100_000, 150_400, 1e6, 2_500_000)] == [
        "0",
        "950",
        "1.0k",
        "12.1k",
        "100k",
        "150k",
        "1.0M",
        "2.5M",
    ]
    assert (replicas_in_words(1), replicas_in_words(2)) == ("1 replica", "2 replicas")
    assert (rounded_up(3.0000000000000004), rounded_up(3.1), rounded_up(1e300)) == (3, 4, 1_000_000)
    assert (worth(0.0), worth(1.1), worth(1.2)) == (1, 1, 2)


def test_where_nobody_reports_latency_says_so_and_not_that_engines_lack_metrics() -> None:
    state = ScalingState(Scaling(max_replicas=50), Fleet(1, 0, 1), None)
    silent = replace(OUTLOOK, is_known=False)

    assert next(one.reason for one in opinions(state, silent) if one.signal == "latency").startswith(
        "unknown: no ready"
    )
