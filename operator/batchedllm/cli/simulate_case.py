"""From the options of `batchedllm simulate` to the traffic and the policies that it runs."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Final

from batchedllm.api.resource import InvalidSpec, parse
from batchedllm.api.scaling import Scaling
from batchedllm.api.slo import Slo
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.cli.documents import DocumentError, resources, text_of
from batchedllm.cli.simulate_arguments import OWN
from batchedllm.cli.simulate_profile import GpuProfile, profile_of
from batchedllm.core.scaling.objective import Objective, objective_of
from batchedllm.core.scaling.types import Fleet, ScalingState
from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.fleet.autoscaler import Autoscaler
from batchedllm.sim.fleet.own_policy import OwnPolicy
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.fleet.slo import Slo as ServiceLevel
from batchedllm.sim.judge.comparison import Contestant
from batchedllm.sim.policies.registry import Case, policy
from batchedllm.sim.randomness import Randomness
from batchedllm.sim.traces import Trace, TraceError
from batchedllm.sim.traces.generators import generated
from batchedllm.sim.traces.readers import format_of, format_of_header, read_trace
from batchedllm.sim.traces.scaling import at_rate_scale, at_speed, what_fits

SYNTHETIC: Final = "synthetic:"
MAX_REPLICAS: Final = 64
"""Where no resource bounds the replicas: far more than the judge's traces need."""

_DEFAULT_UTILIZATION: Final = 0.92
_DEFAULT_BATCHED_TOKENS: Final = 8192
_DEFAULT_SEQUENCES: Final = 1024


@dataclass(frozen=True, slots=True)
class Arena:
    """What is run."""

    make_trace: Callable[[int], Trace]
    contestants: dict[str, Contestant]
    settings: FleetSettings
    """Of the clairvoyant, and of the policies of others."""
    judged: tuple[str, ...]
    """Whom `--require` is about: ours, the new one of two, or all where neither runs."""


def arena_of(options: argparse.Namespace) -> Arena:
    """Return what the options ask for. Raises DocumentError."""
    if options.compare is not None and options.filename is not None:
        raise DocumentError("-f and --compare both give a BatchedLLM, expected one of them")
    profile = profile_of(options.gpu_profile)
    specs = {path: _spec(path, options.name) for path in options.compare or ()}
    if options.filename is not None:
        specs[OWN] = _spec(options.filename, options.name)
    base = _fleet(options, profile, next(reversed(specs.values()), None))
    contestants = {name: _own(spec, _fleet(options, profile, spec)) for name, spec in specs.items()}
    names = options.policy or (() if specs else (OWN,))
    for name in names:
        contestants.setdefault(name, _named(name, base))
    mine = tuple(specs)[-1:] or tuple(name for name in contestants if name == OWN) or tuple(contestants)
    return Arena(_traffic(options, contestants), contestants, base, mine)


def _spec(path: str, name: str | None) -> BatchedLLMSpec:
    found = {one["metadata"]["name"]: one for one in resources(path) if name in (None, one["metadata"]["name"])}
    if not found:
        raise DocumentError(f"{path}: holds no BatchedLLM {name}")
    if len(found) > 1:
        raise DocumentError(f"{path}: holds several BatchedLLMs ({', '.join(found)}), expected one: give --name")
    ((chosen, resource),) = found.items()
    try:
        spec = parse(resource)
    except InvalidSpec as error:
        raise DocumentError(f"{path}: {chosen}: {error}") from error
    if spec.scaling.mode in ("off", "external"):
        raise DocumentError(
            f"{path}: {chosen}: spec.scaling.mode is {spec.scaling.mode}, in which nothing is decided, expected auto "
            "or recommend"
        )
    return spec


def _fleet(options: argparse.Namespace, profile: GpuProfile, spec: BatchedLLMSpec | None) -> FleetSettings:
    level = objective_of(Slo() if spec is None else spec.slo)
    ttft, per_token = options.slo_ttft or (level.ttft_seconds, level.ttft_seconds_per_token)
    fleet = FleetSettings(
        engine=_engine(profile, spec),
        times=profile.times,
        gpu_load=profile.load,
        slo=ServiceLevel(ttft, per_token, options.slo_itl or level.itl_seconds),
        startup_seconds=options.startup_seconds,
        max_replicas=options.max_replicas or MAX_REPLICAS,
    )
    if spec is None:
        return fleet
    scaling = spec.scaling
    if options.max_replicas is not None:
        raise DocumentError("--max-replicas is given, but the BatchedLLM has its own, expected only one of them")
    return replace(
        fleet,
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        drain_seconds=float(spec.rollout.drain_seconds),
    )


