"""The state of one container of a pod, as far as it tells why the pod does not work."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from batchedllm.api.names import ENGINE_CONTAINER
from batchedllm.core.reconcile_types import Manifest

KILLED: Final = frozenset({137, 143})
"""Exit codes of a process that was ended from outside, by SIGKILL or SIGTERM."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One container."""

    name: str
    image: str
    waiting_reason: str
    waiting_message: str
    is_running: bool
    running_since: str
    """When the present run began, as the API writes it; empty if it does not run, or if that is not told."""
    has_started: bool
    """The startup probe has succeeded in this run."""
    restarts: int
    ended: Mapping[str, Any]
    """How its last run ended; empty if none has."""

    @property
    def exit_code(self) -> int | None:
        """Exit code of the last run that ended."""
        return self.ended.get("exitCode")

    @property
    def has_failed(self) -> bool:
        """Whether the last run that ended did so badly, or ended at all where it should have run on."""
        return bool(self.ended)

    @property
    def was_killed(self) -> bool:
        """Whether the last run was ended from outside."""
        return self.exit_code in KILLED

    @property
    def last_words(self) -> str:
        """Return the last lines of the log of the run that ended (at most 2 KiB), as the kubelet kept them."""
        return str(self.ended.get("message") or "")

    @property
    def ran_seconds(self) -> float:
        """How long the run that ended had lasted; 0 where it is not known."""
        started, finished = self.ended.get("startedAt"), self.ended.get("finishedAt")
        if not started or not finished:
            return 0.0
        return (time_of(finished) - time_of(started)).total_seconds()


def container_states(pod: Manifest) -> tuple[ContainerState, ...]:
    """Return the states of the pod's containers: the engine's first, then those that others put beside it."""
    status = pod.get("status") or {}
    found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return tuple(_state(one) for one in sorted(found, key=lambda one: one.get("name") != ENGINE_CONTAINER))


def engine_state(pod: Manifest) -> ContainerState:
    """Return the state of the engine; an empty one while the kubelet has not told any."""
    states = container_states(pod)
    return states[0] if states and states[0].name == ENGINE_CONTAINER else _state({"name": ENGINE_CONTAINER})


def condition_of(pod: Manifest, kind: str) -> Mapping[str, Any]:
    """Return a condition of the pod; empty if it has none of that type."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), {})


def is_ready(pod: Manifest) -> bool:
    """Whether the pod answers requests."""
    return condition_of(pod, "Ready").get("status") == "True"


def time_of(text: str) -> datetime:
    """Return a time as the API writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _state(status: Mapping[str, Any]) -> ContainerState:
    state, last = status.get("state") or {}, status.get("lastState") or {}
    waiting = state.get("waiting") or {}
    return ContainerState(
        name=status.get("name", ""),
        image=status.get("image", ""),
        waiting_reason=waiting.get("reason") or "",
        waiting_message=waiting.get("message") or "",
        is_running="running" in state,
        running_since=(state.get("running") or {}).get("startedAt") or "",
        has_started=bool(status.get("started")),
        restarts=int(status.get("restartCount") or 0),
        ended=state.get("terminated") or last.get("terminated") or {},
    )
