"""A simulated cluster: what is paid, who is served, what is scraped, and that a seed tells everything."""

import re
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from batchedllm.api.scaling import Scaling
from batchedllm.core.scaling.objective import seconds_of, ttft_of
from batchedllm.core.scaling.types import Fleet, ScalingState
from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.events import Finished
from batchedllm.sim.fleet.autoscaler import Seen
from batchedllm.sim.fleet.capacity import capacity_of
from batchedllm.sim.fleet.clairvoyant import clairvoyant
from batchedllm.sim.fleet.fixed import Fixed, Planned
from batchedllm.sim.fleet.own_policy import OwnPolicy
from batchedllm.sim.fleet.plans import asked_ahead
from batchedllm.sim.fleet.score import Score, percentile
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.fleet.simulation import simulate
from batchedllm.sim.fleet.slo import Slo
from batchedllm.sim.randomness import Randomness
from batchedllm.sim.traces.generators import generated
from batchedllm.sim.traces.readers import read_trace
from batchedllm.sim.traces.scaling import at_rate_scale, at_speed, cut_to
from batchedllm.sim.traces.trace import Trace
from batchedllm.sim.workload import TraceRequest

ENGINE = EngineSettings(max_model_len=16_384, num_gpu_blocks=50_000, max_num_seqs=256)
SETTINGS = FleetSettings(ENGINE, max_replicas=16)


def _code():
    with (Path(__file__).parents[2] / "data/traces/azure_code.csv").open() as lines:
        return at_rate_scale(at_speed(read_trace(lines, "azure"), 1.5), 10, Randomness(5))


def _even(count, seconds=1.0, tokens=(100, 20)):
    return Trace("even", tuple(TraceRequest(seconds * index, *tokens) for index in range(count)))


class Recorder:
    """Wants what it is told to, and keeps what it saw."""

    interval_seconds = 2.0

    def __init__(self, wants):
        self.wants, self.seen = wants, []

    def want(self, seen: Seen):
        self.seen.append(seen)
        return self.wants(seen)


def test_a_light_load_is_served_by_one_replica():
    score = simulate(_even(100), Fixed(1), SETTINGS, 1)
    assert (score.requests, score.within, score.failed, score.attainment) == (100, 100, 0, 1.0)
    assert score.replica_hours == pytest.approx(99 / 3600)
    assert (score.flaps_per_hour, score.most_replicas) == (0, 1)
    assert 0 < percentile(score.ttft_seconds, 99) < 0.1
    assert 0 < percentile(score.itl_seconds, 50) < 0.02


def test_a_replica_serves_after_its_startup_and_is_paid_from_the_beginning():
    recorder = Recorder(lambda _seen: 3)
    score = simulate(_even(300), recorder, replace(SETTINGS, hold_seconds=100, startup_seconds=60), 1)
    ready = {seen.now_seconds: len(seen.ready_pods) for seen in recorder.seen}
    assert (ready[100.0], ready[158.0], ready[160.0]) == (1, 1, 3)
    assert score.changes == [(100.0, 2)]
    assert score.replica_seconds == pytest.approx(299 + 2 * 199)


def test_what_is_wanted_stays_within_the_bounds():
    settings = replace(SETTINGS, min_replicas=2, max_replicas=4, hold_seconds=0)
    recorder = Recorder(lambda seen: 99 if seen.now_seconds < 50 else 0)
    simulate(_even(100), recorder, settings, 1)
    assert {seen.wanted for seen in recorder.seen} == {2, 4}


def test_a_removed_replica_drains_and_what_it_cannot_finish_fails():
    trace = _even(40, 0.1, (100, 1500))
    settings = replace(SETTINGS, start_replicas=2, hold_seconds=0)
    patient = simulate(trace, Fixed(1), settings, 1)
    assert patient.failed == 0
    hasty = simulate(trace, Fixed(1), replace(settings, drain_seconds=4), 1)
    assert 0 < hasty.failed < 20
    assert hasty.answered + hasty.failed == 40


