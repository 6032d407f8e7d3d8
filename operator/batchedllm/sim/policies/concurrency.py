"""Policies on requests in flight: Knative, KubeAI, Ray Serve; and AIBrix's on KV cache."""

from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from batchedllm.sim.fleet.autoscaler import Seen
from batchedllm.sim.policies.peer import Peer, Samples, mean_since, remembered

_ROUNDING: Final = 1e-9


def in_flight(seen: Seen) -> float:
    """Return the requests in all pods, waiting or running."""
    return seen.total("queue_depth") + seen.total("running")


def _ceil(value: float) -> int:
    return ceil(value - _ROUNDING)


# -- Knative: pkg/autoscaler/scaling/autoscaler.go, config-autoscaler

KNATIVE_TICK_SECONDS: Final = 2.0
KNATIVE_STABLE_SECONDS: Final = 60.0
KNATIVE_PANIC_SECONDS: Final = 6.0
KNATIVE_PANIC_THRESHOLD: Final = 2.0
KNATIVE_UTILIZATION: Final = 0.7


@dataclass(frozen=True, slots=True)
class KnativeMemory:
    """Concurrency of the stable window, and the panic under way."""

    samples: Samples = ()
    panic_since: float | None = None
    """Last time the panic threshold was passed."""
    high_water: int = 0
    wishes: Samples = ()


def knative(
    concurrency: float, scale_down_delay_seconds: float = 0.0, utilization: float = KNATIVE_UTILIZATION
) -> Peer[KnativeMemory]:
    """Return Knative's autoscaler with its defaults, for replicas that hold so many requests."""
    target = concurrency * utilization

    def step(memory: KnativeMemory, seen: Seen) -> tuple[int, KnativeMemory]:
        now, ready = seen.now_seconds, max(1, len(seen.ready_pods))
        samples = remembered(memory.samples, now, in_flight(seen), KNATIVE_STABLE_SECONDS)
        stable = _within(_ceil(mean_since(samples, now - KNATIVE_STABLE_SECONDS) / target), ready)
        panic = _within(_ceil(mean_since(samples, now - KNATIVE_PANIC_SECONDS) / target), ready)
        since, high = _panic(memory, now, panic / ready >= KNATIVE_PANIC_THRESHOLD)
        wish, high = stable, max(high, stable, panic, seen.wanted) if since is not None else 0
        wish = high if since is not None else wish
        wishes = remembered(memory.wishes, now, wish, scale_down_delay_seconds)
        return max(int(value) for _, value in wishes), KnativeMemory(samples, since, high, wishes)

    return Peer(KNATIVE_TICK_SECONDS, KnativeMemory(), step)


def _within(replicas: int, ready: int) -> int:
    """Bring a wish within max-scale-down-rate 2 and max-scale-up-rate 1000."""
    return min(1000 * ready, max(floor(ready / 2), replicas))


def _panic(memory: KnativeMemory, now: float, is_over: bool) -> tuple[float | None, int]:  # noqa: FBT001
    """Return since when there is panic, None without, and its high-water mark."""
    if is_over:
        return now, memory.high_water
    if memory.panic_since is None or now > memory.panic_since + KNATIVE_STABLE_SECONDS:
        return None, 0
    return memory.panic_since, memory.high_water


# -- KubeAI: internal/modelautoscaler

KUBEAI_TICK_SECONDS: Final = 10.0
KUBEAI_WINDOW_SECONDS: Final = 600.0
KUBEAI_TARGET: Final = 100
KUBEAI_DOWN_DELAY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class KubeAiMemory:
    """Active requests of the window, and how many results in a row were lower."""

    samples: Samples = ()
    lower: int = 0


def kubeai(target_requests: float = KUBEAI_TARGET) -> Peer[KubeAiMemory]:
    """Return KubeAI's: mean of active requests over ten minutes; removal after 3 lower results in a row."""
    needed = ceil(KUBEAI_DOWN_DELAY_SECONDS / KUBEAI_TICK_SECONDS)

    def step(memory: KubeAiMemory, seen: Seen) -> tuple[int, KubeAiMemory]:
        now = seen.now_seconds
        samples = remembered(memory.samples, now, in_flight(seen), KUBEAI_WINDOW_SECONDS)
        wish = _ceil(mean_since(samples, now - KUBEAI_WINDOW_SECONDS) / target_requests)
        if wish >= seen.wanted:
            return wish, KubeAiMemory(samples)
        if memory.lower < needed:
            return seen.wanted, KubeAiMemory(samples, memory.lower + 1)
        return wish, KubeAiMemory(samples)

    return Peer(KUBEAI_TICK_SECONDS, KubeAiMemory(), step)


