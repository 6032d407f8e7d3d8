"""Bad input of `batchedllm plan`: one sentence with the field and what was expected, exit status 1, no traceback."""

import io
import json
from pathlib import Path

import pytest
import yaml

from batchedllm.cli.main import main

CONFIGS = Path(__file__).parents[2] / "data" / "model_configs"
LLAMA = str(CONFIGS / "llama-3.1-8b.json")
MODEL = ("--model-config", LLAMA)
GPU = ("--gpu", "NVIDIA-H200")


@pytest.fixture
def refusal(monkeypatch, capsys):
    """Run a command that has to be refused; return its one line."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        try:
            status = main(["plan", *arguments])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        assert status == 1, captured
        assert captured.out == ""
        assert captured.err.startswith("batchedllm")
        assert len(captured.err.strip().splitlines()) == 1
        return captured.err

    return run


@pytest.mark.parametrize(
    ("arguments", "field", "expected"),
    [
        ((*MODEL,), "--gpu", "--gpu-memory"),
        ((*GPU,), "--model-config", "--model"),
        ((*MODEL, "--gpu-memory", "0"), "--gpu-memory", "80Gi"),
        ((*MODEL, "--gpu-memory", "80"), "--gpu-memory", "80Gi"),
        ((*MODEL, "--gpu-memory=-5Gi"), "--gpu-memory", "80Gi"),
        ((*MODEL, "--gpu-memory", "many"), "--gpu-memory", "80Gi"),
        ((*MODEL, "--gpu", "NVIDIA-H2000"), "--gpu", "NVIDIA-H200"),
        ((*MODEL, *GPU, "--gpu-memory", "80Gi"), "--gpu-memory", "not allowed with"),
        ((*MODEL, *GPU, "--model", "x"), "--model", "not allowed with"),
        ((*MODEL, *GPU, "--weights-bytes", "16Gi", "--model-params", "8"), "--model-params", "not allowed with"),
        ((*MODEL, *GPU, "--weights-bytes", "0"), "--weights-bytes", "16060522496"),
        ((*MODEL, *GPU, "--model-params", "eight"), "--model-params", "8030261248"),
        ((*MODEL, *GPU, "--tensor-parallel", "0"), "--tensor-parallel", "1 to"),
        ((*MODEL, *GPU, "--tensor-parallel", "3"), "--tensor-parallel", "32 attention heads"),
        ((*MODEL, *GPU, "--pipeline-parallel", "64"), "--pipeline-parallel", "1 to 32"),
        ((*MODEL, *GPU, "--max-model-len", "131073"), "--max-model-len", "1 to 131072"),
        ((*MODEL, *GPU, "--max-model-len", "0"), "--max-model-len", "1 to 131072"),
        ((*MODEL, *GPU, "--max-model-len", "long"), "--max-model-len", "auto"),
        ((*MODEL, *GPU, "--max-model-len", "9" * 5000), "--max-model-len", "auto"),
        ((*MODEL, *GPU, "--max-num-seqs", "0"), "--max-num-seqs", "at least 1"),
        ((*MODEL, *GPU, "--max-num-seqs", "1.5"), "--max-num-seqs", "whole number"),
        ((*MODEL, *GPU, "--max-num-seqs", "512", "--max-num-batched-tokens", "256"), "tokens", "at least --max-num-s"),
        ((*MODEL, *GPU, "--gpu-utilization", "90"), "--gpu-utilization", "at most 1"),
        ((*MODEL, *GPU, "--gpu-utilization", "nan"), "--gpu-utilization", "at most 1"),
        ((*MODEL, *GPU, "--gpu-utilization", "most"), "--gpu-utilization", "number"),
        ((*MODEL, *GPU, "--kv-cache-dtype", "float7"), "--kv-cache-dtype", "fp8"),
        ((*MODEL, *GPU, "--dtype", "int3"), "--dtype", "bfloat16"),
        ((*MODEL, *GPU, "--quantization", "magic"), "--quantization", "fp8"),
        ((*MODEL, *GPU, "--engine-version", "newest"), "--engine-version", "0.26.0"),
        ((*MODEL, *GPU, "--no-such-flag"), "--no-such-flag", "unrecognized"),
        ((*MODEL, *GPU, "-o", "xml"), "-o", "json"),
        ((*MODEL, *GPU, "--output", "json"), "--output", "--sweep"),
        ((*MODEL, *GPU, "--name", "x"), "--name", "-f"),
    ],
)
def test_flags(refusal, arguments, field, expected):
    said = refusal(*arguments)
    assert field in said
    assert expected in said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "object"),
        ("{}", "hidden_size is missing"),
        (b"\xff\xfe\x00", "read"),
        (json.dumps({"model_type": "llama", "hidden_size": "wide"}), "positive whole number"),
        (json.dumps({"model_type": "stable_diffusion", "sample_size": 64}), "expected"),
    ],
)
def test_model_configs(refusal, tmp_path, content, expected):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    said = refusal("--model-config", str(path), *GPU)
    assert f"--model-config {path}: " in said
    assert expected in said


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"metadata": []}', '{"metadata": {"total_size": -1}}', '{"metadata": {}}']
)
def test_indices(refusal, tmp_path, content):
    path = tmp_path / "index.json"
    path.write_text(content, encoding="utf-8")

    said = refusal(*MODEL, *GPU, "--safetensors-index", str(path))
    assert "--safetensors-index" in said
    assert "total_size" in said or "JSON" in said


def test_a_quantization_other_than_the_checkpoints(refusal, tmp_path):
    config = json.loads(Path(LLAMA).read_text(encoding="utf-8"))
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({**config, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}),
        encoding="utf-8",
    )

    said = refusal("--model-config", str(path), *GPU, "--quantization", "fp8")
    assert "--quantization is fp8, expected awq" in said


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"model": {}}, "spec.model.id"),
        ({"model": {"id": "m"}, "gpu": {"perReplica": 0, "memory": "80Gi"}}, "gpu.perReplica"),
        ({"model": {"id": "m"}, "gpu": {"perReplica": 3, "memory": "80Gi"}}, "spec.gpu.perReplica is 3"),
        ({"model": {"id": "m"}}, "--gpu"),
        ({"model": {"id": "m"}, "gpu": {"product": "Abacus"}}, "Abacus"),
        ({"model": {"id": "m"}, "gpu": {"memory": "80Gi"}, "batching": {"maxModelLen": 999999}}, "maxModelLen is 9"),
    ],
)
def test_manifests(refusal, spec, expected):
    resource = {"kind": "BatchedLLM", "metadata": {"name": "llama"}, "spec": spec}

    assert expected in refusal("-f", "-", *MODEL, stdin=yaml.safe_dump(resource))


@pytest.mark.parametrize(
    ("config_maps", "expected"),
    [
        ([], "spec.model.configMap is described, and - holds no such ConfigMap"),
        ([{"metadata": {"name": "another"}}], "holds no such ConfigMap"),
        ([{"metadata": {"name": "described", "namespace": "other"}}], "holds no such ConfigMap in the same namespace"),
        ([{"metadata": {"name": "described"}}], "has no key config.json"),
        ([{"metadata": {"name": "described"}, "data": {"config.json": "{"}}], "config.json is not JSON"),
        ([{"metadata": {"name": "described"}, "data": {"config.json": "{}"}}], "spec.model.configMap: the ConfigMap"),
        ([{"metadata": {"name": "described"}, "data": {}}] * 2, "holds 2 ConfigMaps described"),
    ],
)
def test_config_maps_of_a_manifest(refusal, config_maps, expected):
    spec = {"model": {"id": "org/private", "configMap": "described"}, "gpu": {"memory": "80Gi"}}
    documents = [{"kind": "BatchedLLM", "metadata": {"name": "llama"}, "spec": spec}]
    documents += [{"kind": "ConfigMap", **one} for one in config_maps]

    assert expected in refusal("-f", "-", stdin=yaml.safe_dump_all(documents))
