"""The benchmark against a real vLLM on the CPU, as the operator's pod runs it: vLLM's own bench, and our client."""

import json
from pathlib import Path

import pytest
import yaml

from batchedllm.api.resource import parse
from batchedllm.cli.simulate_profile import profile_of
from batchedllm.core.benchmark.pod import Subject, benchmark_pod
from batchedllm.core.benchmark.profile import read_profile
from batchedllm.core.manifests.identity import Owner
from cluster.conftest import eventually

ROOT = Path(__file__).parents[2]
SECONDS = 420
"""A start of vLLM on two cores that are shared with everything else takes most of it."""

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.xdist_group("engine"), pytest.mark.slow]


def test_a_real_vllm_is_measured_by_its_own_bench(cluster, namespace, tmp_path):
    cluster.load_image("engine-cpu")
    example = yaml.safe_load((ROOT / "examples/cpu.yaml").read_text())
    example["spec"]["tuning"] = {"benchmark": "once", "benchmarkSeconds": 45}
    spec = parse(example)
    pod = benchmark_pod(Subject(Owner("tiny", namespace, None), spec, spec, spec.engine.image, ""))
    arguments = pod["spec"]["containers"][0]["args"]
    small = ["--batches=1,4,8", "--prompt-tokens=32", "--output-tokens=16", "--static-output-tokens=4,32"]
    arguments[arguments.index("--") : arguments.index("--")] = small
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(pod))
    name = pod["metadata"]["name"]

    def ended():
        seen = json.loads(cluster.kubectl("get", "pod", name, "-n", namespace, "-o", "json"))["status"]
        return seen.get("containerStatuses", [{}])[0].get("state", {}).get("terminated")

    end = eventually(ended, seconds=SECONDS, what="the benchmark ends")
    log = cluster.kubectl("logs", name, "-n", namespace, "--tail=60")
    assert end["exitCode"] == 0, f"{end.get('message')}\n{log}"
    document = json.loads(end["message"])
    profile = read_profile(document, at="2026-01-01T00:00:00Z", asked_by="", image=spec.engine.image)
    whole = json.loads("{" + cluster.kubectl("logs", name, "-n", namespace).rpartition("\n{\n")[2])
    assert whole["measuredBy"].startswith("vllm bench serve")
    assert [one.batch for one in profile.curve] == [1, 4, 8]
    assert all(one.step_seconds for one in profile.curve), "the plugin tells the engine's own step times"
    (prompt,) = whole["prefill"]  # of those that are tried, the one that a step of 512 tokens can read
    assert 0 < prompt["stepSeconds"] < prompt["seconds"]
    assert profile.curve[-1].output_tokens_per_second > profile.curve[0].output_tokens_per_second
    assert profile.kv_cache_tokens == 65536
    (tmp_path / "profile.json").write_text(end["message"])
    assert profile_of(str(tmp_path / "profile.json")).kv_cache_tokens == 65536
