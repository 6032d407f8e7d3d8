"""A start that is sure to fail ends before vLLM, with an exit code of its own and one line that says what to do."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchedllm.core.crash_log import line_that_matters
from batchedllm_engine.inspect.failures import EXIT_CODES as MODEL_EXIT_CODES
from batchedllm_engine.inspect.failures import Reason as ModelReason
from batchedllm_engine.start import machine as machine_module
from batchedllm_engine.start.checks import CHECKS, SHARED_MEMORY_BYTES, first_failure
from batchedllm_engine.start.failures import EXIT_CODES, PreflightError, Reason
from batchedllm_engine.start.machine import Gpu, Machine, cuda_of, look
from batchedllm_engine.start.model import model_failure
from batchedllm_engine.start.request import StartRequest, parse
from nvml_double import Device, Nvml

ENGINE_IMAGE = Path(__file__).parents[3] / "engine_image"
GIB, MIB = 1 << 30, 1 << 20
H200 = Gpu(0, "NVIDIA H200", 140 * GIB, 139 * GIB, (9, 0))
GOOD = Machine((13, 0), (H200,), driver="580.95", driver_cuda=(13, 0), shared_memory_free_bytes=8 * GIB)
FOR_CPU = Machine(None, shared_memory_free_bytes=GIB)


def failed(machine, *arguments):
    request = parse(["org/model", *arguments])
    failure = first_failure(request, machine)
    return None if failure is None else (failure.reason, failure.message)


# -- the command line --------------------------------------------------------------------------------------------------


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


# -- the checks --------------------------------------------------------------------------------------------------------


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


# -- the machine -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lacks", "total"), [((), 139 * GIB), (("memory_v2",), 140 * GIB)], ids=["today", "older"])
def test_the_machine_is_read_by_nvml(monkeypatch, lacks, total):
    """Memory is told as CUDA counts it, without what the driver reserves, where the driver says how much that is."""
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(Device(lacks=frozenset(lacks))))
    monkeypatch.setattr(machine_module, "built_for_cuda", lambda _: (13, 0))
    found = look({})
    assert found.gpus == (Gpu(0, "NVIDIA H200", total, 99 * GIB, (9, 0)),)
    assert (found.driver, found.driver_cuda) == ("580.95.05", (13, 0))
    assert not found.has_instances


def test_a_machine_without_a_driver_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(loaded=False))
    monkeypatch.setattr(machine_module, "built_for_cuda", lambda _: (13, 0))
    assert look({}).gpu_trouble == "NVML: Driver Not Loaded"


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("__version__ = '2.13.0+cu130'\ncuda: str | None = '13.0'\nhip = None", (13, 0)),
        ("from typing import Optional\ncuda: Optional[str] = '12.8'", (12, 8)),
        ("__version__ = '2.13.0+cpu'\ncuda = None", None),
        ("hip = '6.2'", None),
    ],
)
def test_pytorch_says_which_cuda_it_is_built_for(written, version):
    assert cuda_of(written) == version


# -- the model ---------------------------------------------------------------------------------------------------------


def model(folder, *arguments, **environment):
    failure = model_failure(parse([str(folder), *arguments]), environment)
    return None if failure is None else failure.reason


def test_a_folder_with_weights_passes(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"")
    assert model(tmp_path) is None


def test_a_folder_without_weights_passes_only_if_they_come_from_elsewhere(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert model(tmp_path) == Reason.NO_WEIGHTS
    assert model(tmp_path, "--load-format=dummy") is None
    assert model(tmp_path, "--load-format=runai_streamer") is None


def test_a_folder_that_is_not_there(tmp_path):
    assert model(tmp_path / "none") == ModelReason.NO_SUCH_MODEL


@pytest.mark.parametrize("name", ["s3://bucket/model", "org/model:Q4_K_M", "org/model/file.gguf"])
def test_models_of_other_places_are_left_to_vllm(name):
    assert model(name) is None


def test_a_model_of_modelscope_is_left_to_vllm():
    assert model("org/model", VLLM_USE_MODELSCOPE="True") is None


@pytest.mark.parametrize("content", ["", " \n", None], ids=["empty", "blank", "missing"])
def test_a_token_file_must_hold_a_token(tmp_path, content):
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    assert model("s3://bucket/model", HF_TOKEN_PATH=str(token)) == Reason.NO_TOKEN
    assert model("s3://bucket/model", HF_TOKEN_PATH=str(token), HF_TOKEN="hf_abc") is None
    token.write_text("hf_0123456789")
    assert model("s3://bucket/model", HF_TOKEN_PATH=str(token)) is None


class GatedRepoError(Exception):
    """The hub's client's, by its name."""


class LocalEntryNotFoundError(OSError):
    """The hub's client's where it is offline and has nothing in its cache."""


class Hub:
    """The hub's client, as far as it is used: fetches, or raises."""

    def __init__(self, outcome):
        self.outcome = outcome

    def snapshot_download(self, *_, **__):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return str(self.outcome)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (GatedRepoError("Access to model org/model is restricted"), ModelReason.GATED_MODEL),
        (LocalEntryNotFoundError("outgoing traffic has been disabled"), ModelReason.NO_NETWORK),
        (RuntimeError("something new"), None),
    ],
)
def test_a_model_of_the_hub_is_refused_only_for_what_is_certain(monkeypatch, outcome, reason):
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(outcome))
    assert model("org/model") == reason


