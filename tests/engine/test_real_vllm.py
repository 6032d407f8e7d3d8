"""A real vLLM, on the CPU, under the operator: it serves, its queue is read, it scales up, and it drains."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from demo.burst import play
from demo.trace import Arrival
from engine_contract import breaches, own_families, series, steps_agree

ROOT = Path(__file__).parents[2]
READY_SECONDS = 420
"""A first start compiles nothing, but imports a lot; two cores are shared with everything else."""

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.xdist_group("engine"), pytest.mark.slow]


@pytest.fixture
def operator(cluster, namespace, installed_crd, tmp_path):
    """The operator as a process of this machine, for one namespace."""
    command = [sys.executable, "-m", "batchedllm", "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
    with (tmp_path / "operator.log").open("wb") as log:
        process = subprocess.Popen([*command, "--listen-port", "0"], stdout=log, stderr=log, cwd=ROOT / "operator")
        yield process
        process.terminate()
        process.wait(timeout=20)


def status(cluster, namespace):
    return json.loads(cluster.kubectl("get", "batchedllm", "tiny", "-n", namespace, "-o", "json")).get("status") or {}


def eventually(check, seconds, what):
    """Wait for something on a real machine; fail with the last look."""
    end = time.monotonic() + seconds
    while not (seen := check()):
        assert time.monotonic() < end, f"{what}: not after {seconds} s"
        time.sleep(1)
    return seen


def plan_is_what_the_engine_has(cluster, namespace):
    """The blocks that were planned from the image's own description of the model are the engine's, to one."""
    eventually(lambda: status(cluster, namespace).get("actual"), 30, "the engine's own numbers are in the status")
    seen = status(cluster, namespace)
    planned = seen["plan"]["kvCache"]
    assert seen["plan"]["modelSource"] == "inspection"
    told = {
        "kvCacheTokens": planned["tokens"],
        "blockSize": planned["blockSize"],
        "blocks": planned["blocks"],
        "driftPercent": "0.00",
    }
    assert told.items() <= seen["actual"].items(), seen["actual"]


def the_engine_tells_of_itself(address):
    """Its own `/metrics` has what the plugin, the exporter and the start add, and it agrees with what vLLM counts."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    assert breaches(text) == []
    assert steps_agree(text) == []
    assert series(text, "batchedllm_engine:decode_steps_total", batch_le="8") > 0, "the rush filled the batch of 8"
    assert series(text, "batchedllm_engine:step_tokens_sum", phase="prefill") > 0
    assert series(text, "batchedllm_engine:stat_logger_errors_total") == 0
    assert series(text, "batchedllm_engine:memory_bytes", term="kv_cache") == pytest.approx(64 << 20, abs=0.005 * 2**30)
    phases = {sample.labels["phase"] for sample in own_families(text)["batchedllm_engine:startup_seconds"].samples}
    assert phases >= {"preflight", "import", "engine", "initialize", "total"}
    assert series(text, "batchedllm_engine:gpu_exporter_up") == 0
    assert [name for name in own_families(text) if name.startswith("DCGM_")] == [], "there is no GPU to tell of"


