"""The life of a benchmark: asked for, waiting, running, told or failed. A pure step from what is there.

It runs once for what it depends on. It never takes a GPU that a replica needs: its pod is made once all replicas that
are wanted are there, and goes when one finds no node.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from batchedllm.api import names
from batchedllm.api.conditions import ConditionType, Reason
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.benchmark.pod import (
    ANNOTATION_ASKED_BY,
    ANNOTATION_KEY,
    CONTAINER,
    Subject,
    benchmark_key,
    benchmark_pod,
    is_benchmark_pod,
)
from batchedllm.core.benchmark.profile import VERSION, Profile, read_profile
from batchedllm.core.benchmark.record import Found, kept, profile_record
from batchedllm.core.conditions import Verdict, timestamp
from batchedllm.core.manifests.identity import owner_of
from batchedllm.core.planning.short_pods import ShortPod, alive, deletions
from batchedllm.core.reconcile_types import Deletion, Gathered, Manifest
from batchedllm.core.scaling.types import Fleet

LONGEST_VALUE: Final = 253
"""Of the annotation, as much as is compared and told."""

_NO_PROGRAM: Final = (
    "the engine's image has no benchmark (it lacks batchedllm_engine): use an image of ours, or set "
    "tuning.benchmark: never"
)
_AGAIN: Final = (
    "it is not tried again by itself: delete the pod, or set the annotation "
    f"{names.ANNOTATION_BENCHMARK} to a new value"
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Where a benchmark is, and what to do to bring it on."""

    condition: Verdict | None = None
    """None: none is asked for."""
    profile: Profile | None = None
    record: dict[str, Any] | None = None
    apply: tuple[Manifest, ...] = ()
    delete: tuple[Deletion, ...] = ()


def asked_by(resource: Manifest) -> str:
    """Return the value of the annotation; empty if there is none."""
    annotations = resource["metadata"].get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_BENCHMARK) or "")[:LONGEST_VALUE]


def known_profile(gathered: Gathered, spec: BatchedLLMSpec, image: str) -> Profile | None:
    """Return what is known already of this model, image, GPU and batching."""
    found = kept(owner_of(gathered.resource), gathered.children).get(benchmark_key(spec, image))
    return None if found is None else found.profile


def benchmark(gathered: Gathered, subject: Subject, fleet: Fleet, now: datetime, *, may_begin: bool) -> Benchmark:
    """Return the next step. `may_begin` is False where the subject is not what is in force."""
    found, key = kept(subject.owner, gathered.children), benchmark_key(subject.spec, subject.image)
    there = alive(gathered.benchmarks, CONTAINER)
    before = found.get(key)
    is_new = subject.asked_by not in ("", before.profile.asked_by if before is not None else "")
    if not (is_new or (before is None and subject.spec.tuning.benchmark == "once")):
        told = None if before is None else _measured(before.profile)
        return _Run(subject, found, key, _gone(there)).step(told)
    current = [pod for pod in there if _is_of(pod, key, subject.asked_by)]
    run = _Run(subject, found, key, _gone([pod for pod in there if pod not in current[:1]]))
    if not current:
        return _or_refused(run.begun(fleet, may_begin=may_begin), gathered, subject)
    return run.ended(current[0], now) if current[0].has_ended else run.lived(current[0], fleet)


def _or_refused(made: Benchmark, gathered: Gathered, subject: Subject) -> Benchmark:
    """Tell what the API server said where it refused the pod before; it is tried on, as a quota may become free."""
    name = subject.owner.name
    words = next((one.message for one in gathered.refusals if is_benchmark_pod(name, one.kind, one.name)), "")
    refused = _failed(f"the API server refuses the pod, and is asked again: {words}")
    return replace(made, condition=refused) if words and made.apply else made


def _is_of(pod: ShortPod, key: str, value: str) -> bool:
    return pod.annotation(ANNOTATION_KEY) == key and pod.annotation(ANNOTATION_ASKED_BY) == value


