"""All policies by name, each with its defaults and the one knob that a judge may turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from batchedllm.sim.fleet.autoscaler import Autoscaler
from batchedllm.sim.fleet.capacity import Capacity
from batchedllm.sim.fleet.fixed import Fixed
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.policies import concurrency, horizontal, inference
from batchedllm.sim.policies.peer import Peer, PeerAutoscaler, Profile
from batchedllm.sim.traces.trace import Trace

STATIC: Final = "static:"
"""Prefix of a fixed number of replicas: `static:4`."""

STATIC_UTILIZATION: Final = 0.85
"""Share of the measured capacity that the static fleet has its peak minute at."""
MINUTE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """What policies that want it are told: measured capacity, mean lengths, the peak minute."""

    profile: Profile
    prompt_tokens: float
    output_tokens: float
    peak_tokens_per_second: float
    """Mean over the busiest minute."""


def case_of(trace: Trace, settings: FleetSettings, capacity: Capacity) -> Case:
    """Describe a workload."""
    count = len(trace.requests)
    minutes: dict[int, int] = {}
    for one in trace.requests:
        minute = int(one.offset_seconds / MINUTE_SECONDS)
        minutes[minute] = minutes.get(minute, 0) + one.prompt_tokens + one.output_tokens
    engine = settings.engine
    cache = engine.usable_blocks * engine.block_size
    return Case(
        Profile(
            capacity.tokens_per_second,
            capacity.in_flight,
            engine.max_num_seqs,
            cache,
            engine.max_num_batched_tokens,
        ),
        sum(one.prompt_tokens for one in trace.requests) / count,
        sum(one.output_tokens for one in trace.requests) / count,
        max(minutes.values()) / MINUTE_SECONDS,
    )


@dataclass(frozen=True, slots=True)
class Knob:
    """The one number of a policy that its users turn, and the values that a judge tries."""

    meaning: str
    default: float
    grid: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    make: Callable[[Case, float], Autoscaler]
    knob: Knob


def _static(case: Case, utilization: float) -> Autoscaler:
    peak = case.peak_tokens_per_second / (utilization * case.profile.tokens_per_second)
    return Fixed(ceil(peak), interval_seconds=0.0)


def _entry(make: Callable[[Case, float], Peer[Any]], meaning: str, default: float, *others: float) -> _Entry:
    knob = Knob(meaning, default, tuple(sorted({default, *others})))
    return _Entry(lambda case, value: PeerAutoscaler(make(case, value)), knob)


def _of_pods(name: str) -> Callable[[Case, float], Peer[Any]]:
    return lambda _case, target: horizontal.hpa_of_pods(name, target)


def _token_rate(default: float) -> _Entry:
    meaning = "share of the capacity to use"
    others = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85)
    return _entry(lambda case, value: inference.token_rate(case.profile, value), meaning, default, *others)


_ENTRIES: Final[Mapping[str, _Entry]] = {
    "static-peak": _Entry(
        _static,
        Knob("share of the capacity in the peak minute", STATIC_UTILIZATION, (0.3, 0.45, 0.6, STATIC_UTILIZATION, 1.2)),
    ),
    "hpa-queue": _entry(
        lambda _case, value: horizontal.hpa_of_value(horizontal.waiting, value), "waiting requests", 1, 5, 20, 60, 200
    ),
    "hpa-gpu": _entry(_of_pods("gpu_utilization_percent"), "GPU utilization %", 80, 30, 50, 65, 95),
    "hpa-kv": _entry(_of_pods("kv_cache_usage_fraction"), "KV cache usage", 0.5, 0.01, 0.03, 0.1, 0.25),
    "hpa-concurrency": _entry(
        lambda case, value: horizontal.hpa_of_total(concurrency.in_flight, value * case.profile.in_flight),
        *("share of the requests in flight at capacity", 0.7, 0.1, 0.2, 0.35, 0.5),
    ),
    "keda-waiting": _entry(
        lambda _case, value: horizontal.hpa_of_total(horizontal.waiting, value),
        "waiting per replica",
        5,
        1,
        20,
        60,
        200,
    ),
    "knative": _entry(
        lambda case, value: concurrency.knative(case.profile.in_flight, 0, value),
        *("target utilization", concurrency.KNATIVE_UTILIZATION, 0.1, 0.2, 0.35, 0.5),
    ),
    "knative-delayed": _entry(
        lambda case, value: concurrency.knative(case.profile.in_flight, 180, value),
        *("target utilization", concurrency.KNATIVE_UTILIZATION, 0.1, 0.2, 0.35, 0.5),
    ),
    "aibrix-apa": _entry(
        lambda _case, value: concurrency.aibrix_apa(value),
        *("KV cache usage", concurrency.AIBRIX_KV_TARGET, 0.01, 0.03, 0.1, 0.25),
    ),
    "kubeai": _entry(
        lambda _case, value: concurrency.kubeai(value), "requests per replica", concurrency.KUBEAI_TARGET, 2, 5, 15, 40
    ),
    "ray-serve": _entry(
        lambda _case, value: concurrency.ray_serve(value), "ongoing requests", concurrency.RAY_TARGET, 1, 5, 15, 50
    ),
    "wva-v1": _entry(
        lambda _case, value: inference.wva_v1(value), "spare KV trigger", inference.WVA_KV_SPARE, 0.4, 0.6, 0.7, 0.75
    ),
    "wva-v2": _entry(
        lambda case, value: inference.wva_v2(case.profile, case.prompt_tokens, case.output_tokens, value),
        *("scale-up threshold", inference.WVA_UP, 0.05, 0.1, 0.2, 0.5),
    ),
    "dynamo-throughput": _entry(
        lambda case, value: inference.dynamo_throughput(case.profile, value),
        *("share of the best rate to use", 1.0, 0.25, 0.4, 0.55, 0.75),
    ),
    "dynamo-load": _entry(
        lambda case, value: inference.dynamo_load(case.profile, case.prompt_tokens, value),
        *("scale-up threshold", inference.DYNAMO_LOAD_UP, 0.02, 0.06, 0.15, 0.4),
    ),
    "token-rate-85": _token_rate(0.85),
    "token-rate-70": _token_rate(0.7),
}

NAMES: Final = tuple(_ENTRIES)
"""Every policy but the operator's own and `static:N`."""


def is_known(name: str) -> bool:
    """Tell whether there is a policy of this name, `static:N` among them."""
    number = name.removeprefix(STATIC)
    return name in NAMES or (name.startswith(STATIC) and number.isdecimal() and int(number) > 0)


def knob_of(name: str) -> Knob:
    """Return what can be turned. Raises KeyError for a name that is not in NAMES."""
    return _ENTRIES[name].knob


def policy(name: str, case: Case, knob: float | None = None) -> Autoscaler:
    """Return a fresh autoscaler; `knob` is its default unless given. Raises KeyError for a name `is_known` denies."""
    if not is_known(name):
        raise KeyError(name)
    if name.startswith(STATIC):
        return Fixed(int(name.removeprefix(STATIC)), interval_seconds=0.0)
    entry = _ENTRIES[name]
    return entry.make(case, entry.knob.default if knob is None else knob)
