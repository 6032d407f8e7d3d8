"""Policies of others against worked examples of their documentation, or of their formula where it has none."""

import pytest

from batchedllm.core.readings import PodReading
from batchedllm.sim.fleet.autoscaler import Arrived, Seen
from batchedllm.sim.policies import concurrency, horizontal, inference
from batchedllm.sim.policies.peer import PeerAutoscaler, Profile, mean_since, remembered
from batchedllm.sim.policies.reachable import Reactive, reachable
from batchedllm.sim.policies.registry import NAMES, Case, is_known, knob_of, policy

PROFILE = Profile(10_000, 100, 256, 500_000)
CASE = Case(PROFILE, 1000, 200, 34_000)


def _seen(now, wanted, values=(), arrived=0, **same):
    """A fleet whose ready pods have these readings: dicts of values, or one for all with `same`."""
    values = values or [same] * wanted
    readings = tuple(PodReading(pod=f"p{index}", at_seconds=now, **value) for index, value in enumerate(values))
    tokens = Arrived(arrived, 1000 * arrived, 200 * arrived)
    return Seen(now, wanted, tuple(reading.pod for reading in readings), readings, tokens)


def _wants(peer, *seen):
    scaler = PeerAutoscaler(peer)
    return [scaler.want(one) for one in seen]


def test_hpa_example_of_its_documentation():
    """'If the current metric value is 200m and the desired value is 100m, the number of replicas will be doubled;
    if the current value is instead 50m, halved.' Within 10 % nothing is done."""
    assert horizontal.by_ratio(3, 200, 100) == 6
    assert horizontal.by_ratio(4, 50, 100) == 2
    assert horizontal.by_ratio(3, 110, 100) == 3
    assert horizontal.by_ratio(3, 111, 100) == 4


def test_hpa_example_of_its_developers():
    """https://kubernetes.io/blog/2025/04/28/kubernetes-v1-33-hpa-configurable-tolerance: 50 replicas at 90 % of CPU
    with a target of 75 % become 60."""
    assert horizontal.by_ratio(50, 90, 75) == 60


def test_keda_example_of_its_documentation():
    """https://keda.sh/docs/latest/concepts/scaling-deployments, activation and scaling thresholds: of 40 messages with
    a threshold of 10 the HPA makes 4 instances. The production-stack's threshold of waiting requests is 5."""
    assert horizontal.by_total(1, 40, 10) == 4
    assert policy("keda-waiting", CASE).want(_seen(15, 1, queue_depth=20.0)) == 4


def test_hpa_of_a_total():
    assert horizontal.by_total(3, 41, 5) == 9
    assert horizontal.by_total(3, 16, 5) == 3
    assert horizontal.by_total(3, 0, 5) == 0


def test_hpa_counts_pods_that_are_not_ready_as_idle_when_it_would_add():
    busy = [{"gpu_utilization_percent": 100.0}] * 2
    assert horizontal.by_pods(_seen(0, 2, busy), [100.0, 100.0], 50) == 4
    assert horizontal.by_pods(_seen(0, 4, busy), [100.0, 100.0], 50) == 4
    assert horizontal.by_pods(_seen(0, 3, busy), [100.0, 100.0], 50) == 4
    assert horizontal.by_pods(_seen(0, 4, busy), [20.0, 20.0], 50) == 1
    assert horizontal.by_pods(_seen(0, 4), [], 50) == 4
    assert horizontal.by_pods(_seen(0, 2, busy), [52.0, 52.0], 50) == 2


def test_hpa_adds_at_most_four_or_doubles_and_removes_after_five_minutes():
    peer = horizontal.hpa_of_total(horizontal.waiting, 5)
    assert _wants(
        peer,
        _seen(0, 1, queue_depth=100.0),
        _seen(15, 8, queue_depth=100.0),
        _seen(30, 16, queue_depth=0.0),
        _seen(310, 16, queue_depth=0.0),
        _seen(316, 16, queue_depth=0.0),
    ) == [5, 16, 16, 16, 0]


