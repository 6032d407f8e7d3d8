"""The simulator against real pods, small: `make agreement` is the whole of it."""

import copy
from statistics import median

import pytest

import testbed
from batchedllm.core.metrics import HISTOGRAMS, parse
from batchedllm.core.scaling.increments import tells_requests
from bench.agreement.curves import best_constant
from bench.agreement.report import WITHIN
from bench.agreement.traffic import Phase
from bench.scaling_agreement import MANIFEST, Case, compare
from testbed.definition import Gpus

PHASES = (Phase(5, 0.0), Phase(5, 0.4), Phase(25, 2.2), Phase(15, 0.3))
SHARE = 0.75
"""More than a number of replicas that never changes comes to; less than the bench asks for, because on a busy machine
replicas take five seconds to start once and fifteen the next time."""
STARTUP_DIFFERENCE_SECONDS = 3.0
"""The operator reads whole seconds from the pods, and a watch on a busy machine is late."""


@pytest.fixture
def _a_gpu_for_each_replica(cluster) -> None:
    """The demo, which may have run before, dresses the node with fewer than the replicas that are compared."""
    testbed.ensure_cluster(gpus=Gpus(count=128))


@pytest.mark.cluster
@pytest.mark.alone
@pytest.mark.usefixtures("_a_gpu_for_each_replica")
async def test_replicas_on_the_cluster_follow_those_of_the_simulator(cluster, namespace, operator, sim_image, tmp_path):
    manifest = copy.deepcopy(MANIFEST)
    manifest["spec"]["engine"]["image"] = sim_image

    found = await compare(cluster, namespace, Case(manifest, PHASES, seeds=3), tmp_path)

    real = found.lived
    assert not real.failed
    assert best_constant(real.wanted, found.duration_seconds, WITHIN) < SHARE, f"{real.wanted}: nothing to compare"
    assert median(found.shares) >= SHARE, found.replicas()

    told = [(one.seen_seconds, one.told_seconds) for one in real.starts]
    assert all(abs(seen - told) < STARTUP_DIFFERENCE_SECONDS for seen, told in told), told

    reading = parse(real.metrics, "pod", 0.0)
    assert tells_requests(reading)
    assert not reading.missing
    assert reading.step_tokens_total > 0
    assert reading.step_seconds_total > 0
    of_engine = [field for field, name in HISTOGRAMS.items() if name.startswith("vllm:")]
    assert all(getattr(reading, field).below[-1] > 0 for field in of_engine)

    signals = {one["signal"]: one for one in real.status["decisions"][0]["candidates"]}
    for name, words in (("tokenRate", "a replica holds"), ("pastDemand", "the past half hour")):
        assert signals[name]["replicas"] >= 1, signals[name]
        assert words in signals[name]["reason"]
