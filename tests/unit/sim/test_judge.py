"""Policies side by side on one small trace."""

import pytest

from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.fleet.score import Sample, Score
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.fleet.slo import Slo
from batchedllm.sim.judge.comparison import Contestant, cheapest, compared, followed, judged, start_of
from batchedllm.sim.judge.figures import mean, spread
from batchedllm.sim.policies.registry import policy
from batchedllm.sim.traces.trace import Trace
from batchedllm.sim.workload import TraceRequest

ENGINE = EngineSettings(max_model_len=4096, num_gpu_blocks=2000, max_num_seqs=64)
SETTINGS = FleetSettings(ENGINE, max_replicas=6, startup_seconds=10, hold_seconds=10)


def _trace(_seed):
    return Trace("t", tuple(TraceRequest(0.1 * index, 800, 40) for index in range(600)))


def test_every_policy_is_run_with_every_seed_against_the_same_clairvoyant():
    names = ("static:2", "keda-waiting")
    contestants = {name: Contestant(lambda case, name=name: policy(name, case), SETTINGS) for name in names}
    runs = list(compared(_trace, contestants, SETTINGS, 2))
    assert [(run.name, run.seed) for run in runs] == [(name, seed) for seed in (1, 2) for name in names]
    found = judged(runs)
    assert list(found) == list(names)
    document = found["static:2"].document()
    assert [set(document), len(document["seeds"])] == [{"mean", "spread", "seeds"}, 2]
    one = document["mean"]
    assert one["replicaHours"] == pytest.approx(2 * 59.9 / 3600)
    assert one["K"] == pytest.approx(one["replicaHours"] / one["clairvoyantReplicaHours"])
    assert (one["A"], one["failed"], one["maxReplicas"], one["flapsPerHour"]) == (1.0, 0, 2, 0)
    assert set(one["ttft"]) == set(one["itl"]) == {"p50", "p99"}


def _came_to(within, hours):
    score = Score(Slo(), requests=100, within=within, replica_seconds=3600.0 * hours)
    score.samples = [Sample(2.0, 1, 0, 0.0, 3, 2, 50.0)]
    return followed(score)


def test_who_serves_enough_for_less_than_the_clairvoyant_is_the_clairvoyant():
    found, cheaper, careless = _came_to(99, 2.0), _came_to(99, 1.5), _came_to(98, 1.0)
    assert cheapest([found, cheaper, careless]) is cheaper
    assert cheapest([careless, _came_to(97, 0.5)]) is careless
    assert cheaper.plan == (2,)


def test_mean_and_spread():
    runs = [{"A": 1.0, "ttft": {"p50": 1.0}, "K": None}, {"A": 0.5, "ttft": {"p50": 3.0}, "K": 1.0}]
    assert mean(runs) == {"A": 0.75, "ttft": {"p50": 2.0}, "K": None}
    assert spread(runs) == {"A": 0.5, "ttft": {"p50": 2.0}, "K": None}


def test_the_start_is_sized_for_the_time_that_it_is_held():
    assert start_of(_trace(1), SETTINGS, 4000.0) == 4
    assert start_of(_trace(1), SETTINGS, 1e9) == 1
    assert start_of(Trace("one", (TraceRequest(0.0, 1, 1),)), SETTINGS, 1.0) == 1