def test_knative_examples_of_its_configuration():
    """config-autoscaler: with a containerConcurrency of 10 the autoscaler keeps 7 per pod on average (70 %); Alibaba
    Cloud's page on it (help/en/ack, "Enable automatic scaling for pods based on the number of requests"): 100
    concurrent requests are 15 pods."""
    assert _wants(concurrency.knative(10), _seen(0, 1, running=7.0)) == [1]
    assert _wants(concurrency.knative(10), _seen(0, 10, running=10.0)) == [15]


def test_knative_scales_by_the_mean_of_a_minute():
    """100 in flight per replica at 70 %: 140 requests are two replicas."""
    seen = [_seen(2.0 * tick, 2, running=70.0) for tick in range(40)]
    assert _wants(concurrency.knative(100), *seen)[-1] == 2


def test_knative_panics_at_twice_the_capacity_and_does_not_shrink_in_panic():
    calm = [_seen(2.0 * tick, 2, running=70.0) for tick in range(30)]
    burst = [_seen(60 + 2.0 * tick, 2, running=400.0) for tick in range(4)]
    after = [_seen(68 + 2.0 * tick, 12, running=0.0) for tick in range(25)]
    wants = _wants(concurrency.knative(100), *calm, *burst, *after)
    assert wants[33] == 12
    assert set(wants[34:55]) == {12}


def test_knative_at_rest_halves():
    assert _wants(concurrency.knative(100), _seen(0, 8, running=0.0)) == [4]
    assert _wants(concurrency.knative(100, 60), _seen(0, 4, running=70.0), _seen(30, 4, running=0.0))[-1] == 4


def test_kubeai_averages_ten_minutes_and_removes_after_the_third_lower_result():
    """https://www.kubeai.org/how-to/configure-autoscaling and the reference of its Model: pods for the average of
    active requests, targetRequests 100, scaleDownDelaySeconds 30. No example is worked there: this is the formula."""
    peer = concurrency.kubeai()
    assert _wants(peer, _seen(0, 1, running=350.0)) == [4]
    assert _wants(peer, *(_seen(10.0 * tick, 4, running=25.0) for tick in range(4))) == [4, 4, 4, 1]


def test_ray_serve_waits_for_thirty_seconds_up_and_ten_minutes_down():
    peer = concurrency.ray_serve()
    up = [_seen(10.0 * tick, 1, running=9.0) for tick in range(4)]
    assert _wants(peer, *up) == [1, 1, 1, 5]
    down = [_seen(10.0 * tick, 5, running=0.0) for tick in range(61)]
    assert _wants(peer, *down)[-2:] == [5, 0]


def test_ray_serve_example_of_its_documentation():
    """https://docs.ray.io/en/latest/serve/advanced-guides/advanced-autoscaling.html: two replicas of 100 ms get 30
    requests a second, three in flight; with a target of 1 replicas are added until three have one each."""
    more = [_seen(10.0 * tick, 2, running=1.5) for tick in range(4)]
    enough = [_seen(40 + 10.0 * tick, 3, running=1.0) for tick in range(4)]
    assert _wants(concurrency.ray_serve(1), *more, *enough)[3:] == [3, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("pods", "use", "wanted"),
    [(2, 45, 3), (2, 35, 3), (2, 90, 4), (6, 20, 4), (6, 18, 4), (6, 10, 3), (2, 33, 2), (2, 27, 2)],
)
def test_aibrix_examples_of_its_own_tests(pods, use, wanted):
    """github.com/vllm-project/aibrix, pkg/controller/podautoscaler/algorithm/apa_test.go: target 30, tolerance 0.1,
    rates of 2; its documentation works no example."""
    assert concurrency.aibrix_wish(pods, use, 30) == wanted


