"""What a command line asks for, held against a machine: a start that is sure to fail is refused, and no other."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchedllm.core.crash_log import line_that_matters
from batchedllm_engine.inspect.failures import EXIT_CODES as MODEL_EXIT_CODES
from batchedllm_engine.inspect.failures import Reason as ModelReason
from batchedllm_engine.start.checks import CHECKS, SHARED_MEMORY_BYTES, first_failure
from batchedllm_engine.start.failures import EXIT_CODES, PreflightError, Reason
from batchedllm_engine.start.machine import Gpu, Machine
from batchedllm_engine.start.request import StartRequest, parse

GIB, MIB = 1 << 30, 1 << 20
H200 = Gpu(0, "NVIDIA H200", 140 * GIB, 139 * GIB, (9, 0))
GOOD = Machine((13, 0), (H200,), driver="580.95", driver_cuda=(13, 0), shared_memory_free_bytes=8 * GIB)
FOR_CPU = Machine(None, shared_memory_free_bytes=GIB)


def failed(machine, *arguments):
    request = parse(["org/model", *arguments])
    failure = first_failure(request, machine)
    return None if failure is None else (failure.reason, failure.message)


def test_the_flags_are_vllms_in_all_their_forms():
    request = parse(
        ["org/model", "--revision=main", "--tensor_parallel_size=2", "-pp", "2", "--gpu-memory-utilization", "0.8",
         "--kv-cache-memory-bytes=64M", "--load-format", "dummy", "--unknown", "x", "--enforce-eager"]
    )  # fmt: skip
    assert request == StartRequest(
        "org/model", "main", "dummy", 2, 2, gpu_memory_utilization=0.8, kv_cache_memory_bytes=64 * MIB
    )
    assert request.gpus == 4


@pytest.mark.parametrize("arguments", [["--tensor-parallel-size=two"], ["m", "--kv-cache-memory-bytes=1.5G"]])
def test_what_vllm_will_refuse_is_left_to_it(arguments):
    assert parse(arguments) is None


def test_a_model_may_be_a_flag_or_stand_elsewhere():
    assert parse(["--model", "org/model"]).model == "org/model"
    assert parse(["--config", "serve.yaml"]).model is None


@pytest.mark.parametrize(
    ("arguments", "gpus"),
    [
        ([], 1), (["-tp=4"], 4), (["-tp=4", "-dp=2"], 8), (["-tp=4", "-dp=4", "-dpl=1"], 4),
        (["-tp=8", "-pp=2", "--nnodes=2"], 8), (["-dp=8", "--data-parallel-rank=3"], 1),
    ],
)  # fmt: skip
def test_gpus_of_this_machine(arguments, gpus):
    assert parse(["m", *arguments]).gpus == gpus


@given(st.lists(st.text(max_size=12), max_size=6))
def test_no_command_line_fails(arguments):
    parse(arguments)


@pytest.mark.parametrize("machine", [GOOD, FOR_CPU])
def test_a_good_machine_passes(machine):
    assert failed(machine) is None


def test_no_gpu():
    reason, message = failed(Machine((13, 0), gpu_trouble="NVML: Driver Not Loaded"))
    assert reason == Reason.NO_GPU
    assert "NVML: Driver Not Loaded" in message


def test_a_driver_that_is_too_old():
    old = replace(GOOD, driver="550.54", driver_cuda=(12, 4))
    reason, message = failed(old)
    assert reason == Reason.OLD_DRIVER
    assert "built for CUDA 13.0, and the NVIDIA driver 550.54 supports CUDA 12.4" in message
    assert failed(replace(old, forward_compatibility=True)) is None


@pytest.mark.parametrize(("built", "driver"), [((12, 8), (13, 0)), ((13, 2), (13, 0)), ((12, 9), (12, 4))])
def test_a_driver_runs_what_is_built_for_its_major_version_and_older_ones(built, driver):
    assert failed(replace(GOOD, built_for_cuda=built, driver_cuda=driver)) is None


@pytest.mark.parametrize(
    ("built", "capability", "passes"),
    [((13, 0), (7, 0), False), ((13, 0), (7, 5), True), ((12, 8), (7, 0), True), ((12, 8), (6, 1), False)],
)
def test_a_gpu_that_is_too_old(built, capability, passes):
    found = failed(replace(GOOD, built_for_cuda=built, gpus=(replace(H200, compute_capability=capability),)))
    assert (found is None) is passes
    assert passes or found[0] == Reason.OLD_GPU


def test_too_few_gpus():
    reason, message = failed(GOOD, "--tensor-parallel-size=4")
    assert reason == Reason.TOO_FEW_GPUS
    assert message.startswith("4 GPUs are needed (tensor-parallel-size 4,")


@pytest.mark.parametrize("flag", ["--distributed-executor-backend=ray", "--config=serve.yaml"])
def test_gpus_that_may_be_elsewhere_are_not_counted(flag):
    assert failed(GOOD, "--tensor-parallel-size=4", flag) is None


def test_too_little_free_memory_on_any_gpu_that_is_used():
    taken = replace(H200, index=1, free_bytes=100 * GIB)
    two = replace(GOOD, gpus=(H200, taken))
    reason, message = failed(two, "-tp=2")
    assert reason == Reason.TOO_LITTLE_GPU_MEMORY
    assert "GPU 1 (NVIDIA H200) has 100.0 of 140.0 GiB free, and gpu-memory-utilization 0.92 asks for 128.8" in message
    assert failed(two) is None
    assert failed(two, "-tp=2", "--gpu-memory-utilization=0.7") is None


def test_a_kv_cache_of_a_given_size_passes_over_the_fraction():
    taken = replace(GOOD, gpus=(replace(H200, free_bytes=20 * GIB),))
    assert failed(taken, "--kv-cache-memory-bytes=10G") is None
    assert "kv-cache-memory-bytes asks for 30.0 GiB" in failed(taken, "--kv-cache-memory-bytes=30G")[1]


def test_mig_instances_are_left_to_vllm():
    shared = replace(GOOD, gpus=(replace(H200, free_bytes=0),), has_instances=True)
    assert failed(shared, "-tp=2") is None


@pytest.mark.parametrize(
    ("machine", "arguments", "passes"),
    [(GOOD, [], True), (replace(GOOD, gpus=(H200, H200)), ["-tp=2"], False), (FOR_CPU, [], False)],
    ids=["one process", "two ranks", "for the CPU"],
)
def test_shared_memory_counts_where_workers_are_processes(machine, arguments, passes):
    found = failed(replace(machine, shared_memory_free_bytes=64 * MIB), *arguments)
    assert found is None if passes else found[0] == Reason.TOO_LITTLE_SHARED_MEMORY
    assert failed(replace(machine, shared_memory_free_bytes=SHARED_MEMORY_BYTES), *arguments) is None
    assert failed(replace(machine, shared_memory_free_bytes=None), *arguments) is None


def test_every_failure_has_a_code_of_its_own():
    codes = [*EXIT_CODES.values(), *MODEL_EXIT_CODES.values()]
    assert set(EXIT_CODES) == set(Reason)
    assert len(set(codes)) == len(codes)
    assert len(CHECKS) == len(set(CHECKS))


@pytest.mark.parametrize("reason", [*Reason, ModelReason.GATED_MODEL])
def test_the_operator_takes_the_line_as_it_is(reason):
    failure = PreflightError(reason, "GPU 0 has\ntoo little: lower it")
    assert failure.line == f"preflight: {reason}: GPU 0 has too little: lower it"
    assert line_that_matters(failure.line) == failure.line
