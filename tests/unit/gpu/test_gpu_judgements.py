"""What each case has to show, on measurements that show it and on ones that just do not."""

import copy
from dataclasses import asdict
from pathlib import Path

import pytest

from gpu import results
from gpu.cases import (
    CASES,
    agreement,
    api_server,
    burst,
    engine_bench,
    guard,
    overhead,
    plan_actual,
    priority,
    refusal,
    restart,
    startup,
    tensor_parallel,
)

RESULTS = Path(__file__).parents[2] / "gpu/results"


def failed(checks):
    return [one.what for one in checks if not one.holds]


def changed(measured, path, value):
    found = copy.deepcopy(measured)
    *way, last = path.split(".")
    target = found
    for part in way:
        target = target[part]
    target[last] = value
    return found


def start(name, planned, actual):
    return {"name": name, "plannedTokens": planned, "actualTokens": actual}


PLANNED = {
    "starts": [start(str(index), 100_000 + 100 * index, 100_000) for index in range(6)],
    "second": start("5", 100_100, 100_000),
}


def test_the_plan_is_right_where_errors_are_small_and_shrink():
    assert failed(plan_actual.judge(PLANNED)) == []


@pytest.mark.parametrize(
    ("starts", "what"),
    [
        ([start("a", 104_000, 100_000), *PLANNED["starts"][1:]], "largest error"),
        ([start(str(index), 98_500, 100_000) for index in range(6)], "median error"),
        (PLANNED["starts"][1:], "started and compared"),
        ([*PLANNED["starts"], {"name": "x", "plannedTokens": 5, "error": "no"}], "did not start"),
    ],
)
def test_a_plan_that_is_off_or_untried_is_not_right(starts, what):
    assert any(what in one for one in failed(plan_actual.judge({**PLANNED, "starts": starts})))


def test_a_second_start_that_is_farther_off_taught_nothing():
    measured = {**PLANNED, "second": start("5", 101_000, 100_000)}

    assert failed(plan_actual.judge(measured)) == ["error of 5 at its second start, %"]


def test_two_gpus_are_held_to_the_same_bounds_and_three_starts_are_enough():
    starts = [start(name, 100_500, 100_000) for name in tensor_parallel.SPECS]

    assert failed(tensor_parallel.judge({"starts": starts})) == []
    assert failed(tensor_parallel.judge({"starts": starts[:3]})) == []
    assert failed(tensor_parallel.judge({"starts": starts[:2]})) == ["resources started and compared"]
    far = [start(name, 104_000, 100_000) for name in tensor_parallel.SPECS]
    assert failed(tensor_parallel.judge({"starts": far})) == [
        "median error of KV tokens, %",
        "largest error of KV tokens, %",
    ]


def test_the_tokens_are_read_off_the_engines_cache_configuration():
    line = 'vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="100"} 1.0'

    assert plan_actual.tokens_of(line) == 1600
    assert plan_actual.tokens_of("") is None


REFUSED = {
    "edgeTokens": 8192,
    "underTokens": 8096,
    "refused": {"reason": "DoesNotFit", "pods": 0},
    "fix": {"setting": "batching.maxModelLen", "was": "8300", "becomes": "8192"},
    "failed": {
        "conditions": {"MemoryPlanned": {"reason": "KVCacheTooSmall", "message": "Smallest changes that fit: x"}}
    },
    "fixed": {"ready": True},
    "under": {"ready": True},
}


def test_a_refusal_is_right_where_both_sides_of_the_edge_are():
    assert failed(refusal.judge(REFUSED)) == []


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("refused.reason", "Fits", "just over the edge"),
        ("refused.pods", 1, "pods of it"),
        ("failed.conditions", {}, "the same, started all the same"),
        ("fixed.ready", False, "the first proposed fix"),
        ("under.ready", False, "just under the edge"),
    ],
)
def test_a_refusal_is_wrong_where_one_side_is(path, value, what):
    assert what in failed(refusal.judge(changed(REFUSED, path, value)))


@pytest.mark.parametrize(("becomes", "value"), [("8192", 8192), ("0.91", 0.91), ("fp8", "fp8")])
def test_a_fix_is_made_where_it_says(becomes, value):
    document = {"spec": {"memory": {}, "batching": {}}}

    assert refusal.with_fix(document, {"setting": "memory.x", "becomes": becomes})["spec"]["memory"]["x"] == value