def is_served(address):
    """Whether the address leads to an engine that serves."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            return True
    except OSError:
        return False


def is_queue(candidate):
    return candidate["signal"] == "queueDepth" and "replicas" in candidate


async def keep_busy(address, clients, request, until, rest_seconds=0.0):
    """Clients that each send one request after the other, whatever the engine's speed, until `until` is true.

    Returns what became of every request.
    """
    served, is_over = [], asyncio.Event()

    async def client():
        while not is_over.is_set():
            await play(address, "/models/tiny", [request], served.append)
            await asyncio.sleep(rest_seconds)

    crowd = [asyncio.create_task(client()) for _ in range(clients)]
    try:
        for _ in range(READY_SECONDS):
            if await asyncio.to_thread(until):
                break
            await asyncio.sleep(1)
    finally:
        is_over.set()
        await asyncio.gather(*crowd)
    return served


def test_a_real_vllm_serves_scales_on_its_real_queue_and_drains_without_a_failed_request(cluster, namespace, operator):
    """24 clients on a batch of 8 make a queue that the operator reads, 14 that stay see a replica come, 2 see it go."""
    cluster.load_image("engine-cpu")
    example = yaml.safe_load((ROOT / "examples/cpu.yaml").read_text())
    example["spec"]["scaling"]["scaleDown"]["stabilizationSeconds"] = 600
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(example))
    eventually(
        lambda: status(cluster, namespace).get("readyReplicas") == 1, READY_SECONDS, "the first replica is Ready"
    )
    plan_is_what_the_engine_has(cluster, namespace)
    service = cluster.kubectl("get", "service", "tiny", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    address, depths = f"http://{service}:8000", []
    eventually(lambda: is_served(address), 30, "kube-proxy, up to a second behind, leads to the replica that is ready")

    def second_replica_is_wanted():
        seen = status(cluster, namespace)
        depths.append(seen.get("load", {}).get("queueDepth", 0))
        return seen.get("wantedReplicas") == 2 and max(depths) > 8

    def second_replica_serves():
        return status(cluster, namespace).get("readyReplicas") == 2

    def one_replica_is_left():
        seen = status(cluster, namespace)
        return seen["wantedReplicas"] == 1 and seen.get("replicas") == 1

    in_the_rush = asyncio.run(keep_busy(address, 24, Arrival(0, 64, 200), second_replica_is_wanted))
    the_engine_tells_of_itself(address)
    decisions = status(cluster, namespace)["decisions"]
    # A replica that does not serve yet is given up after a minute in which nobody waits: some wait until it is there.
    in_the_wait = asyncio.run(keep_busy(address, 14, Arrival(0, 64, 200), second_replica_serves))
    assert status(cluster, namespace)["readyReplicas"] == 2
    # The rush is past demand for half an hour, and how late and how fast this engine is depends on the tests beside it:
    # what is asked here is whether the replica goes when the queue is gone.
    off = {name: {"role": "off"} for name in ("pastDemand", "tokenRate")}
    patient = {"timeToFirstToken": "60s", "interTokenLatency": "10s"}
    soon = {"spec": {"slo": patient, "scaling": {"scaleDown": {"stabilizationSeconds": 5}, "signals": off}}}
    cluster.kubectl("patch", "batchedllm", "tiny", "-n", namespace, "--type=merge", f"--patch={json.dumps(soon)}")
    in_the_calm = asyncio.run(keep_busy(address, 2, Arrival(0, 16, 60), one_replica_is_left, rest_seconds=1.0))

    assert max(depths) > 8, "the queue that vLLM reports never rose in the status"
    # Which signal asks for most depends on how fast this machine is; that the queue asks for the second one does not.
    asked = [one["replicas"] for made in decisions if made["to"] == 2 for one in made["candidates"] if is_queue(one)]
    assert max(asked, default=0) >= 2, decisions
    left = status(cluster, namespace)
    assert left["wantedReplicas"] == 1, (left.get("load"), left["decisions"][:3])
    phases = {"rush": in_the_rush, "wait": in_the_wait, "calm": in_the_calm}
    assert {
        phase: errors for phase, sent in phases.items() if (errors := [one.error for one in sent if one.error])
    } == {}
    assert min(one.tokens for one in in_the_rush) > 0


def test_a_start_that_cannot_succeed_ends_in_seconds_with_one_line_that_says_why(cluster, namespace):
    """Kubernetes gives a pod 64 MiB of shared memory; vLLM needs more, and would notice after half a minute."""
    cluster.load_image("engine-cpu")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "refused"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "engine",
                    "image": "batchedllm.dev/engine:0.1.0-cpu",
                    "imagePullPolicy": "Never",
                    "args": ["/models/tiny", "--load-format=dummy"],
                    "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
                }
            ],
        },
    }
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(pod))

    def ended():
        status = json.loads(cluster.kubectl("get", "pod", "refused", "-n", namespace, "-o", "json"))["status"]
        return status.get("containerStatuses", [{}])[0].get("state", {}).get("terminated")

    end = eventually(ended, 60, "the container ends")
    assert end["exitCode"] == 25
    assert end["message"].startswith("preflight: TooLittleSharedMemory: shared memory is too small: 64 MiB are free")
