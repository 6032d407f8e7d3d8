"""The contract of the engine images' own metrics: what any of them serves, simulated or real, is as it is defined."""

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from batchedllm_engine.gpu_exporter.definitions import EXPORTER_METRICS, UP
from batchedllm_engine.metric_definitions import PREFIX, MetricDefinition
from batchedllm_engine.start.definitions import START_METRICS
from batchedllm_engine.stat_logger.definitions import BATCH_LABELS, OWN_METRICS, STEP_METRICS

ADMISSION = f"{PREFIX}admission_"
"""Before the names of the middleware, which has a contract of its own (tests/engine/admission_contract.py)."""
DEFINED = {one.name: one for one in (*STEP_METRICS, *OWN_METRICS, *EXPORTER_METRICS, *START_METRICS)}
ALWAYS = {one.name for one in (*STEP_METRICS, *OWN_METRICS, *START_METRICS, UP)}
"""Served with or without a GPU, once a request has been answered."""


def own_families(text: str) -> dict[str, Metric]:
    """Families of an exposition with at least one series that are not vLLM's, Python's or the middleware's."""
    return {
        family.name: family
        for family in text_string_to_metric_families(text)
        if family.name.startswith((PREFIX, "DCGM_"))
        and not family.name.startswith(ADMISSION)
        and not family.name.endswith("_created")
        and family.samples
    }


def breaches(text: str, also: Iterable[str] = ()) -> list[str]:
    """What an exposition does that is not in the contract; it must have all of ALWAYS, and those of `also`."""
    families = own_families(text)
    missing = [f"{name} is missing" for name in sorted({*ALWAYS, *also} - families.keys())]
    unknown = [f"{name} is not defined" for name in sorted(families.keys() - DEFINED.keys())]
    wrong = [
        f"{name}: {what}"
        for name, family in families.items() if name in DEFINED
        for what in _differences(DEFINED[name], family)
    ]  # fmt: skip
    return missing + unknown + wrong


def _differences(definition: MetricDefinition, family: Metric) -> list[str]:
    labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
    bounds = {float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels}
    expected = {*definition.buckets, float("inf")} if definition.buckets else set()
    found = []
    if family.type != definition.kind:
        found.append(f"is a {family.type}, not a {definition.kind}")
    if labels != {frozenset(definition.labels)}:
        found.append(f"has the labels {sorted(map(sorted, labels))}, not {sorted(definition.labels)}")
    if bounds != expected:
        found.append(f"has the bounds {sorted(bounds)}, not {sorted(expected)}")
    return found


def series(text: str, name: str, **labels: str) -> float:
    """Sum of the samples of this name that have these labels."""
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(one.value for one in samples if labels.items() <= one.labels.items())


def steps_agree(text: str) -> list[str]:
    """What in the counts of steps contradicts itself, or vLLM's own counts."""
    steps = series(text, f"{PREFIX}batch_size_count")
    decoding = series(text, f"{PREFIX}decode_steps_total")
    timed = series(text, f"{PREFIX}step_seconds_count")
    checks = {
        "vLLM counts as many steps that brought tokens": series(text, "vllm:iteration_tokens_total_count") <= steps,
        "steps that only decoded are steps with a time, and those are steps": 0 < decoding <= timed <= steps,
        "a decoding step brings a token a request": series(text, f"{PREFIX}decode_step_tokens_total")
        == series(text, f"{PREFIX}decode_step_requests_total"),
        "tokens of answers are those of vLLM but for each first one": series(
            text, f"{PREFIX}step_tokens_sum", phase="decode"
        )
        == series(text, "vllm:generation_tokens_total") - series(text, "vllm:time_to_first_token_seconds_count"),
        "each bucket of batch sizes holds batches of its size": _batches_fit(text),
        "the free blocks are no more than all": series(text, f"{PREFIX}kv_blocks_free")
        <= series(text, f"{PREFIX}kv_blocks"),
    }
    return [what for what, holds in checks.items() if not holds]


def _batches_fit(text: str) -> bool:
    assert BATCH_LABELS[-1] == "batch_le"
    requests, steps = f"{PREFIX}decode_step_requests_total", f"{PREFIX}decode_steps_total"
    buckets = {one.labels["batch_le"] for one in own_families(text)[f"{PREFIX}decode_steps"].samples}
    return all(
        series(text, requests, batch_le=bucket) <= series(text, steps, batch_le=bucket) * float(bucket)
        for bucket in buckets
    )