SEEN = {
    "requests": {"sent": 100, "served": 100, "shed": 0, "failures": []},
    "toPatchSeconds": 4.0,
    "mostReady": 3,
    "toOneWantedSeconds": 120.0,
    "decisions": [{}, {}],
    "utilization": {"smiPercent": 90.0, "scrapedPercent": 92.0, "looks": 60},
}


def test_a_burst_is_served_where_it_is_seen_at_once_and_nobody_failed():
    assert failed(burst.judge(SEEN)) == []


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("toPatchSeconds", None, "more replicas wanted"),
        ("toPatchSeconds", 11.0, "more replicas wanted"),
        ("mostReady", 2, "most replicas ready"),
        ("toOneWantedSeconds", None, "in the end"),
        ("requests.failures", ["1 x HTTP 500"], "failed"),
        ("requests.served", 99, "failed"),
        ("requests.shed", 1, "turned away"),
        ("decisions", [{}], "decisions"),
        ("utilization.smiPercent", 70.0, "utilization"),
        ("utilization.smiPercent", None, "utilization"),
    ],
)
def test_a_burst_that_misses_one_thing_fails_for_it(path, value, what):
    assert any(what in one for one in failed(burst.judge(changed(SEEN, path, value))))


GUARDED = {
    "alone": {"utilization": {"smiPercent": 85.0}, "toldPercent": 84.0, "mostWanted": 1},
    "stopped": {"processes": 1, "toStalledSeconds": 9.0, "wantedBefore": 1, "mostWantedAfter": 1},
}


def test_the_guard_holds_where_a_busy_gpu_and_a_hanging_engine_add_nothing():
    assert failed(guard.judge(GUARDED)) == []


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("alone.utilization.smiPercent", 60.0, "nvidia-smi at batch 1"),
        ("alone.toldPercent", None, "the operator's reading"),
        ("alone.mostWanted", 2, "wanted meanwhile"),
        ("stopped.processes", 0, "processes stopped"),
        ("stopped.toStalledSeconds", None, "EngineStalled"),
        ("stopped.mostWantedAfter", 2, "after the stop"),
    ],
)
def test_the_guard_fails_where_one_of_them_does(path, value, what):
    assert any(what in one for one in failed(guard.judge(changed(GUARDED, path, value))))


ASKED = {"sent": 50, "served": 50, "shed": 0, "failures": []}
RESTARTED = {
    "operator": {"requests": ASKED, "killed": 1},
    "drain": {"requests": ASKED},
    "engine": {"requests": {**ASKED, "served": 40}, "killed": 1, "backSeconds": 40.0},
}


def test_only_what_ran_in_a_killed_engine_may_be_lost():
    assert failed(restart.judge(RESTARTED)) == []
    assert len(failed(restart.judge(changed(RESTARTED, "drain.requests", {**ASKED, "served": 49})))) == 1
    assert len(failed(restart.judge(changed(RESTARTED, "operator.requests", {**ASKED, "sent": 51})))) == 1
    assert failed(restart.judge(changed(RESTARTED, "operator.killed", 0))) == ["operator pods killed"]
    assert failed(restart.judge(changed(RESTARTED, "engine.killed", 0))) == ["engine processes killed"]


RANKED = {
    "alone": {"ttftSeconds": {"p99": 0.100}},
    "high": {"ttftSeconds": {"p99": 0.119}, "failures": []},
    "low": {"shed": 10, "failures": [], "served": 5},
    "shedOfHigh": 0,
    "shedWithoutRetryAfter": 0,
}


def test_priorities_hold_where_the_high_class_hardly_waits_longer():
    assert failed(priority.judge(RANKED)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("high.ttftSeconds.p99", 0.121),
        ("shedOfHigh", 1),
        ("low.shed", 0),
        ("shedWithoutRetryAfter", 1),
        ("low.failures", ["HTTP 500"]),
        ("low.served", 0),
    ],
)
def test_priorities_fail_where_one_thing_does(path, value):
    assert len(failed(priority.judge(changed(RANKED, path, value)))) == 1


def test_the_overhead_is_the_median_of_the_pairs_and_its_interval_is_told():
    percents = overhead.percents([[10000, 9950], [10000, 9980], [10000, 8000]])

    assert percents == pytest.approx([0.5, 0.2, 20.0])
    low, high = overhead.interval(percents)
    assert low < 0.5 < high


def test_a_batch_begins_with_answers_of_all_lengths_in_the_same_order_in_every_run():
    lengths = overhead.first_lengths(256, 192)
    assert lengths == overhead.first_lengths(256, 192)
    assert lengths != sorted(lengths)
    assert sorted(lengths)[::64] == [1, 48, 96, 144]
    assert max(lengths) == 192
    assert len(overhead.first_lengths(32, 192)) == 32


