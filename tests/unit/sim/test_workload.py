"""Traces are read, cut and paced without changing their requests."""

from pathlib import Path

import pytest

from batchedllm.sim.workload import TraceRequest, at_rate, cut, read_azure_trace, stretch

TEXT = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:48.6805900,0,7
"""


def test_offsets_count_from_the_first_request_and_are_sorted():
    requests = read_azure_trace(TEXT.splitlines())
    assert requests == [
        TraceRequest(0.0, 374, 44),
        TraceRequest(2.0, 1, 7),
        TraceRequest(pytest.approx(4.314579), 396, 109),
    ]


@pytest.mark.parametrize("line", ["yesterday,1,2", "2023-11-16 18:15:46,1", "2023-11-16 18:15:46,a,2"])
def test_a_bad_line_is_named(line):
    with pytest.raises(ValueError, match=r"trace line 2 is .*: expected TIMESTAMP,ContextTokens,GeneratedTokens"):
        read_azure_trace(["TIMESTAMP,ContextTokens,GeneratedTokens", line])


def test_cut_keeps_the_window_and_counts_from_its_start():
    requests = [TraceRequest(float(second), 1, 1) for second in range(10)]
    assert [request.offset_seconds for request in cut(requests, 3, 2)] == [0.0, 1.0]


def test_pace():
    requests = [TraceRequest(float(second), 1, 1) for second in range(11)]
    assert stretch(requests, 0.5)[-1].offset_seconds == 5.0
    paced = at_rate(requests, 2.2)
    assert len(paced) / paced[-1].offset_seconds == pytest.approx(2.2)
    with pytest.raises(ValueError, match="factor=0"):
        stretch(requests, 0)
    with pytest.raises(ValueError, match="two different times"):
        at_rate(requests[:1], 1)
    with pytest.raises(ValueError, match="requests_per_second=0"):
        at_rate(requests, 0)


def test_the_simulator_imports_nothing_but_the_standard_library():
    """It is copied into the engine image without the operator's dependencies."""
    folder = Path(__file__).parents[3] / "operator/batchedllm/sim"
    imported = {
        line.split()[1].split(".")[0]
        for module in folder.glob("*.py")
        for line in module.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported <= {"batchedllm", "bisect", "collections", "dataclasses", "datetime"} | {
        *("functools", "heapq", "itertools", "math", "typing")
    }