@dataclass(frozen=True, slots=True)
class _Run:
    """One benchmark that is asked for."""

    subject: Subject
    found: Mapping[str, Found]
    """What is kept, by what it was measured of."""
    key: str
    outdated: tuple[Deletion, ...]

    def begun(self, fleet: Fleet, *, may_begin: bool) -> Benchmark:
        """Make the pod, once it takes nothing from replicas."""
        if not may_begin:
            return self.step(_unknown(Reason.BENCHMARK_WAITING, "waits until the spec is in force"))
        if fleet.wanted == 0 or fleet.pending or fleet.ready < fleet.wanted:
            words = f"waits until all replicas answer ({fleet.ready} of {fleet.wanted}): it takes no GPU before them"
            return self.step(_unknown(Reason.BENCHMARK_WAITING, words))
        words = f"a pod measures the engine for at most {self.subject.spec.tuning.benchmark_seconds} s"
        return self.step(_unknown(Reason.BENCHMARK_RUNNING, words), apply=(benchmark_pod(self.subject),))

    def lived(self, pod: ShortPod, fleet: Fleet) -> Benchmark:
        """Tell how far the pod is; it goes where a replica needs what it has."""
        if fleet.unschedulable:
            words = f"{pod.name} gave way: {fleet.unschedulable} replicas find no node; it begins again once all answer"
            return self.step(_unknown(Reason.BENCHMARK_WAITING, words), delete=_gone([pod]))
        if pod.waits_in_vain:
            return self.step(_failed(f"{pod.name}: {pod.waits_in_vain}"))
        if pod.unscheduled:
            words = f"{pod.name} finds no node with a free GPU: {pod.unscheduled}"
            return self.step(_unknown(Reason.BENCHMARK_WAITING, words))
        return self.step(_unknown(Reason.BENCHMARK_RUNNING, f"{pod.name} measures the engine"))

    def ended(self, pod: ShortPod, now: datetime) -> Benchmark:
        """Keep what it found; or tell why it found nothing, and keep the pod as evidence."""
        document = pod.document(VERSION)
        if document is None or "error" in document:
            return self.step(_failed(f"{pod.name}: {pod.failure(_NO_PROGRAM)}. {_AGAIN}"))
        asked = {"asked_by": self.subject.asked_by, "image": self.subject.image}
        try:
            profile = read_profile(document, at=timestamp(now), **asked)
        except ValueError as error:
            return self.step(_failed(f"{pod.name} told what no engine can be like: {error}. {_AGAIN}"))
        # The pod goes in the next round, when what it found is seen to be kept.
        kept_now = {**self.found, self.key: Found(document, profile)}
        return _Run(self.subject, kept_now, self.key, self.outdated).step(_measured(profile))

    def step(
        self, told: Verdict | None, apply: tuple[Manifest, ...] = (), delete: tuple[Deletion, ...] = ()
    ) -> Benchmark:
        """Return what is told and done, with all that is kept."""
        profile = self.found[self.key].profile if self.key in self.found else None
        record = profile_record(self.subject.owner, self.found, self.key)
        return Benchmark(told, profile, record, apply, (*self.outdated, *delete))


def _measured(profile: Profile) -> Verdict:
    fastest = next(point for point in profile.curve if point.batch == profile.fastest_batch)
    knee = "the knee is at" if profile.is_knee_reached else "no knee up to"
    words = (
        f"measured {profile.at}: {fastest.output_tokens_per_second:.0f} output tokens/s at most, with "
        f"{fastest.batch} requests at once; {knee} {profile.knee}"
    )
    return Verdict(ConditionType.BENCHMARKED, "True", Reason.MEASURED, words)


def _failed(words: str) -> Verdict:
    return Verdict(ConditionType.BENCHMARKED, "False", Reason.BENCHMARK_FAILED, words)


def _unknown(reason: Reason, words: str) -> Verdict:
    return Verdict(ConditionType.BENCHMARKED, "Unknown", reason, words)


def _gone(pods: Sequence[ShortPod]) -> tuple[Deletion, ...]:
    return deletions([pod.manifest for pod in pods])