def test_without_a_replica_or_a_place_in_its_queue_a_request_fails():
    settings = replace(SETTINGS, min_replicas=0, start_replicas=0)
    assert simulate(_even(10), Fixed(0), settings, 1).failed == 10
    small = EngineSettings(max_model_len=1000, num_gpu_blocks=100, max_num_seqs=4, max_num_queued_reqs=4)
    crowd = Trace("crowd", tuple(TraceRequest(0.0, 100, 100) for _ in range(10)))
    score = simulate(crowd, Fixed(1), FleetSettings(small), 1)
    assert (score.failed, score.answered) == (6, 4)


def test_what_is_never_answered_has_failed():
    score = simulate(_even(2000, 0.01, (8000, 100)), Fixed(1), replace(SETTINGS, tail_seconds=10), 1)
    assert score.failed > 1000
    assert score.answered + score.failed == 2000


def test_the_readings_tell_of_the_engines():
    recorder = Recorder(lambda seen: seen.wanted)
    score = simulate(_even(3000, 0.01, (1000, 100)), recorder, replace(SETTINGS, start_replicas=2), 1)
    busiest = max(recorder.seen, key=lambda seen: seen.total("queue_depth"))
    reading = busiest.readings[0]
    assert len(busiest.readings) == len(busiest.ready_pods) == 2
    assert (reading.running, reading.queue_depth > 0) == (256, True)
    assert 50 < reading.gpu_utilization_percent <= 100
    assert 400 < reading.gpu_power_watts <= 700, "an H200 at a batch of 256"
    assert 0 < reading.kv_cache_usage_fraction <= 1
    last = recorder.seen[-1]
    assert last.readings[0].gpu_power_watts < reading.gpu_power_watts - 100
    assert last.arrived.requests == 3000
    assert last.total("prompt_tokens_total") == last.arrived.prompt_tokens == 3_000_000
    assert sum(sample.arrived for sample in score.samples) == 3000


def test_scrapes_can_be_lost():
    recorder = Recorder(lambda seen: seen.wanted)
    simulate(_even(1000, 1), recorder, replace(SETTINGS, start_replicas=4, scrape_loss=0.25), 1)
    share = sum(len(seen.readings) for seen in recorder.seen) / sum(len(seen.ready_pods) for seen in recorder.seen)
    assert share == pytest.approx(0.75, abs=0.05)


def _own(maximum=16, **known):
    return OwnPolicy(ScalingState(Scaling(min_replicas=1, max_replicas=maximum), Fleet(0, 0, 0), None), **known)


def test_the_operators_own_policy_adds_under_load_and_removes_after_it():
    policy = _own()
    trace = Trace("burst", (*_even(3000, 0.02, (3000, 50)).requests, TraceRequest(1500.0, 1, 1)))
    score = simulate(trace, policy, replace(SETTINGS, hold_seconds=0, startup_seconds=30), 1)
    assert score.most_replicas > 2
    assert score.samples[-1].wanted < score.most_replicas
    (first_at, first), *_ = policy.decisions
    assert first_at < 30
    assert first.winner == "queueDepth"
    assert [change for _, change in score.changes] == [
        decision.to_replicas - decision.from_replicas for _, decision in policy.decisions
    ]


def test_the_operators_own_policy_lets_a_fleet_go_that_is_far_too_large_for_steady_traffic():
    """Nothing is known of the model yet, and a few requests at a time keep its GPUs at more than 80 %."""
    settings = replace(SETTINGS, start_replicas=5, hold_seconds=0, startup_seconds=20)
    score = simulate(_even(8200, 0.11, (600, 400)), _own(), settings, 1)
    wanted = [one.wanted for one in score.samples]
    assert (wanted[0], wanted[-1]) == (5, 1)
    assert wanted == sorted(wanted, reverse=True)
    assert score.attainment == 1.0
    assert min(one.gpu_percent for one in score.samples[10:-100]) > 80