def test_aibrix():
    assert concurrency.aibrix_wish(4, 0.75, 0.5) == 6
    assert concurrency.aibrix_wish(4, 5.0, 0.5) == 8
    assert concurrency.aibrix_wish(8, 0.01, 0.5) == 4
    assert concurrency.aibrix_wish(4, 0.54, 0.5) == 4
    peer = concurrency.aibrix_apa()
    seen = (_seen(0, 2, kv_cache_usage_fraction=0.8), _seen(200, 4, kv_cache_usage_fraction=0.1))
    assert _wants(peer, *seen, _seen(310, 4, kv_cache_usage_fraction=0.1)) == [4, 4, 2]


@pytest.mark.parametrize(
    ("pairs", "change"),
    [
        (((0.9, 0), (0.5, 9)), 1),
        (((0.75, 0), (0.75, 0)), 1),
        (((0.1, 3), (0.1, 3)), 1),
        (((0.5, 0), (0.5, 0)), 0),
        (((0.3, 0), (0.3, 0)), -1),
        (((0.1, 0),), 0),
    ],
)
def test_wva_saturation(pairs, change):
    assert inference.wva_saturation(pairs) == change


def test_wva_v1_examples_of_its_documentation():
    """docs/saturation-analyzer.md of llm-d's workload-variant-autoscaler. Its five replicas have spare KV 0.15 and
    queue 3.2, which is enough, and after a removal KV 0.8125, which is not. Its log shows 2.5: more."""
    five = ((0.70, 2), (0.75, 3), (0.60, 1), (0.65, 2), (0.55, 1))
    assert inference.wva_saturation(five) == 0
    assert inference.wva_saturation((*[(0.65, 2.5)] * 4, (0.9, 9))) == 1


def test_wva_waits_for_replicas_that_start():
    full = {"kv_cache_usage_fraction": 0.9, "queue_depth": 9.0}
    assert _wants(inference.wva_v1(), _seen(60, 2, **full), _seen(120, 3, [full, full])) == [3, 3]


def test_wva_v1_looks_back_for_a_minute():
    full, idle = {"kv_cache_usage_fraction": 0.79}, {"kv_cache_usage_fraction": 0.2}
    peer = inference.wva_v1()
    assert _wants(peer, _seen(30, 2, **full), _seen(62, 2, **idle), _seen(90, 3, **idle), _seen(122, 3, **idle)) == [
        *(2, 3, 3, 2)
    ]


def test_wva_v2_learns_what_a_replica_holds_where_it_has_a_queue():
    """What is in use with 5 or more waiting, the mean of the last ten such times (docs/user-guide of the same)."""
    queued = {"kv_cache_usage_fraction": 0.1, "queue_depth": 5.0}
    calm = {"kv_cache_usage_fraction": 0.1, "queue_depth": 4.0}
    assert inference.wva_sightings(_seen(0, 2, [queued, calm]).readings, 500_000) == [50_000]
    # 50,000 in use and 5,000 waiting are 64,706 at 85 %: two replicas of 50,000, of 500,000 still one
    assert _wants(inference.wva_v2(PROFILE, 1000, 200), _seen(0, 1, **queued), _seen(60, 2, **calm)) == [2, 3]
    assert _wants(inference.wva_v2(PROFILE, 1000, 200), _seen(0, 1, **calm)) == [1]


def test_wva_tokens():
    """The user guide's formulas: required = demand / 0.85 - supply with pending replicas, spare = ready capacity -
    demand / 0.70; replicas are added for ceil(required / capacity), removed for floor(spare / capacity)."""
    assert inference.wva_tokens(2, 2, 340.0, 100.0) == 4
    assert inference.wva_tokens(4, 2, 340.0, 100.0) == 4
    assert inference.wva_tokens(6, 6, 210.0, 100.0) == 3
    assert _wants(inference.wva_v2(PROFILE, 1000, 200), _seen(0, 1, kv_cache_usage_fraction=1.0)) == [3]


