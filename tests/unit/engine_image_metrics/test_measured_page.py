"""The page of what was measured on GPUs: tables and pictures of the results that lie beside the scripts."""

import json

import pytest

import measured

EMPTY = "".join(f"# {name}\n<!-- measured: {name} -->\nold\n<!-- end -->\n" for name in measured.PARTS)
TIMES = {"mean": 0.01, "median": 0.009, "p95": 0.02, "p99": 0.03}
POINT = {
    "batch": 8,
    "outputTokensPerSecond": 1234.5,
    "perOutputTokenSeconds": TIMES,
    "timeToFirstTokenSeconds": TIMES,
    "stepSeconds": 0.004,
    "stepBatch": 8,
}
PROFILE = {
    "at": "2026-01-02T03:04:05Z",
    "gpu": "NVIDIA H200",
    "model": "m",
    "engineVersion": "0.26.0",
    "measuredBy": "vllm bench serve",
    "promptTokens": 128,
    "outputTokens": 64,
    "knee": {"batch": 8, "isReached": False},
    "curve": [POINT],
    "static": {
        "batch": 64,
        "outputTokens": [16, 512],
        "ratio": 1.8,
        "static": {"outputTokensPerSecond": 1000},
        "continuous": {"outputTokensPerSecond": 1800},
    },
}
OVERHEAD = {
    "gpu": "NVIDIA H200",
    "vllm": "0.26.0",
    "requestsAtOnce": 256,
    "promptTokens": 128,
    "outputTokens": [64, 512],
    "pairs": [{}, {}],
    "ratio": {"median": 0.999, "mean": 0.998, "standardError": 0.001, "lowest": 0.996, "highest": 1.0},
}


SHARE = {
    "requestsAtOnce": 256,
    "ratio": {
        "tokensPerSecond": {"median": 0.9912, "mean": 0.99, "standardError": 0.01},
        "microsecondsPerToken": {"median": 1.03, "mean": 1.02, "standardError": 0.004},
    },
    "pairs": [{}, {}, {}],
}


MACHINE = {"gpu": {"name": "NVIDIA H200"}, "engine": "vLLM 0.26.0"}
CLUSTER_RUNS = {
    "engine-bench": {"machine": MACHINE, "measured": {**PROFILE, "engineVersion": ""}},
    "api-server": {
        "machine": MACHINE,
        "measured": {"batch": 256, "sizes": [64, 192], "streamed": [[2000, 2000], [2000, 1900]]},
    },
    "overhead": {
        "machine": MACHINE,
        "measured": {"batch": 256, "sizes": [512, 192], "streamedByEight": [[2000, 2000], [2000, 2000], [2000, 1970]]},
    },
}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "engine_image/bench"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def results(folder):
    (folder / "profile_h200.json").write_text(json.dumps(PROFILE))
    (folder / "overhead_h200.json").write_text(json.dumps(OVERHEAD))
    (folder / "middleware_share_cpu.json").write_text(json.dumps(SHARE))
    return folder


@pytest.fixture
def cluster_runs(folder):
    runs = folder.parents[1] / "tests/gpu/results"
    runs.mkdir(parents=True)
    for case, run in CLUSTER_RUNS.items():
        (runs / f"{case}.json").write_text(json.dumps(run))
    return folder


def test_results_become_tables(results):
    page = measured.page(EMPTY, results)

    assert "| 8 | 1,234 | 10.0 ms | 20.0 ms | 4.0 ms | 2,000 | 20 ms |" in page
    assert "| NVIDIA H200 | 64 | 16 to 512 | 1,000 | 1,800 | 1.80 |" in page
    cost = "| NVIDIA H200 | 0.26.0 | 256 | 128 + 64 to 512, streamed | 2 | 0.999; 0.998 ± 0.001 | 0.996 to 1.000 |"
    assert cost in page
    assert "| cpu | 256 | 3 | 0.991; 0.990 ± 0.010 | 1.030; 1.020 ± 0.004 |" in page
    assert "old" not in page


def test_the_curve_has_a_picture_that_the_page_shows(results):
    assert list(measured.pictures(results)) == ["engine-curve-h200.svg"]
    assert "](engine-curve-h200.svg)" in measured.page(EMPTY, results)


def test_an_engine_that_tells_nothing_of_its_steps_leaves_their_columns_empty(folder):
    point = {name: value for name, value in POINT.items() if not name.startswith("step")}
    (folder / "profile_h200.json").write_text(json.dumps({**PROFILE, "curve": [point]}))

    assert "| 8 | 1,234 | 10.0 ms | 20.0 ms |  |  | 20 ms |" in measured.page(EMPTY, folder)


def test_what_was_measured_in_a_cluster_is_told_as_well(cluster_runs):
    page = measured.page(EMPTY, cluster_runs)

    assert "**NVIDIA H200**, vLLM 0.26.0, 128 + 64 tokens" in page
    assert "](engine-curve-gpu-in-cluster.svg)" in page
    assert "engine-curve-gpu-in-cluster.svg" in measured.pictures(cluster_runs)
    rows = (
        "64 + 192, streamed | 2 | 0.975; 0.975 ± 0.025 | 0.950 to 1.000",
        "512 + 192, eight tokens a piece | 3 | 1.000; 0.995 ± 0.005 | 0.985 to 1.000",
    )
    for row in rows:
        assert f"| NVIDIA H200, in a cluster | 0.26.0 | 256 | {row} |" in page


def test_the_exporter_is_told_beside_nvidia_smi_with_what_a_look_costs(folder):
    utilization = {"DCGM_FI_DEV_GPU_UTIL": {"exporter": 99, "nvidiaSmi": 100, "mostApart": 1}}
    result = {"gpu": "NVIDIA H200, 580", "idle": utilization, "busy": utilization}
    file = folder / "gpu_exporter_h200.json"
    file.write_text(json.dumps(result))
    without_looks = measured.page(EMPTY, folder)
    file.write_text(
        json.dumps(result | {"idle": {"lookSeconds": 0.0012}, "busy": utilization | {"lookSeconds": 0.004}})
    )

    page = measured.page(EMPTY, folder)

    assert "| NVIDIA H200, 580 | busy | DCGM_FI_DEV_GPU_UTIL | 99 | 100 | 1 |" in page
    assert "a look takes 1.2 ms of the processor's time where the GPU is idle and 4.0 where it is busy" in page
    assert "a look takes" not in without_looks


def test_without_results_the_page_says_so(folder):
    assert measured.page(EMPTY, folder).count("Not measured yet") == len(measured.PARTS)


def test_making_the_page_again_changes_nothing(results):
    page = measured.page(EMPTY, results)

    assert measured.page(page, results) == page


def test_a_page_without_a_part_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no part"):
        measured.page("# nothing", tmp_path)