def _engine(profile: GpuProfile, spec: BatchedLLMSpec | None) -> EngineSettings:
    batching = None if spec is None else spec.batching
    sequences = (batching and batching.max_num_seqs) or _DEFAULT_SEQUENCES
    tokens = (batching and batching.max_num_batched_tokens) or max(_DEFAULT_BATCHED_TOKENS, sequences)
    utilization = (spec and spec.memory.gpu_utilization) or _DEFAULT_UTILIZATION
    blocks = profile.kv_blocks(utilization, tokens)
    longest = min(profile.longest_tokens, max(1, (blocks - 1) * 16))
    asked = batching.max_model_len if batching else None
    try:
        return EngineSettings(
            max_model_len=asked if isinstance(asked, int) else longest,
            num_gpu_blocks=blocks,
            max_num_seqs=sequences,
            max_num_batched_tokens=tokens,
            max_num_queued_reqs=spec.admission.max_queued_requests if spec else None,
            max_num_queued_tokens=spec.admission.max_queued_tokens if spec else None,
        )
    except ValueError as error:
        raise DocumentError(f"{profile.name}: the engine would not start: {error}") from error


def _own(spec: BatchedLLMSpec, settings: FleetSettings) -> Contestant:
    return _deciding(spec.scaling, objective_of(spec.slo), spec.batching.max_num_seqs, settings)


def _deciding(scaling: Scaling, objective: Objective, batch_limit: int | None, settings: FleetSettings) -> Contestant:
    state = ScalingState(scaling, Fleet(0, 0, 0), None, batch_limit=batch_limit, objective=objective)
    return Contestant(partial(_own_policy, state, settings.startup_seconds), settings)


def _own_policy(state: ScalingState, startup_seconds: float, _case: Case) -> Autoscaler:
    return OwnPolicy(state, startup_seconds=startup_seconds)


def _named(name: str, settings: FleetSettings) -> Contestant:
    if name == OWN:
        scaling = Scaling(min_replicas=settings.min_replicas, max_replicas=settings.max_replicas)
        slo = settings.slo
        objective = Objective(slo.ttft_seconds, slo.ttft_seconds_per_token, slo.itl_seconds)
        return _deciding(scaling, objective, None, settings)
    return Contestant(partial(policy, name), settings)


def _traffic(options: argparse.Namespace, contestants: dict[str, Contestant]) -> Callable[[int], Trace]:
    """Return the traffic by seed, without requests that would not fit one of the engines."""
    engines = list(dict.fromkeys(one.settings.engine for one in contestants.values()))
    try:
        if options.trace.startswith(SYNTHETIC):
            return _synthetic(options, engines)
        recorded = at_speed(_fitting(_read(options), engines), options.speed)
        at_rate_scale(recorded, options.rate_scale, Randomness(0))
    except TraceError as error:
        raise DocumentError(str(error)) from error
    return lambda seed: at_rate_scale(recorded, options.rate_scale, Randomness(seed))


def _synthetic(options: argparse.Namespace, engines: list[EngineSettings]) -> Callable[[int], Trace]:
    names = options.trace.removeprefix(SYNTHETIC)

    def make(seed: int) -> Trace:
        return at_speed(_fitting(generated(names, Randomness(seed), options.rate_scale), engines), options.speed)

    make(1)
    return make


def _fitting(trace: Trace, engines: list[EngineSettings]) -> Trace:
    for engine in engines:
        trace = what_fits(trace, engine)
    return trace


def _read(options: argparse.Namespace) -> Trace:
    text = text_of(options.trace)
    if not text.strip():
        raise TraceError(f"{options.trace} is empty, expected requests in the format azure, mooncake or csv")
    lines = iter(text.splitlines())
    first = next(lines, "")
    form = options.trace_format or format_of_header(first) or format_of(options.trace)
    if form is None:
        raise TraceError(f"{options.trace}: its first line tells no format, expected --format azure, mooncake or csv")
    return read_trace(chain((first,), lines), form, options.trace)