def test_dynamo_throughput_divides_tokens_by_the_best_rate():
    """The planner's design document: next requests * next length / interval, over the throughput of an engine at the
    SLA, rounded up; here one kind of engine reads and writes."""
    peer = inference.dynamo_throughput(PROFILE)
    assert _wants(peer, _seen(180, 1, arrived=3000), _seen(360, 2, arrived=9000)) == [2, 4]


def test_dynamo_load_adds_when_all_are_over_and_removes_when_all_would_stay_below():
    """The planner guide's `throughput` target: scheduled and queued tokens over the KV cache, more above 1.0 on every
    engine, fewer where 0.6 would hold on one engine less."""
    assert inference.dynamo_easy([1.1, 1.2]) == 1
    assert inference.dynamo_easy([1.1, 0.9]) == 0
    assert inference.dynamo_easy([0.2, 0.29]) == -1
    assert inference.dynamo_easy([0.2, 0.31]) == 0
    assert inference.dynamo_easy([0.0]) == 0
    peer = inference.dynamo_load(PROFILE, 1000)
    queued = {"kv_cache_usage_fraction": 0.8, "queue_depth": 300.0}
    assert _wants(peer, _seen(0, 1, **queued), _seen(5, 2, [queued])) == [2, 2]


def test_token_rate():
    """60,000 tokens in 30 s are 2,000 a second; at 70 % of 1,000 three replicas, held for 300 s."""
    peer = inference.token_rate(Profile(1000, 100, 256, 500_000), 0.7)
    seen = [_seen(2.0 * tick, 1, arrived=round(5 / 3 * 2 * tick)) for tick in range(1, 30)]
    assert _wants(peer, *seen)[-1] == 3
    idle = [_seen(60 + 10.0 * tick, 3, arrived=100) for tick in range(100)]
    assert _wants(peer, *seen, *idle)[-1] == 0


def test_what_could_be_reached_is_a_token_rate_with_a_floor():
    busy = [_seen(2.0 * tick, 1, arrived=round(5 / 3 * 2 * tick)) for tick in range(1, 30)]
    for floor, expected in ((0, 3), (5, 5)):
        scaler = reachable(Profile(1000, 100, 256, 500_000), Reactive(0.7, 60.0, floor))
        assert [scaler.want(one) for one in busy][-1] == expected
        assert scaler.want(_seen(1000, 3, arrived=97)) == floor


def test_a_knob_is_turned():
    for name in NAMES:
        knob = knob_of(name)
        assert knob.default in knob.grid
        assert list(knob.grid) == sorted(set(knob.grid))
    queued = _seen(15, 3, queue_depth=20.0)
    assert policy("keda-waiting", CASE).want(queued) == 7
    assert policy("keda-waiting", CASE, 20).want(queued) == 3


def test_samples():
    samples = remembered(((0.0, 1.0), (5.0, 3.0)), 10.0, 5.0, 6.0)
    assert samples == ((5.0, 3.0), (10.0, 5.0))
    assert (mean_since(samples, 0.0), mean_since(samples, 11.0)) == (4.0, 5.0)


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_answers(name):
    scaler = policy(name, CASE)
    values = {"queue_depth": 10.0, "running": 50.0, "kv_cache_usage_fraction": 0.4, "gpu_utilization_percent": 90.0}
    answers = [scaler.want(_seen(10.0 * tick, 2, arrived=100 * tick, **values)) for tick in range(1, 8)]
    assert all(isinstance(answer, int) and answer >= 0 for answer in answers)


def test_static_policies():
    assert policy("static:4", CASE).want(_seen(0, 1)) == 4
    assert policy("static-peak", CASE).want(_seen(0, 1)) == 4
    assert [is_known(name) for name in ("static:1", "static:0", "static:x", "hpa-kv", "hpa")] == [
        *(True, False, False, True, False)
    ]
    with pytest.raises(KeyError):
        policy("hpa", CASE)