def test_an_overhead_is_small_only_if_enough_pairs_say_so():
    close, noisy = [[10000, 9980]] * 5, [[10000, 9980], [10000, 11000], [10000, 9000]]

    assert failed(overhead.judge({"streamedByEight": close})) == []
    assert failed(overhead.judge({"streamedByEight": noisy})) == ["fewer tokens a second, %, 95 % interval"]
    assert len(failed(overhead.judge({"streamedByEight": [[10000, 9800]] * 3}))) == 2


@pytest.mark.parametrize("case", [overhead, api_server])
def test_an_overhead_that_nothing_was_measured_of_is_not_small(case):
    checks = case.judge({})

    assert checks
    assert not any(one.holds for one in checks)


def of_api_server(ratio=1.0, more_microseconds=2.0):
    times = [[40.0, 40.0 + more_microseconds]] * 5
    speeds = [[10000, 10000 * ratio], [9000, 9100 * ratio]] * 3
    kinds = ("streamed", "streamedByEight", "whole")
    return dict.fromkeys(kinds, speeds) | {overhead.frontend_key(one): times for one in kinds}


def test_of_the_api_server_little_time_a_token_is_taken():
    assert failed(api_server.judge(of_api_server())) == []
    assert len(failed(api_server.judge(of_api_server(more_microseconds=5.0)))) == 2
    assert failed(api_server.judge(of_api_server(ratio=0.9))) == ["fewer tokens a second, median of all 18 pairs, %"]


def phases(compiling, total):
    told = {"compile": compiling, "total": total, "import": 9.0, "load_weights": 1.0, "initialize": 20.0}
    return {"resource": "fleet", "pod": str(total), "phases": told}


def test_a_filled_cache_makes_a_start_shorter():
    assert failed(startup.judge({"starts": [phases(50, 110), phases(3, 40)]})) == []
    assert failed(startup.judge({"starts": [phases(50, 40), phases(3, 41)]})) != []
    assert failed(startup.judge({"starts": [phases(50, 110)]})) != []
    both_filled = {"starts": [phases(5, 49), phases(4, 46)]}
    assert failed(startup.judge(both_filled)) == ["seconds of it that compiling took"]
    other_case = {**phases(50, 110), "resource": "classes"}
    assert failed(startup.judge({"starts": [other_case, phases(3, 40)]})) == []


def test_every_case_can_be_run_and_judged_and_says_how_long_it_needs():
    for case in CASES.values():
        assert callable(case.run)
        assert callable(case.judge)
        assert case.LEAST_SECONDS > 0


CURVE = {
    "curve": [{"batch": 2**power, "outputTokensPerSecond": 150.0 * 1.9**power} for power in range(6)],
    "knee": {"batch": 32, "isReached": False},
    "static": {"ratio": 1.8},
}


def test_a_benchmark_shows_a_knee_and_what_continuous_batching_brings():
    assert failed(engine_bench.judge(CURVE)) == []
    assert len(failed(engine_bench.judge({**CURVE, "static": {"ratio": 0.9}}))) == 1
    assert len(failed(engine_bench.judge({**CURVE, "knee": None}))) == 1
    assert len(failed(engine_bench.judge({}))) == 4


def compared(share, error):
    return {"measured": {"agreement": share, "ttftP99ErrorPercent": error}}


def test_the_simulator_agrees_where_replicas_and_waits_are_near():
    assert failed(agreement.judge(compared(0.95, -20.0))) == []
    assert len(failed(agreement.judge(compared(0.85, 0.0)))) == 1
    assert len(failed(agreement.judge(compared(1.0, 26.0)))) == 1


@pytest.mark.parametrize(
    "found",
    [one for folder in (RESULTS, RESULTS / "later") for one in results.read(folder).values()],
    ids=lambda found: f"{found['case']}-{found['machine']['commit'][:7]}",
)
def test_a_committed_result_says_of_itself_what_its_measurements_say(found):
    judged = [asdict(one) for one in CASES[found["case"]].judge(found["measured"])]

    assert [one["what"] for one in found["checks"]] == [one["what"] for one in judged]
    assert [one["holds"] for one in found["checks"]] == [one["holds"] for one in judged]
    assert found["machine"]["gpu"], "no rehearsal is committed"
    assert len(found["machine"]["commit"]) == 40
