"""`batchedllm plan`: the documented answers and exit statuses, from flags and from a manifest."""

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from batchedllm.cli.main import main

CONFIGS = Path(__file__).parents[2] / "data" / "model_configs"
LLAMA = str(CONFIGS / "llama-3.1-8b.json")
MEASURED = (
    *("--model-config", LLAMA, "--gpu-memory", "139.8Gi", "--gpu-utilization", ".9", "--max-model-len", "8192"),
    *("--enforce-eager", "--engine-version", "0.26.0", "--max-num-batched-tokens", "16384"),
)
H200 = ("--model-config", LLAMA, "--gpu", "NVIDIA-H200")
MANIFEST = {
    "apiVersion": "batchedllm.dev/v1alpha1",
    "kind": "BatchedLLM",
    "metadata": {"name": "llama"},
    "spec": {
        "model": {"id": "meta-llama/Llama-3.1-8B"},
        "gpu": {"memory": "139.8Gi", "product": "NVIDIA-H200"},
        "memory": {"gpuUtilization": 0.9},
        "batching": {"maxModelLen": 8192, "maxNumBatchedTokens": 16384},
        "engine": {"arguments": ["--enforce-eager"]},
    },
}


@pytest.fixture
def plan(monkeypatch, capsys):
    def run(*arguments, stdin=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        try:
            status = main(["plan", *arguments])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def document(plan):
    def run(*arguments, **rest):
        status, text, errors = plan(*arguments, "-o", "json", **rest)
        assert status != 1, errors
        return status, json.loads(text)

    return run


def manifest(**spec):
    return yaml.safe_dump({**MANIFEST, "spec": {**MANIFEST["spec"], **spec}})


def test_json_of_a_start_that_was_measured(document):
    status, found = document(*MEASURED)

    assert status == 0
    assert found["verdict"] == "Fits"
    assert found["kvCache"]["tokens"] == pytest.approx(891_872, rel=0.01)
    assert found["kvCache"]["blockSize"] == 16
    assert found["kvCache"]["blocks"] == pytest.approx(55_742, rel=0.01)
    assert found["concurrency"] == pytest.approx(108.87, rel=0.01)
    assert found["maxModelLen"] == {"requested": 8192, "largest": 131072, "largestForConcurrency": 864}
    assert found["fixes"] == []
    assert found["confidence"] in {"exact", "calibrated", "estimated"}
    terms = {"total", "requested", "weights", "persistent", "activation", "cudaGraphs", "nonTorch", "kvCache"}
    assert terms <= set(found["bytes"])
    assert all(isinstance(found["bytes"][term], int) for term in terms)
    assert found["bytes"]["weights"] == pytest.approx(15.0 * 2**30, rel=0.005)
    assert found["settings"]["maxNumSeqs"] == 1024
    assert found["terms"]["weights"]["certainty"] == "exact"


def test_what_does_not_fit_ends_with_2_and_fixes_that_do(document):
    status, found = document(*H200, "--max-model-len", "131072", "--gpu-utilization", ".2")

    assert status == 2
    assert found["verdict"] == "DoesNotFit"
    assert 1 <= len(found["fixes"]) <= 3
    for fix in found["fixes"]:
        assert {"setting", "was", "becomes", "flag"} <= set(fix)
    length = next(fix for fix in found["fixes"] if fix["flag"] == "--max-model-len")
    again, _ = document(*H200, "--max-model-len", length["becomes"], "--gpu-utilization", ".2")
    assert again == 0


def test_a_family_whose_parameters_cannot_be_counted_is_unknown_with_the_known_part(plan, document, tmp_path):
    config = {**json.loads(Path(LLAMA).read_text(encoding="utf-8")), "model_type": "unheard_of"}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")

    status, found = document("--model-config", str(path), "--gpu", "H200")
    assert status == 3
    assert found["verdict"] == "Unknown"
    assert found["confidence"] == "unknown"
    assert found["bytes"]["activation"] > 0

    status, text, _ = plan("--model-config", str(path), "--gpu", "H200")
    assert status == 3
    assert "unknown: " in text


def test_yaml_says_the_same_as_json(plan, document):
    _, text, _ = plan(*MEASURED, "-o", "yaml")

    assert yaml.safe_load(text) == document(*MEASURED)[1]


def test_the_table_is_a_bill(plan):
    status, text, _ = plan(*MEASURED)

    assert status == 0
    for line in ("weights", "activation", "CUDA graphs", "persistent", "non-torch", "KV cache"):
        assert line in text
    assert "15.00 GiB" in text
    assert "█" in text
    assert "Fits" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_a_log_without_unicode_gets_plain_characters(form, tmp_path):
    config = tmp_path / "müller.json"
    config.write_bytes(Path(LLAMA).read_bytes())
    program = "import sys; from batchedllm.cli.main import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["plan", *MEASURED[2:], "--model-config", str(config), "-o", form]
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=environment)

    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_the_table_of_what_does_not_fit_names_the_flags_to_change(plan):
    status, text, _ = plan(*H200, "--max-model-len", "131072", "--gpu-utilization", ".2")

    assert status == 2
    assert "DoesNotFit" in text
    assert "--max-model-len 131072 -> " in text
    assert "maxNumSeqs" not in text


