"""Why a pod does not work, in words that a person can act on.

A chain of small checks, from what keeps a pod from being placed to what ends its engine; the first that recognises
the pod's state answers. A pod that is ready, or only on its way, has no failure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from batchedllm.api.conditions import Reason
from batchedllm.api.names import ENGINE_CONTAINER
from batchedllm.core.container_state import (
    ContainerState,
    condition_of,
    container_states,
    engine_state,
    is_ready,
    time_of,
)
from batchedllm.core.crash_log import known_cause, line_that_matters
from batchedllm.core.failure import Failure, short
from batchedllm.core.preflight import preflight_finding
from batchedllm.core.reconcile_types import Manifest

SILENT_AFTER_SECONDS: Final = 30
"""A started engine that is not ready for this long does not answer."""

GONE_AFTER_SECONDS: Final = 600
"""The object of an evicted pod stays for hours; it is told of for this long."""


@dataclass(frozen=True, slots=True)
class PodView:
    """What the checks look at."""

    pod: Manifest
    engine: ContainerState
    others: tuple[ContainerState, ...]
    """Containers that were put beside the engine, by a service mesh for example."""
    warnings: tuple[Manifest, ...]
    """Kubernetes Events of type Warning about the pod, oldest first."""
    log: str
    """Last lines of the engine's last run."""
    now: datetime

    @property
    def containers(self) -> tuple[ContainerState, ...]:
        """All containers, the engine first."""
        return (self.engine, *self.others)


Finding = tuple[Reason, str] | None
Check = Callable[[PodView], Finding]


def pod_failure(
    pod: Manifest, now: datetime, warnings: tuple[Manifest, ...] = (), log_tails: Mapping[str, str] | None = None
) -> Failure | None:
    """Return what is wrong with `pod`; None while nothing is known to be. `log_tails` are by pod name."""
    if pod["metadata"].get("deletionTimestamp") or is_ready(pod):
        return None
    name = pod["metadata"]["name"]
    view = _view(pod, now, warnings, (log_tails or {}).get(name, ""))
    found = next((finding for check in CHECKS if (finding := check(view)) is not None), None)
    return None if found is None else Failure(name, found[0], short(found[1]), view.log.strip())


def wants_log(pod: Manifest) -> bool:
    """Whether the log of `pod` would tell more than its status.

    The status holds the last 2 KiB only, and vLLM's parent process ends with a traceback longer than that, after the
    line that matters.
    """
    engine = engine_state(pod)
    is_judged = is_ready(pod) or pod["metadata"].get("deletionTimestamp")
    is_crash = engine.has_failed and engine.ended.get("reason") != "OOMKilled"
    is_explained = preflight_finding(engine.exit_code, engine.last_words) or known_cause(engine.last_words)
    return not is_judged and is_crash and is_explained is None


def _view(pod: Manifest, now: datetime, warnings: tuple[Manifest, ...], log: str) -> PodView:
    name = pod["metadata"]["name"]
    about = [one for one in warnings if (one.get("involvedObject") or {}).get("name") == name]
    others = tuple(one for one in container_states(pod) if one.name != ENGINE_CONTAINER)
    engine = engine_state(pod)
    return PodView(pod, engine, others, tuple(sorted(about, key=_last_seen)), f"{log}\n{engine.last_words}", now)


def _last_seen(event: Manifest) -> str:
    series = event.get("series") or {}
    times = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"))
    return next((time for time in times if time), "")


def _unschedulable(view: PodView) -> Finding:
    scheduled = condition_of(view.pod, "PodScheduled")
    if scheduled.get("reason") != "Unschedulable":
        return None
    return Reason.UNSCHEDULABLE, f"the scheduler finds no node: {scheduled.get('message', '')}"


def _ended_pod(view: PodView) -> Finding:
    """Find a pod that its node gave up. The Deployment makes another one; this one is only told of for a while."""
    status = view.pod.get("status") or {}
    if status.get("phase") != "Failed":
        return None
    reason = Reason.EVICTED if status.get("reason") == "Evicted" else Reason.CRASHED
    return reason, f"ended by its node ({status.get('reason', 'Failed')}): {status.get('message', '')}"


_IMAGE_REASONS: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)


def _image(view: PodView) -> Finding:
    for container in view.containers:
        if container.waiting_reason in _IMAGE_REASONS:
            words = _pull_error(view) or container.waiting_message or container.waiting_reason
            return Reason.IMAGE_PULL, (
                f"the image of container {container.name} cannot be pulled: {words}. "
                "Check engine.image and engine.imagePullSecrets"
            )
    return None


def _pull_error(view: PodView) -> str:
    """Return what the registry said; the waiting state alternates between that and a mere `Back-off`."""
    said = [one.get("message", "") for one in view.warnings if "Failed to pull image" in one.get("message", "")]
    return said[-1] if said else ""


_CONFIGURATION_REASONS: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


def _configuration(view: PodView) -> Finding:
    for container in view.containers:
        if container.waiting_reason in _CONFIGURATION_REASONS:
            words = container.waiting_message or container.waiting_reason
            return Reason.CONFIGURATION, f"the container {container.name} cannot be made: {words}"
    return None


_PREPARATION_FAILURES: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})


