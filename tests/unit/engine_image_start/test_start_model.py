"""What a start finds: the machine by NVML, and the model in a folder or on the hub."""

import sys

import pytest

from batchedllm_engine.inspect.failures import Reason as ModelReason
from batchedllm_engine.start import machine as machine_module
from batchedllm_engine.start.failures import Reason
from batchedllm_engine.start.machine import Gpu, cuda_of, look
from batchedllm_engine.start.model import model_failure
from batchedllm_engine.start.request import parse
from nvml_double import Device, Nvml

GIB = 1 << 30


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