def test_requests_that_come_just_when_the_pods_are_read_are_no_queue():
    """Eight in a second, and one of them in the moment of each scrape: it waits there whenever somebody looks."""
    settings = replace(SETTINGS, start_replicas=5, hold_seconds=0, startup_seconds=20)
    score = simulate(_even(7200, 0.125, (600, 250)), _own(), settings, 1)
    assert min(one.queued for one in score.samples[:-60]) > 0
    assert score.most_replicas == 5
    assert score.samples[-1].wanted < 5


def test_one_burst_in_silence_is_neither_overestimated_nor_remembered_for_ever():
    """Two minutes of what two replicas hold. Hundreds of answers are under way before the first ends."""
    burst = [TraceRequest(300 + index / 60, 600, 250) for index in range(7200)]
    trace = Trace("burst", (*burst, TraceRequest(4500.0, 1, 1)))
    settings = replace(SETTINGS, max_replicas=64, hold_seconds=0, startup_seconds=60)
    score = simulate(trace, _own(), settings, 1)
    wanted = [(one.at_seconds, one.wanted) for one in score.samples]
    assert score.most_replicas <= 6
    assert max(count for at, count in wanted if 600 < at < 3800) > 1
    calm = [count for at, count in wanted if at > 450]
    assert calm == sorted(calm, reverse=True)
    assert calm[-1] == 1


@pytest.mark.parametrize(("known", "window"), [({}, "over 30 s"), ({"startup_seconds": 8.0}, "over 20 s")])
def test_what_the_first_replicas_took_to_start_is_known_before_any_is_added(known, window):
    policy = _own(**known)
    simulate(_even(3000, 0.02, (3000, 50)), policy, replace(SETTINGS, hold_seconds=0, startup_seconds=8), 1)
    _, first = policy.decisions[0]
    (told,) = (one.reason for one in first.candidates if one.signal == "tokenRate")
    assert f"come {window}" in told


