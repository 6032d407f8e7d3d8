"""How long one decision takes, for fleets that serve: `PYTHONPATH=operator:tests python tests/bench/decide_time.py`.

Each look has new readings of every pod, as in the operator; the memory is that of ten minutes of work. Of the times the
tenth percentile is told: what it takes while nothing else has the core.
"""

from dataclasses import replace
from statistics import quantiles
from time import perf_counter

from batchedllm.api.scaling import Scaling
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.types import Fleet, ScalingState
from imagined_pods import ImaginedPod, load_of

LOOKS = 600
MEASURED = 300


def milliseconds(replicas: int) -> float:
    """Return the time of one decision, in milliseconds."""
    pods = [ImaginedPod(f"pod-{index}") for index in range(replicas)]
    state = ScalingState(Scaling(max_replicas=100), Fleet(replicas, replicas, 0), None)
    times = []
    for look in range(LOOKS):
        readings = [
            pod.did(2.0 * look, finished=(index + look) % 9, queued=(look + index) % 5, running=20, ttft_seconds=3.0)
            for index, pod in enumerate(pods)
        ]
        state = replace(state, load=load_of(*readings))
        began = perf_counter()
        _, state = decide(state, 2.0 * look)
        times.append(perf_counter() - began)
    return 1000 * quantiles(times[-MEASURED:], n=10)[0]


if __name__ == "__main__":
    for count in (1, 8, 64):
        print(f"{count:3} pods: {milliseconds(count):.3f} ms per decision")
