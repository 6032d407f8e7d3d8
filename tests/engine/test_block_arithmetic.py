"""vLLM's own code, in the engine's image: what the plan is tested against, and the inspection with all its ends."""

import json
import time
from pathlib import Path

import pytest

from testbed.cluster import Cluster

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 420
FILES = {
    "vllm_cases.py": ROOT / "tests/engine/vllm_cases.py",
    "vllm_blocks.json": ROOT / "tests/data/vllm_blocks.json",
    "fake_hub.py": ROOT / "tests/engine/fake_hub.py",
}
HUB = "http://127.0.0.1:8123"
INSPECT = "python3 -m batchedllm_engine.inspect --output=/dev/termination-log"
FROM_HUB = f"python3 /files/fake_hub.py 8123 & sleep 1; export HF_HUB_OFFLINE=0 HF_ENDPOINT={HUB}; {INSPECT}"
WRITABLE = ("/tmp", "/home/engine")

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.xdist_group("engine"), pytest.mark.slow]


def pod(name, image, script):
    """As restricted as the engine's own pods."""
    mounts = [{"name": f"writable-{index}", "mountPath": path} for index, path in enumerate(WRITABLE)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "inspect",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/bin/sh", "-c", script],
                    "env": [{"name": "HF_TOKEN", "value": "hf_secretsecretsecret"}],
                    "resources": {"requests": {"cpu": "200m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [*mounts, {"name": "files", "mountPath": "/files"}],
                }
            ],
            "volumes": [
                *({"name": mount["name"], "emptyDir": {}} for mount in mounts),
                {"name": "files", "configMap": {"name": "files"}},
            ],
        },
    }


class Pods:
    """Pods that run a script in the engine's image and end."""

    def __init__(self, cluster: Cluster, namespace: str, image: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.image = image

    def kubectl(self, *arguments, stdin=None):
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def run(self, name, script):
        """Return the exit code, the termination message and the log."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(pod(name, self.image, script)))
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = json.loads(self.kubectl("get", "pod", name, "-o", "json"))
            if found["status"].get("phase") in {"Succeeded", "Failed"}:
                break
            assert time.monotonic() < end, f"{name} has not ended after {PATIENCE_SECONDS} s: {found['status']}"
            time.sleep(1)
        ended = found["status"]["containerStatuses"][0]["state"]["terminated"]
        return ended["exitCode"], ended.get("message", ""), self.kubectl("logs", name)


@pytest.fixture(scope="module")
def cpu_image(cluster):
    return cluster.load_image("engine-cpu")


@pytest.fixture
def pods(cluster, namespace, cpu_image):
    made = Pods(cluster, namespace, cpu_image)
    files = [f"--from-file={name}={path}" for name, path in FILES.items()]
    made.kubectl("create", "configmap", "files", *files)
    return made


def test_the_file_that_the_plan_is_tested_against_is_what_vllm_says(pods):
    code, _, log = pods.run("cases", "python3 /files/vllm_cases.py /files/vllm_blocks.json")
    assert code == 0, log[-4000:]


def test_a_model_in_a_folder(pods):
    code, message, log = pods.run("folder", f"{INSPECT} --model=/models/tiny --tensor-parallel-size=2")
    assert code == 0, log
    told = json.loads(message)
    assert len(message.encode()) <= 4096
    assert (told["version"], told["engineVersion"], told["dropped"]) == (1, "0.32.0", [])
    assert (told["modelType"], told["longestLength"], told["settings"]["dtype"]) == ("llama", 4096, "bfloat16")
    (stage,) = told["stages"]
    (cache,) = stage["caches"]
    assert (cache["kind"], cache["layers"], cache["kvHeads"], cache["headSize"]) == ("full", 2, 1, 64)
    assert stage["weightBytes"] == 2 * stage["parameters"]


def test_a_model_of_a_hub(pods):
    code, message, log = pods.run("hub", f"{FROM_HUB} --model=org/tiny --revision=main")
    assert code == 0, log
    told = json.loads(message)
    assert told["model"] == {"id": "org/tiny", "revision": "main", "commit": "0123456789abcdef0123456789abcdef01234567"}
    assert told["checkpointBytes"] == 1234567
    assert "model.safetensors " not in log, "weights were asked for"


@pytest.mark.parametrize(
    ("reason", "code", "script"),
    [
        ("GatedModel", 10, f"{FROM_HUB} --model=org/gated"),
        ("GatedModel", 10, f"{FROM_HUB} --model=org/forbidden"),
        ("NoSuchModel", 11, f"{FROM_HUB} --model=org/missing"),
        ("NoSuchModel", 11, f"{INSPECT} --model=/models/none"),
        ("NoSuchRevision", 12, f"{FROM_HUB} --model=org/tiny --revision=nonsense"),
        ("NoNetwork", 13, f"{INSPECT} --model=org/tiny"),
        ("NoNetwork", 13, f"HF_HUB_OFFLINE=0 HF_ENDPOINT=http://127.0.0.1:9 {INSPECT} --model=org/tiny"),
        ("NeedsTrustRemoteCode", 14, f"{FROM_HUB} --model=org/custom-code"),
        ("NoConfig", 15, f"{FROM_HUB} --model=org/no-config"),
        ("NoConfig", 15, f"{INSPECT} --model=/home/engine"),
        ("UnsupportedArchitecture", 16, f"{FROM_HUB} --model=org/unsupported"),
        ("BadArguments", 2, f"{INSPECT} --model=/models/tiny --tensor-parallel-size=3"),
        ("BadArguments", 2, f"{INSPECT} --model=/models/tiny --quantization=nonsense"),
        ("Deadline", 17, f"{INSPECT} --model=/models/tiny --deadline-seconds=0.5"),
    ],
)
def test_each_failure_says_what_to_do(pods, reason, code, script):
    ended, message, log = pods.run("fails", script)
    assert (ended, json.loads(message)["error"]["reason"]) == (code, reason), log
    assert "secretsecret" not in message + log
    assert "Traceback" not in message
