"""What the simulation came to when it was last checked by hand. Faster code must give the same, to rounding.

The numbers are those of the plain implementation that took every finishing step singly and counted everything at once.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from batchedllm.sim.engine import SimulatedEngine
from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.events import EngineRequest
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.fleet.simulation import simulate
from batchedllm.sim.policies.peer import Profile
from batchedllm.sim.policies.registry import Case, policy
from batchedllm.sim.randomness import Randomness
from batchedllm.sim.step_times import H200_LOAD, H200_STEP_TIMES
from batchedllm.sim.traces.readers import read_trace
from batchedllm.sim.traces.scaling import at_rate_scale, at_speed

ENGINE = EngineSettings(max_model_len=16_384, num_gpu_blocks=50_000, max_num_seqs=256)
SETTINGS = FleetSettings(ENGINE, max_replicas=16, start_replicas=4, startup_seconds=20, hold_seconds=10)
CASE = Case(Profile(10_000, 40, 256, 800_000), 2000, 30, 60_000)


def _trace():
    with (Path(__file__).parents[2] / "data/traces/azure_code.csv").open() as lines:
        return at_rate_scale(at_speed(read_trace(lines, "azure"), 1.5), 20, Randomness(5))


@pytest.mark.parametrize(
    ("name", "loss", "counts", "times"),
    [
        ("static:6", 0.0, (8000, 444, 0, 1, 2, 6), (886.323687, 98968.03092, 1495.560647, 48453, 3784.194128)),
        ("keda-waiting", 0.1, (8000, 1254, 0, 2, 12, 16), (1240.863165, 51296.12917, 1390.663387, 22389, 2658.90364)),
        ("knative", 0.0, (8000, 894, 1753, 11, 42, 16), (1714.863165, 222060.0243, 1107.28749, 226850, 2504.438927)),
        ("hpa-gpu", 0.0, (8000, 398, 0, 1, 1, 5), (625.2697392, 186384.2335, 1523.275089, 92142, 4664.848367)),
    ],
)
def test_fleet(name, loss, counts, times):
    score = simulate(_trace(), policy(name, CASE), replace(SETTINGS, scrape_loss=loss), 7)
    turns = sum(abs(change) for _, change in score.changes)
    found = (score.requests, score.within, score.failed, len(score.changes), turns, score.most_replicas)
    assert found == counts
    queued, gpu = sum(one.queued for one in score.samples), sum(one.gpu_percent for one in score.samples)
    sums = (score.replica_seconds, sum(score.ttft_seconds), sum(score.itl_seconds), queued, gpu)
    assert sums == pytest.approx(times, rel=1e-9)


def _played(scheduling_policy):
    settings = EngineSettings(4096, 400, 32, 512, scheduling_policy=scheduling_policy, watermark=0.02)
    engine, chance, now = SimulatedEngine(settings, H200_STEP_TIMES, H200_LOAD), Randomness(3), 0.0
    events = []
    for number in range(600):
        now += chance.exponential(0.04)
        request = EngineRequest(f"{number:03d}", 1 + chance.below(700), 1 + chance.below(300), None, chance.below(3))
        engine.submit(request, now)
        if chance.below(10) == 0:
            engine.abort(f"{chance.below(number + 1):03d}", now)
        events += engine.advance(now)
    return engine, events + engine.advance(float("inf"))


@pytest.mark.parametrize(
    ("scheduling_policy", "counts", "times"),
    [
        (
            "fcfs",
            (1187, 6661, 96, 19, 206575, 84822),
            (
                20417.44797,
                35.73071989,
                3522.709591,
                15057.2937,
                2433.5156,
                456.9390345,
                2879.671483,
                2420.872656,
                452.6198037,
                3.171853548,
                85099,
                291397,
                95,
            ),
        ),
        (
            "priority",
            (1184, 6694, 82, 22, 207042, 84079),
            (
                20716.72579,
                35.89956394,
                3537.369308,
                15097.42694,
                2523.433561,
                507.0715691,
                3028.120113,
                2516.971613,
                505.0445534,
                3.770227845,
                84358,
                291121,
                81,
            ),
        ),
    ],
)
def test_engine_with_preemption_and_aborts(scheduling_policy, counts, times):
    engine, events = _played(scheduling_policy)
    seen, histograms = engine.statistics, engine.statistics.histograms
    found = (len(events), seen.steps, seen.num_preemptions, seen.aborted, seen.prompt_tokens, seen.generation_tokens)
    assert found == counts
    latencies = [histograms[f"{name}_seconds"].total for name in ("time_to_first_token", "inter_token_latency")]
    of_requests = ("e2e_request_latency", "request_queue_time", "request_decode_time", "request_time_per_output_token")
    latencies += [histograms[f"{name}_seconds"].total for name in of_requests]
    batches = [histograms[name].total for name in ("batch_size", "iteration_tokens_total", "request_num_preemptions")]
    ends = [sum(event.at for event in events), seen.busy_seconds, *engine.gpu_integrals(1e9)]
    assert [*ends, *latencies, *batches] == pytest.approx(times, rel=1e-9)
