"""Integrals of what NVML would show of the simulated GPU: their growth over a window is the window's average."""

from functools import lru_cache

from batchedllm.sim.step_times import GpuLoad


@lru_cache(maxsize=16)
def _by_tokens(load: GpuLoad) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return utilization, and watts above idle, for each number of tokens up to the last one that was measured."""
    numbers = range(load.runs[-1].batch + 1)
    return (
        tuple(load.utilization_percent(tokens) for tokens in numbers),
        tuple(load.watts(tokens) - load.idle_watts for tokens in numbers),
    )


class GpuMeter:
    """Sums up utilization and energy over the engine's steps; an idle GPU adds nothing to either."""

    __slots__ = ("_most", "_percents", "_watts", "energy_above_idle_joules", "utilization_percent_seconds")

    def __init__(self, load: GpuLoad) -> None:
        self._percents, self._watts = _by_tokens(load)
        self._most = len(self._percents) - 1
        self.utilization_percent_seconds = 0.0
        self.energy_above_idle_joules = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        """Count steps over so many tokens each that took so many seconds in all."""
        index = min(tokens, self._most)
        self.utilization_percent_seconds += seconds * self._percents[index]
        self.energy_above_idle_joules += seconds * self._watts[index]

    def plus(self, tokens: int, seconds: float) -> tuple[float, float]:
        """Return both integrals with a part of a step that is under way."""
        index = min(tokens, self._most)
        return (
            self.utilization_percent_seconds + seconds * self._percents[index],
            self.energy_above_idle_joules + seconds * self._watts[index],
        )