def _preparation(view: PodView) -> Finding:
    """Find what keeps the kubelet from making the container: a Secret or a claim that is not there, for example.

    Only Events tell; the pod's status just says `ContainerCreating`.
    """
    if view.engine.waiting_reason not in {"ContainerCreating", "PodInitializing", ""} or view.engine.is_running:
        return None
    said = [one for one in view.warnings if one.get("reason") in _PREPARATION_FAILURES]
    return (Reason.CONFIGURATION, f"the pod cannot be prepared: {said[-1].get('message', '')}") if said else None


def _host_memory(view: PodView) -> Finding:
    for container in view.containers:
        if container.ended.get("reason") == "OOMKilled":
            limit = _memory_limit(view.pod, container.name)
            held = f"its limit of {limit}" if limit else "the node has"
            return Reason.OUT_OF_HOST_MEMORY, (
                f"the container {container.name} was killed for using more host memory than {held} "
                "(this is not GPU memory). Raise engine.resources.limits.memory; /dev/shm counts too"
            )
    return None


def _memory_limit(pod: Manifest, container: str) -> str:
    specs = (one for one in pod["spec"].get("containers", ()) if one.get("name") == container)
    return next((str((one.get("resources") or {}).get("limits", {}).get("memory", "")) for one in specs), "")


def _preflight(view: PodView) -> Finding:
    return preflight_finding(view.engine.exit_code, f"{view.engine.last_words}\n{view.log}")


def _known_cause(view: PodView) -> Finding:
    return known_cause(view.log) if view.engine.has_failed else None


def _too_slow(view: PodView) -> Finding:
    """Find an engine that was killed when the time to start was over."""
    engine, allowed_seconds = view.engine, _startup_seconds(view.pod)
    if not engine.has_failed or not allowed_seconds or engine.ran_seconds < allowed_seconds:
        return None
    if engine.exit_code not in {0, 137, 143} or _said(view, "Liveness probe"):
        return None
    return Reason.NOT_ANSWERING, (
        f"did not answer {_probe_path(view.pod)} within {allowed_seconds} s of its start and was started again. "
        "If it needs longer to load, raise rollout.startupSeconds; a shared cache (engine.cache.claimName) shortens it"
    )


def _killed_for_silence(view: PodView) -> Finding:
    if not view.engine.was_killed or not _said(view, "Liveness probe"):
        return None
    return Reason.NOT_ANSWERING, (
        f"stopped answering {_probe_path(view.pod)} and was started again ({_times(view.engine.restarts)})"
    )


def _crash(view: PodView) -> Finding:
    for container in view.containers:
        if container.has_failed and not (container.name != ENGINE_CONTAINER and container.exit_code == 0):
            said = line_that_matters(view.log if container.name == ENGINE_CONTAINER else container.last_words)
            words = (
                f"the container {container.name} ended with exit code {container.exit_code} "
                f"({_times(container.restarts)} started again)"
            )
            return Reason.CRASHED, f"{words}: {said}" if said else f"{words} and said nothing; see its log"
    return None


def _silent(view: PodView) -> Finding:
    """Find a started engine that does not answer, and has not been killed for it yet.

    When its startup probe succeeded is not told: one that was not ready in this run yet may have started just now.
    """
    engine, since = view.engine, condition_of(view.pod, "Ready").get("lastTransitionTime")
    if not (engine.is_running and engine.has_started and since):
        return None
    allowed_seconds = SILENT_AFTER_SECONDS
    if engine.running_since and time_of(since) <= time_of(engine.running_since):
        since = engine.running_since
        allowed_seconds += _startup_seconds(view.pod)
    if (view.now - time_of(since)).total_seconds() < allowed_seconds:
        return None
    return Reason.NOT_ANSWERING, f"runs, but does not answer {_probe_path(view.pod)} since {since}"


CHECKS: Final[tuple[Check, ...]] = (
    _ended_pod,
    _unschedulable,
    _image,
    _configuration,
    _preparation,
    _host_memory,
    _preflight,
    _known_cause,
    _too_slow,
    _killed_for_silence,
    _crash,
    _silent,
)
"""In the order in which they are asked."""


def is_old_news(pod: Manifest, now: datetime) -> bool:
    """Whether the pod ended so long ago that nobody needs to be told any more."""
    status = pod.get("status") or {}
    if status.get("phase") not in {"Failed", "Succeeded"}:
        return False
    ends = [one.ended.get("finishedAt") for one in container_states(pod)]
    times = [text for text in (*ends, condition_of(pod, "Ready").get("lastTransitionTime")) if text]
    return bool(times) and (now - max(time_of(text) for text in times)).total_seconds() > GONE_AFTER_SECONDS


def _startup_seconds(pod: Manifest) -> int:
    """Return the time that the pod's own startup probe allows; 0 where it has none."""
    probe = _engine_spec(pod).get("startupProbe") or {}
    return int(probe.get("periodSeconds", 10)) * int(probe.get("failureThreshold", 3)) if probe else 0


def _probe_path(pod: Manifest) -> str:
    probe = _engine_spec(pod).get("readinessProbe") or {}
    return str((probe.get("httpGet") or {}).get("path", "its probe"))


def _engine_spec(pod: Manifest) -> Manifest:
    containers = pod["spec"].get("containers", ())
    return next((one for one in containers if one.get("name") == ENGINE_CONTAINER), {})


def _said(view: PodView, words: str) -> bool:
    return any(words in one.get("message", "") for one in view.warnings)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
