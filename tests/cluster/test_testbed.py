"""The embedded cluster itself: how fast it is up, what it can do, and that nothing of it outlives `down`.

Runs on a cluster of its own (index 6, or TESTBED_TEST_INDEX), beside the one that other tests use.
"""

import json
import os
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from testbed import archives, builds, control_groups, kwok, leftovers, processes
from testbed.commands import wait_until
from testbed.definition import Gpus
from testbed.embedded import EmbeddedCluster
from testbed.providers import kind_is_usable

INDEX = int(os.environ.get("TESTBED_TEST_INDEX", "6"))
GPUS = Gpus(count=4, product="NVIDIA-H100-80GB-HBM3", memory_mebibytes=81559)

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.alone,
    pytest.mark.timeout(300, func_only=True),  # programs may have to be built first
    pytest.mark.skipif(os.geteuid() != 0, reason="the embedded cluster needs root"),
    pytest.mark.skipif(bool(os.environ.get("KUBECONFIG")) or kind_is_usable(), reason="another provider is in use"),
]


@pytest.fixture(scope="module")
def embedded():
    provider = EmbeddedCluster(INDEX)
    for module in (builds.KUBERNETES, builds.CONTAINERD, builds.PAUSE, builds.KWOK):
        builds.build(module)
    provider.down()
    yield provider
    provider.down(images=True)


@pytest.fixture
def running(embedded):
    embedded.up(GPUS)
    return embedded


def traces(provider: EmbeddedCluster) -> dict[str, object]:
    """Everything of a cluster that this machine can show."""
    definition = provider.definition
    links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
    routes = json.loads(subprocess.check_output(["ip", "-j", "route"]))
    return {
        "processes": control_groups.members(definition.name),
        "cgroups": control_groups.groups(definition.name),
        "mounts": leftovers.mounts_below(Path("/proc/mounts").read_text(), definition.state),
        "namespace": [definition.namespace] if definition.namespace.exists() else [],
        "links": [link["ifname"] for link in links if link["ifname"] == definition.host_link],
        "routes": [route["dst"] for route in routes if route.get("dev") == definition.host_link],
        "state": [definition.state] if definition.state.exists() else [],
        "outside": leftovers.files_outside(definition),
    }


def packet_filter() -> str:
    return subprocess.check_output(["nft", "list", "tables"], text=True)


def image(tmp_path: Path, reference: str) -> Path:
    """An image whose program waits for a signal: enough for a pod that runs."""
    target = tmp_path / "image.tar"
    return archives.write_program_image(reference, builds.build(builds.PAUSE) / "pause", target)


def restricted_pod(name: str, reference: str) -> str:
    container = {
        "name": "main",
        "image": reference,
        "imagePullPolicy": "Never",
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    security = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security, "automountServiceAccountToken": False}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def wait_for_default_account(provider: EmbeddedCluster) -> None:
    provider.cluster.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")


def up_and_down(provider: EmbeddedCluster) -> tuple[float, float]:
    """Seconds of one start and one end; the better of two is judged, since a test machine may be busy."""
    begin = time.monotonic()
    provider.up(GPUS)
    middle = time.monotonic()
    provider.down()
    return middle - begin, time.monotonic() - middle


def test_up_is_ready_within_fifteen_seconds_and_down_leaves_nothing(embedded):
    embedded.down()
    filters = packet_filter()

    up_seconds, down_seconds = min(up_and_down(embedded) for _ in range(2))

    print(f"up {up_seconds:.1f} s, down {down_seconds:.1f} s")
    assert not any(traces(embedded).values())
    assert packet_filter() == filters
    assert up_seconds <= 15
    assert down_seconds <= 10


def test_a_second_up_changes_nothing(running):
    before = running.status()["processes"]

    begin = time.monotonic()
    running.up(GPUS)

    assert time.monotonic() - begin <= 5
    assert running.status()["processes"] == before


def test_up_restarts_a_process_that_died(running):
    processes.stop(running.definition, "kube-scheduler")

    running.up(GPUS)

    assert processes.process_number(running.definition, "kube-scheduler") is not None


def test_the_node_is_dressed_as_a_gpu_node(running):
    node = json.loads(running.cluster.kubectl("get", "node", running.definition.node, "--output=json"))

    assert node["status"]["capacity"]["nvidia.com/gpu"] == "4"
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "4"
    assert GPUS.labels().items() <= node["metadata"]["labels"].items()