def test_a_model_of_the_hub_needs_no_config_json(monkeypatch, tmp_path):
    """Some formats have none; vLLM knows them."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(tmp_path))
    assert model("org/model") is None


# -- the process -------------------------------------------------------------------------------------------------------


def run(tmp_path, *arguments, **environment):
    """Run it as a pod does, with a `vllm` that prints its arguments."""
    vllm = tmp_path / "bin/vllm"
    vllm.parent.mkdir(exist_ok=True)
    vllm.write_text('#!/bin/sh\necho "$BATCHEDLLM_ENGINE_PREFLIGHT_SECONDS"\nprintf "%s\\n" "$$" "$@"\n')
    vllm.chmod(0o755)
    return subprocess.Popen(
        [sys.executable, "-m", "batchedllm_engine", "serve", *arguments],
        env={
            "PYTHONPATH": str(ENGINE_IMAGE), "PATH": str(vllm.parent),
            "BATCHEDLLM_ENGINE_TERMINATION_LOG": str(tmp_path / "end"), **environment,
        },
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_start_that_can_succeed_becomes_vllm_with_the_very_arguments(tmp_path):
    process = run(tmp_path, "s3://bucket/model", "--served-model-name", "a b", "--port=8000")
    out, _ = process.communicate(timeout=60)
    seconds, process_id, *arguments = out.splitlines()
    assert float(seconds) > 0
    assert int(process_id) == process.pid
    assert arguments == ["serve", "s3://bucket/model", "--served-model-name", "a b", "--port=8000"]
    assert process.returncode == 0
    assert not (tmp_path / "end").exists()


def test_a_start_that_cannot_ends_with_its_code_and_its_line(tmp_path):
    process = run(tmp_path, str(tmp_path / "none"))
    out, log = process.communicate(timeout=60)
    line = (tmp_path / "end").read_text()
    assert process.returncode == MODEL_EXIT_CODES[ModelReason.NO_SUCH_MODEL] == 11
    assert line.startswith("preflight: NoSuchModel: there is no folder ")
    assert "\n" not in line
    assert line in log
    assert out == ""


def test_no_token_is_ever_told(tmp_path):
    process = run(tmp_path, str(tmp_path / "secret-name"), HF_TOKEN="secret-name")
    _, log = process.communicate(timeout=60)
    assert "secret-name" not in (tmp_path / "end").read_text() + log


def test_the_checks_can_be_left_out(tmp_path):
    process = run(tmp_path, str(tmp_path / "none"), BATCHEDLLM_ENGINE_PREFLIGHT="off")
    out, _ = process.communicate(timeout=60)
    assert out.splitlines()[2:] == ["serve", str(tmp_path / "none")]


def test_an_image_without_vllm_says_so(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "batchedllm_engine", "serve", "s3://bucket/model"],
        env={"PYTHONPATH": str(ENGINE_IMAGE), "PATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "there is no program `vllm` here" in ended.stderr


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["nonsense"], 2), (["--help"], 0)])
def test_the_commands_are_listed(arguments, code):
    ended = subprocess.run(
        [sys.executable, "-m", "batchedllm_engine", *arguments],
        env={"PYTHONPATH": str(ENGINE_IMAGE)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == code
    assert all(name in ended.stderr for name in ("serve", "inspect", "gpu"))


def test_inspect_is_a_command_too():
    ended = subprocess.run(
        [sys.executable, "-m", "batchedllm_engine", "inspect", "--model=/none", "--output=-"],
        env={"PYTHONPATH": str(ENGINE_IMAGE)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 11
