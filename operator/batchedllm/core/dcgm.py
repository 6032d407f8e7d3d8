"""What NVIDIA's dcgm-exporter of a node says of the GPUs of the pods there: its text -> GPU utilization by pod.

The exporter knows from the kubelet which pod holds which GPU, and says so in labels, if it is told to
(`DCGM_EXPORTER_KUBERNETES=true`, as its chart and the GPU operator set it). A GPU without a pod has them empty.
"""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Final

from batchedllm.core.exposition import ContractError, plausible, series

PodName = tuple[str, str]
"""Namespace and name."""

UTILIZATION: Final = "DCGM_FI_DEV_GPU_UTIL"
"""Percent of the time in which any kernel ran."""
ENGINE_ACTIVE: Final = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
"""The same as a fraction of 1, which is all that there is for a MIG instance."""
_MOST: Final = {UTILIZATION: 100.0, ENGINE_ACTIVE: 1.0}

_POD_LABELS: Final = (
    ("namespace", "pod"),
    ("pod_namespace", "pod_name"),
    ("exported_namespace", "exported_pod"),
)
"""As today's exporter calls them, as it did before 2.0 (and does with `--use-old-namespace`), and as Prometheus passes
them on, should something of its kind stand in for the exporter."""


def utilization_by_pod(text: str) -> dict[PodName, float]:
    """Return the percent that the GPUs of each pod were busy, as the mean over a pod's GPUs. Never raises.

    A pod of which any GPU has no plausible value is left out: unknown, not 0.
    """
    found: dict[str, dict[PodName, list[float | None]]] = {UTILIZATION: {}, ENGINE_ACTIVE: {}}
    seen: set[tuple[str, Iterable[tuple[str, str]]]] = set()
    for line in text.split("\n"):
        name, brace, rest = line.partition("{")
        if name not in found:
            continue
        try:
            labels, value = series(brace + rest)
        except ContractError:
            continue
        pod = _pod_of(dict(labels))
        if pod is not None:
            is_first = (name, labels) not in seen
            seen.add((name, labels))
            found[name].setdefault(pod, []).append(_percent(name, value) if is_first else None)
    return _means(found[ENGINE_ACTIVE]) | _means(found[UTILIZATION])


def _pod_of(labels: Mapping[str, str]) -> PodName | None:
    for namespace, pod in _POD_LABELS:
        if labels.get(namespace) and labels.get(pod):
            return labels[namespace], labels[pod]
    return None


def _percent(name: str, value: str) -> float | None:
    try:
        return plausible(value, _MOST[name]) * 100.0 / _MOST[name]
    except ContractError:
        return None


def _means(values: Mapping[PodName, list[float | None]]) -> dict[PodName, float]:
    known = {pod: [one for one in of_pod if one is not None] for pod, of_pod in values.items()}
    return {pod: fmean(known[pod]) for pod, of_pod in values.items() if len(known[pod]) == len(of_pod)}