def test_a_seed_tells_everything():
    trace = _code()
    runs = [simulate(trace, _own(), replace(SETTINGS, start_replicas=4), seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0].ttft_seconds != runs[2].ttft_seconds


def test_slo():
    slo = Slo()
    assert slo.is_met(1000, 2.5, 0.2)
    assert not slo.is_met(1000, 2.501, 0.1)
    assert not slo.is_met(1000, 1, 0.201)
    assert ttft_of("2s+0.5ms/token") == (2.0, 0.0005)
    assert ttft_of("1500ms") == (1.5, 0.0)
    assert seconds_of("200ms") == 0.2
    for text in ("2", "2s+1ms", "fast", "2s+0.5ms/token/token", "-2s"):
        with pytest.raises(ValueError, match=re.escape(text)):
            ttft_of(text)
    with pytest.raises(ValueError, match="200"):
        seconds_of("200")


def test_score():
    score = Score(Slo(), requests=3, duration_seconds=1800)
    score.finished(Finished(12.0, "0", "length", 100, 11, 0, 1.0, 1.0, 2.0))
    score.finished(Finished(2.0, "1", "length", 100, 1, 0, 1.0, 1.0, 2.0))
    assert (score.ttft_seconds, score.itl_seconds, score.within) == ([1.0, 1.0], [1.0], 1)
    assert score.attainment == pytest.approx(1 / 3)
    score.changes = [(1, 1), (2, 2), (3, -1), (4, 1)]
    assert score.flaps_per_hour == 4
    assert (percentile([], 50), percentile([3, 1, 2], 50), percentile([1, 2], 99)) == (None, 2, 2)
    assert (Score(Slo()).attainment, Score(Slo()).flaps_per_hour) == (1.0, 0.0)


def test_capacity_of_one_replica():
    trace = generated("step", Randomness(1), 0.02)
    found = capacity_of(trace, SETTINGS, 1)
    tokens = sum(one.prompt_tokens + one.output_tokens for one in trace.requests) / len(trace.requests)
    assert found.tokens_per_second == pytest.approx(found.requests_per_second * tokens)
    assert 5 < found.requests_per_second < 60
    assert 10 < found.in_flight <= 256


def test_what_was_missed_is_told_by_when_it_came():
    trace = _even(2000, 0.01, (8000, 100))
    score = simulate(trace, Fixed(1), replace(SETTINGS, tail_seconds=10), 1)
    assert len(score.missed_at_seconds) == score.requests - score.within > 1000
    assert score.missed_at_seconds == sorted(score.missed_at_seconds)
    assert score.missed_at_seconds[-1] == trace.duration_seconds


def test_a_run_that_is_late_beyond_what_is_asked_for_ends_there():
    trace, settings = _even(2000, 0.01, (8000, 100)), replace(SETTINGS, tail_seconds=10)
    whole = simulate(trace, Fixed(1), settings, 1)
    cut = simulate(trace, Fixed(1), settings, 1, most_late=10)
    assert whole.is_whole
    assert not cut.is_whole
    assert 10 < cut.late < whole.late
    assert len(cut.samples) < len(whole.samples)
    assert cut.samples == whole.samples[: len(cut.samples)]
    assert simulate(trace, Fixed(1), settings, 1, most_late=whole.late) == whole


def test_a_plan_by_the_clock():
    assert Planned((1, 2), 10).want(Seen(35.0, 1, (), ())) == 2
    assert Fixed(4).interval_seconds == inf


def test_the_clairvoyant_serves_nearly_all_for_less_than_a_fixed_fleet():
    trace, settings = cut_to(_code(), 80), replace(SETTINGS, startup_seconds=10)
    found = clairvoyant(trace, settings, 1)
    assert found.is_enough
    assert found.score.is_whole
    most = found.score.most_replicas
    always = simulate(trace, Fixed(most), replace(settings, start_replicas=most), 1)
    assert found.score.replica_hours < 0.9 * always.replica_hours
    other = clairvoyant(trace, settings, 2, found.plan)
    assert other.is_enough
    assert other.score.replica_hours < 1.15 * found.score.replica_hours


def test_the_clairvoyant_is_no_dearer_than_a_plan_that_it_is_told_of():
    """Two replicas until a burst that three more are there for: no fixed fleet and no price comes to just that."""
    calm = [TraceRequest(0.5 * index, 500, 20) for index in range(120)]
    burst = [TraceRequest(60 + 0.02 * index, 2000, 20) for index in range(500)]
    trace, settings = Trace("burst", (*calm, *burst)), replace(SETTINGS, startup_seconds=10, max_replicas=5)
    plan = (2,) * 30 + (5,) * 5
    asked = asked_ahead(plan, 6)
    known = replace(settings, start_replicas=asked[0], hold_seconds=0.0)
    score = simulate(trace, Planned(asked, 2.0), known, 1)
    assert score.attainment >= 0.99
    assert clairvoyant(trace, settings, 1, known=[plan]).score.replica_hours <= score.replica_hours


class Counted(list):
    """Requests that count how often they were played: each run goes through them once, at its end."""

    runs = 0

    def __iter__(self):
        self.runs += 1
        return super().__iter__()


def test_the_clairvoyant_plays_no_plan_twice():
    """One replica is enough all along, whatever a miss costs."""
    requests = Counted(_even(100).requests)
    assert clairvoyant(Trace("light", requests), SETTINGS, 1).score.most_replicas == 1
    assert requests.runs == 1


def test_a_clairvoyant_that_no_fleet_is_enough_for_says_so():
    crowd = Trace("crowd", tuple(TraceRequest(0.0, 8000, 1) for _ in range(300)))
    found = clairvoyant(crowd, replace(SETTINGS, max_replicas=2), 1)
    assert not found.is_enough
    assert found.score.is_whole
    assert found.plan == (2,)