def test_auto_takes_the_longest_that_fits(document):
    status, found = document(*H200, "--max-model-len", "auto", "--gpu-utilization", ".2")

    assert status == 0
    assert found["maxModelLen"]["requested"] == found["maxModelLen"]["largest"] < 131072


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--weights-bytes", "16060522496"), ("--weights-bytes", "14.9577Gi"), ("--model-params", "8030261248")],
)
def test_weights_from_what_is_known_of_them(document, flag, value):
    _, found = document(*MEASURED, flag, value)

    assert found["bytes"]["weights"] == pytest.approx(16_060_522_496, rel=0.005)


def test_weights_from_an_index(document, tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 16060522496}, "weight_map": {}}), encoding="utf-8")

    _, found = document(*MEASURED, "--safetensors-index", str(index))
    assert found["bytes"]["weights"] == pytest.approx(16_060_522_496, rel=0.005)


def test_every_setting_is_taken(document):
    _, found = document(
        *(*H200, "--max-num-seqs", "64", "--max-num-batched-tokens", "4096", "--tensor-parallel", "2"),
        *("--pipeline-parallel", "2", "--kv-cache-dtype", "fp8", "--dtype", "bfloat16", "--quantization", "fp8"),
    )

    settings = found["settings"]
    assert settings["tensorParallel"] == settings["pipelineParallel"] == 2
    assert (settings["maxNumSeqs"], settings["maxNumBatchedTokens"]) == (64, 4096)
    assert (settings["kvCacheDtype"], settings["dtype"], settings["quantization"]) == ("fp8", "bfloat16", "fp8")
    assert "maxNumSeqs" not in settings["defaulted"]


def test_a_manifest_gives_the_same_as_its_flags(document):
    _, of_flags = document(*MEASURED)
    _, of_manifest = document("-f", "-", "--model-config", LLAMA, "--engine-version", "0.26.0", stdin=manifest())

    assert of_manifest["bytes"] == of_flags["bytes"]
    assert of_manifest["kvCache"] == of_flags["kvCache"]


def test_flags_win_over_the_manifest(document):
    arguments = ("--model-config", LLAMA, "--max-model-len", "4096", "--gpu", "NVIDIA-H100", "--tensor-parallel", "2")
    _, found = document("-f", "-", *arguments, stdin=manifest())

    assert found["maxModelLen"]["requested"] == 4096
    assert found["bytes"]["total"] < 80 * 2**30
    assert found["settings"]["tensorParallel"] == 2
    assert found["settings"]["maxNumBatchedTokens"] == 16384


def test_one_of_several_resources_is_chosen_by_name(plan):
    both = "---\n".join([manifest(), manifest().replace("name: llama", "name: other")])
    status, _, errors = plan("-f", "-", "--model-config", LLAMA, stdin=both)
    assert status == 1
    assert "llama, other" in errors

    status, _, errors = plan("-f", "-", "--model-config", LLAMA, "--name", "other", stdin=both)
    assert status == 0, errors


def test_a_model_of_the_catalogue_and_the_nearest_to_a_wrong_name(plan, document):
    _, found = document("--model", "Qwen/Qwen3-8B", "--gpu", "NVIDIA-H200")
    assert found["model"] == "Qwen/Qwen3-8B"

    status, _, errors = plan("--model", "qwen/qwen3_8b", "--gpu", "NVIDIA-H200")
    assert status == 1
    assert "Qwen/Qwen3-8B" in errors


def test_a_manifest_names_a_model_of_the_catalogue(document):
    status, found = document("-f", "-", stdin=manifest(model={"id": "Qwen/Qwen3-8B"}))

    assert status == 0
    assert found["model"] == "llama"
    assert found["maxModelLen"]["largest"] == 40960


def config_map(name="described", **data):
    content = {"config.json": Path(LLAMA).read_text(), **data}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": content})


def test_a_manifest_brings_the_config_map_that_describes_its_model(document):
    described = manifest(model={"id": "org/private", "configMap": "described"})
    others = f"{config_map('another')}---\n{described}"

    _, counted = document("-f", "-", stdin=f"{others}---\n{config_map()}")
    _, known = document("-f", "-", stdin=f"{config_map(weightsBytes='20000000000')}---\n{others}")

    assert counted["bytes"]["weights"] == pytest.approx(15.0 * 2**30, rel=0.005)
    assert known["bytes"]["weights"] == pytest.approx(20e9, rel=0.005)


def test_a_flag_wins_over_the_config_map_of_the_file(document):
    described = manifest(model={"id": "org/private", "configMap": "described"}) + "---\n" + config_map()

    _, found = document("-f", "-", "--model", "Qwen/Qwen3-8B", stdin=described)

    assert found["maxModelLen"]["largest"] == 40960


def test_start_up_is_quick_and_needs_no_heavy_module():
    program = (
        "import sys; from batchedllm.cli.main import main; status = main(sys.argv[1:]); "
        "heavy = {'pydantic', 'matplotlib', 'torch', 'kubernetes', 'asyncio', 'aiohttp'} & set(sys.modules); "
        "sys.exit(f'{heavy}' if heavy else status)"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, "plan", *MEASURED], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 5