# -- Ray Serve: https://docs.ray.io/en/latest/serve/advanced-guides/advanced-autoscaling.html

RAY_TICK_SECONDS: Final = 10.0
RAY_LOOK_BACK_SECONDS: Final = 30.0
RAY_TARGET: Final = 2.0
RAY_UP_DELAY_SECONDS: Final = 30.0
RAY_DOWN_DELAY_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class RayMemory:
    """Ongoing requests of the look-back, and since when a decision in one direction holds."""

    samples: Samples = ()
    direction: int = 0
    since: float = 0.0


def ray_serve(target_ongoing: float = RAY_TARGET) -> Peer[RayMemory]:
    """Return Ray Serve's: a wish must hold for 30 s to add replicas, for 600 s to remove any."""

    def step(memory: RayMemory, seen: Seen) -> tuple[int, RayMemory]:
        now = seen.now_seconds
        samples = remembered(memory.samples, now, in_flight(seen), RAY_LOOK_BACK_SECONDS)
        wish = _ceil(mean_since(samples, now - RAY_LOOK_BACK_SECONDS) / target_ongoing)
        direction = (wish > seen.wanted) - (wish < seen.wanted)
        since = memory.since if direction == memory.direction else now
        delay = RAY_UP_DELAY_SECONDS if direction > 0 else RAY_DOWN_DELAY_SECONDS
        if direction and now - since >= delay:
            return wish, RayMemory(samples)
        return seen.wanted, RayMemory(samples, direction, since)

    return Peer(RAY_TICK_SECONDS, RayMemory(), step)


# -- AIBrix: pkg/controller/podautoscaler/{algorithm/apa.go,context.go}

AIBRIX_TICK_SECONDS: Final = 10.0
AIBRIX_WINDOW_SECONDS: Final = 180.0
AIBRIX_TOLERANCE: Final = 0.1
AIBRIX_DOWN_COOLDOWN_SECONDS: Final = 300.0
AIBRIX_KV_TARGET: Final = 0.5


def aibrix_wish(replicas: int, metric: float, target: float) -> int:
    """Return what the adaptive pod autoscaler asks for: proportional, at most doubled and at most halved."""
    ratio = metric / target
    if ratio > 1 + AIBRIX_TOLERANCE:
        return min(_ceil(replicas * ratio), 2 * replicas)
    if ratio < 1 - AIBRIX_TOLERANCE:
        return max(_ceil(replicas * ratio), replicas // 2)
    return replicas


@dataclass(frozen=True, slots=True)
class AibrixMemory:
    """KV usage of the window, and the wishes of the cool-down."""

    samples: Samples = ()
    wishes: Samples = ()


def aibrix_apa(kv_target: float = AIBRIX_KV_TARGET) -> Peer[AibrixMemory]:
    """Return AIBrix's on mean KV cache usage, 50 % as in its samples."""

    def step(memory: AibrixMemory, seen: Seen) -> tuple[int, AibrixMemory]:
        now, ready = seen.now_seconds, max(1, len(seen.ready_pods))
        usage = seen.total("kv_cache_usage_fraction") / ready
        samples = remembered(memory.samples, now, usage, AIBRIX_WINDOW_SECONDS)
        wish = aibrix_wish(ready, mean_since(samples, now - AIBRIX_WINDOW_SECONDS), kv_target)
        wishes = remembered(memory.wishes, now, wish, AIBRIX_DOWN_COOLDOWN_SECONDS)
        held = max(int(value) for _, value in wishes)
        return (wish if wish >= seen.wanted else min(seen.wanted, held)), AibrixMemory(samples, wishes)

    return Peer(AIBRIX_TICK_SECONDS, AibrixMemory(), step)
