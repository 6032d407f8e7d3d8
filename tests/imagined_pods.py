"""Readings of pods that do what a test says, for the tests of scaling."""

from dataclasses import dataclass, field, replace
from math import inf

from batchedllm.core.readings import FleetLoad, LatencyHistogram, PodReading

TTFT_BOUNDS = (0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
WAIT_BOUNDS = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
TPOT_BOUNDS = (0.05, 0.1, 0.2, 0.4)


@dataclass
class ImaginedPod:
    """Counts what it is told that it did, as an engine does."""

    name: str = "a"
    reading: PodReading = field(init=False)

    def __post_init__(self) -> None:
        self.reading = PodReading(
            self.name,
            0.0,
            queue_depth=0.0,
            running=0.0,
            kv_cache_usage_fraction=0.0,
            prompt_tokens_total=0.0,
            generation_tokens_total=0.0,
            rejections_total=0.0,
            finished_total=0.0,
            step_seconds_total=0.0,
            step_tokens_total=0.0,
            time_to_first_token=LatencyHistogram(TTFT_BOUNDS, (0.0,) * 7),
            time_per_output_token=LatencyHistogram(TPOT_BOUNDS, (0.0,) * 5),
        )

    def did(
        self,
        at_seconds: float,
        *,
        finished: float = 0,
        prompt_tokens: float = 1000,
        output_tokens: float = 200,
        ttft_seconds: float = 0.1,
        tpot_seconds: float = 0.01,
        queued: float = 0,
        running: float = 0,
        step_seconds: float = 0.01,
        rejected: float = 0,
        admitted: float | None = None,
        wait_seconds: float = 0.0,
    ) -> PodReading:
        """Finish requests of these sizes, each with these latencies, and be read.

        `admitted` is for a pod with a queue before its engine: how many left it, each after `wait_seconds`.
        """
        old = self.reading
        tokens = finished * output_tokens
        self.reading = replace(
            old,
            at_seconds=at_seconds,
            queue_depth=float(queued),
            running=float(running),
            prompt_tokens_total=old.prompt_tokens_total + finished * prompt_tokens,
            generation_tokens_total=old.generation_tokens_total + tokens,
            rejections_total=old.rejections_total + rejected,
            finished_total=old.finished_total + finished,
            step_seconds_total=old.step_seconds_total + tokens * step_seconds,
            step_tokens_total=old.step_tokens_total + tokens,
            time_to_first_token=_counted(old.time_to_first_token, ttft_seconds, finished),
            time_per_output_token=_counted(old.time_per_output_token, tpot_seconds, finished),
            admission_wait=None
            if admitted is None
            else _counted(old.admission_wait or LatencyHistogram(WAIT_BOUNDS, (0.0,) * 7), wait_seconds, admitted),
        )
        return self.reading


def _counted(histogram: LatencyHistogram, seconds: float, times: float) -> LatencyHistogram:
    bounds = (*histogram.bounds_seconds, inf)
    below = [count + times * (seconds <= bound) for bound, count in zip(bounds, histogram.below, strict=True)]
    return replace(histogram, below=tuple(below))


def load_of(*readings: PodReading, **more) -> FleetLoad:
    """Return the load of these pods."""
    known = [one for one in readings if one.is_measured]
    values = {"silent_pods": (), "gpu_utilization_percent_mean": None, "no_gpu_metrics": True, **more}
    return FleetLoad(
        reporting_replicas=len(known),
        queue_depth_total=sum(one.queue_depth or 0.0 for one in known),
        running_total=sum(one.running or 0.0 for one in known),
        kv_cache_usage_fraction_mean=0.0,
        tokens_per_second_total=0.0,
        readings=tuple(known),
        **values,
    )
