"""A node's dcgm-exporter: which pod's GPUs are how busy.

`tests/data/dcgm_exporter_metrics.txt` is written after the text of dcgm-exporter 4 on a node with five H100s; names,
labels and number formats are the exporter's, values are not from any machine.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchedllm.core.dcgm import utilization_by_pod

SAMPLE = (Path(__file__).parents[2] / "data" / "dcgm_exporter_metrics.txt").read_text()
LLAMA = ("models", "llama-1")


def line(value: str, labels: str = 'gpu="0",namespace="models",pod="llama-1"', name: str = "DCGM_FI_DEV_GPU_UTIL"):
    return f"{name}{{{labels}}} {value}\n"


def test_the_gpus_of_a_pod_are_averaged_and_pods_are_told_apart_by_namespace_too() -> None:
    found = utilization_by_pod(SAMPLE)

    assert found["models", "llama-7c9d5-x2x7k"] == 94.0
    assert found["research", "llama-7c9d5-x2x7k"] == 100.0


def test_a_mig_instance_has_only_its_active_time() -> None:
    assert utilization_by_pod(SAMPLE)["models", "small-6f4b8-q9w2z"] == pytest.approx(25.0)


def test_gpus_that_no_pod_has_are_nobodys() -> None:
    assert len(utilization_by_pod(SAMPLE)) == 3
    assert utilization_by_pod(line("7", 'gpu="0",container="",namespace="",pod=""')) == {}
    assert utilization_by_pod(line("7", 'gpu="0"')) == {}


@pytest.mark.parametrize(
    "labels",
    [
        'gpu="0", UUID="GPU-1",container="engine",namespace="models",pod="llama-1"',
        'gpu="0",container_name="engine",pod_namespace="models",pod_name="llama-1"',
        'gpu="0",namespace="gpu-operator",pod="",exported_namespace="models",exported_pod="llama-1"',
    ],
)
def test_all_names_that_pods_were_ever_told_by_are_known(labels: str) -> None:
    assert utilization_by_pod(line("42", labels)) == {LLAMA: 42.0}


@pytest.mark.parametrize("value", ["NaN", "-1", "101", "9223372036854775794", "+Inf", "", "x", "50 1700000000000"])
def test_what_is_no_percentage_is_unknown_and_not_0(value: str) -> None:
    assert LLAMA not in utilization_by_pod(line(value))


def test_one_gpu_that_is_unknown_makes_the_pod_unknown() -> None:
    second = line("9223372036854775794", 'gpu="1",namespace="models",pod="llama-1"')

    assert utilization_by_pod(line("50") + second) == {}


def test_the_same_gpu_twice_is_not_believed() -> None:
    assert utilization_by_pod(line("50") + line("70")) == {}


def test_of_both_metrics_the_utilization_counts_as_it_is_the_engines_own() -> None:
    both = line("50") + line("0.9", name="DCGM_FI_PROF_GR_ENGINE_ACTIVE")

    assert utilization_by_pod(both) == {LLAMA: 50.0}


@given(st.text() | st.text(alphabet='DCGM_FIEVUTL{}"=,0. \n').map(lambda text: f"DCGM_FI_DEV_GPU_UTIL{{{text}"))
def test_no_text_makes_it_fail_or_tell_more_than_100_percent(text: str) -> None:
    assert all(0 <= percent <= 100 for percent in utilization_by_pod(text).values())