def test_a_restricted_pod_runs_with_logs_and_a_service_reaches_the_api(running, tmp_path):
    wait_for_default_account(running)
    running.load_archive(image(tmp_path, "test.invalid/waits:1"), "test.invalid/waits:1")
    running.cluster.kubectl("create", "namespace", "strict")
    running.cluster.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    running.cluster.kubectl("wait", "--for=create", "serviceaccount/default", "--namespace=strict", "--timeout=30s")

    running.cluster.kubectl(
        "apply", "--namespace=strict", "--filename=-", stdin=restricted_pod("waits", "test.invalid/waits:1")
    )
    running.cluster.kubectl("wait", "--for=condition=Ready", "pod/waits", "--namespace=strict", "--timeout=30s")

    assert running.cluster.kubectl("logs", "waits", "--namespace=strict") == ""
    service = f"https://{running.definition.api_service_address}/readyz"
    wait_until(lambda: answered(service) == "ok", "the API answers at its ClusterIP", timeout_seconds=20)


def test_pod_security_is_enforced(running):
    wait_for_default_account(running)
    running.cluster.kubectl("create", "namespace", "guarded")
    running.cluster.kubectl("label", "namespace", "guarded", "pod-security.kubernetes.io/enforce=restricted")
    pod = {"containers": [{"name": "main", "image": "test.invalid/x:1"}]}
    manifest = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lax"}, "spec": pod})

    with pytest.raises(Exception, match="violates PodSecurity"):
        running.cluster.kubectl("apply", "--namespace=guarded", "--filename=-", stdin=manifest)


def test_no_packet_of_a_pod_can_leave_the_machine(running):
    inside = ["ip", "-netns", running.definition.name, "-j", "route", "get"]

    outside = subprocess.run([*inside, "192.0.2.1"], capture_output=True, text=True, check=False)

    assert outside.returncode != 0
    assert "unreachable" in outside.stderr


def test_fake_nodes_carry_pods_whose_addresses_answer(running, tmp_path):
    metrics = tmp_path / "metrics"
    metrics.write_text("queue 1\n")
    wait_for_default_account(running)

    kwok.set_fake_nodes(running, running.cluster, 3, GPUS)
    kwok.answer_for_fake_pods(running, metrics, 8000)
    pod = {
        "containers": [{"name": "main", "image": "x", "resources": {"limits": {"nvidia.com/gpu": "4"}}}],
        "tolerations": [{"key": kwok.ANNOTATION, "operator": "Exists"}],
        "nodeSelector": {kwok.LABEL: "true"},
    }
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fake"}, "spec": pod}
    running.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))
    running.cluster.kubectl("wait", "--for=condition=Ready", "pod/fake", "--timeout=30s")
    address = running.cluster.kubectl("get", "pod", "fake", "--output=jsonpath={.status.podIP}")

    url = f"http://{address}:8000/metrics"
    wait_until(lambda: answered(url) == "queue 1\n", "the fake pod answers", timeout_seconds=10)
    metrics.write_text("queue 2\n")
    assert answered(url) == "queue 2\n"
    kwok.set_fake_nodes(running, running.cluster, 1, GPUS)
    assert "fake-2" not in running.cluster.kubectl("get", "nodes")


def answered(url: str) -> str:
    """The body of a GET, or nothing while nobody answers."""
    anybody = ssl.create_default_context()
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=5, context=anybody) as response:
            return response.read().decode()
    except OSError:
        return ""


def test_up_recovers_from_a_kill_of_everything(running, tmp_path):
    """Processes vanish without a word, mounts and links stay, and a pid file names somebody else's process."""
    running.load_archive(image(tmp_path, "test.invalid/waits:1"), "test.invalid/waits:1")
    wait_for_default_account(running)
    running.cluster.kubectl("apply", "--filename=-", stdin=restricted_pod("victim", "test.invalid/waits:1"))
    running.cluster.kubectl("wait", "--for=condition=Ready", "pod/victim", "--timeout=30s")
    with subprocess.Popen(["sleep", "300"]) as bystander:
        control_groups.kill_members(running.definition.name)
        assert traces(running)["mounts"]
        processes.pid_file(running.definition, "kubelet").write_text(str(bystander.pid))

        running.up(GPUS)

        assert bystander.poll() is None
        bystander.kill()
    assert "victim" not in running.cluster.kubectl("get", "pods")
    wait_for_default_account(running)
    running.cluster.kubectl("apply", "--filename=-", stdin=restricted_pod("second", "test.invalid/waits:1"))
    running.cluster.kubectl("wait", "--for=condition=Ready", "pod/second", "--timeout=30s")
    records = subprocess.check_output([*running._ctr(), "containers", "ls", "-q"], text=True).split()
    assert len(records) == 2, "the second pod's sandbox and container, and none of the dead cluster's"
    running.down()
    assert not any(traces(running).values())
