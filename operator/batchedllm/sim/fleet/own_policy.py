"""The operator's own policy: readings, windows, load and `decide` as the operator runs them, nothing of it changed."""

from batchedllm.core.record import changed
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.types import Decision, Fleet, ScalingState
from batchedllm.core.windows import Windows
from batchedllm.sim.fleet.autoscaler import Seen


class OwnPolicy:
    """Keeps the windows as the scraper does, and the memory as the loop does. Asked after every round of scrapes.

    `startup_seconds` is what the first replicas took to start. The operator reads it from their pods, so that it is
    known before any replica is added; None: it is not.
    """

    def __init__(
        self, state: ScalingState, interval_seconds: float = 2.0, startup_seconds: float | None = None
    ) -> None:
        self._served: frozenset[str] = frozenset()
        self._asked: list[float] = []
        """When the replicas that do not serve yet were asked for, the oldest first."""
        self._decided_at = 0.0
        self._startup_seconds = startup_seconds
        self.interval_seconds = interval_seconds
        self.decisions: list[tuple[float, Decision]] = []
        self._state = state
        self._windows = Windows(interval_seconds)

    def want(self, seen: Seen) -> int:
        """Decide; decisions that change something are kept in `decisions`, with their time."""
        self._windows.keep_only(seen.ready_pods)
        for reading in seen.readings:
            self._windows.add(reading)
        ready = min(seen.wanted, len(seen.ready_pods))
        self._see_starts(seen, seen.wanted - ready)
        state = changed(
            self._state,
            fleet=Fleet(seen.wanted, ready, seen.wanted - ready, startup_seconds=self._startup_seconds),
            load=self._windows.load(seen.ready_pods, seen.now_seconds),
            wall_seconds=seen.now_seconds,
        )
        decision, self._state = decide(state, seen.now_seconds)
        if decision.changes:
            self.decisions.append((seen.now_seconds, decision))
        return decision.to_replicas

    def _see_starts(self, seen: Seen, pending: int) -> None:
        """Measure how long replicas take from being asked for until they serve, as the operator does with its pods."""
        for _ in [pod for pod in seen.ready_pods if pod not in self._served]:
            if self._asked:
                self._startup_seconds = seen.now_seconds - self._asked.pop(0)
        self._served = frozenset(seen.ready_pods)
        added = max(0, pending - len(self._asked))
        self._asked = [*self._asked[:pending], *[self._decided_at] * added]
        self._decided_at = seen.now_seconds
