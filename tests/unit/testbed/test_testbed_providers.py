"""Which cluster is taken, and what each kind refuses."""

import json
from pathlib import Path

import pytest

from testbed import kind, kwok, nodes, providers
from testbed.__main__ import parser
from testbed.commands import run, tail, wait_until
from testbed.definition import ClusterDefinition, Gpus
from testbed.embedded import EmbeddedCluster
from testbed.errors import TestbedError
from testbed.foreign import ForeignCluster
from testbed.kind import KindCluster
from testbed.responder import MetricsFile, response

CLUSTER = ClusterDefinition(3, Path("/state/cluster-3"), Path("/cache/images"))


@pytest.mark.parametrize(("usable", "expected"), [(True, KindCluster), (False, EmbeddedCluster)])
def test_kind_comes_before_the_embedded_cluster(monkeypatch, usable, expected):
    monkeypatch.setattr(providers, "kind_is_usable", lambda: usable)

    assert isinstance(providers.choose(0, {}), expected)


def test_the_environment_names_the_cluster_of_tests_and_demo(monkeypatch):
    asked = []
    monkeypatch.setattr(EmbeddedCluster, "up", lambda provider, _: asked.append(provider.definition.index))
    monkeypatch.setattr(providers, "kind_is_usable", lambda: False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("TESTBED_INDEX", "5")

    providers.ensure_cluster()
    providers.ensure_cluster(2)

    assert asked == [5, 2]


def test_a_given_kubeconfig_comes_first(monkeypatch):
    monkeypatch.setattr(providers, "kind_is_usable", lambda: True)

    assert isinstance(providers.choose(0, {"KUBECONFIG": "/somebody/config"}), ForeignCluster)


def test_the_embedded_clusters_own_kubeconfig_is_not_foreign(monkeypatch, tmp_path):
    monkeypatch.setattr(providers, "kind_is_usable", lambda: False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    own = EmbeddedCluster(4).definition.kubeconfig

    assert isinstance(providers.choose(4, {"KUBECONFIG": str(own)}), EmbeddedCluster)


def test_a_docker_command_without_an_engine_does_not_count(monkeypatch):
    monkeypatch.setattr(providers.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(providers, "succeeds", lambda _: False)

    assert not providers.kind_is_usable()


def test_a_foreign_cluster_is_never_removed_nor_loaded():
    foreign = ForeignCluster(Path("/somebody/config"))

    with pytest.raises(TestbedError, match="not the testbed's"):
        foreign.down()
    with pytest.raises(TestbedError, match="push the images"):
        foreign.load_archive(Path("x.tar"), "example.dev/x:1")


def test_the_way_to_kinds_pods_leads_over_its_node():
    addresses = [{"type": "Hostname", "address": "node"}, {"type": "InternalIP", "address": "172.18.0.2"}]
    node = {"spec": {"podCIDR": "10.244.0.0/24"}, "status": {"addresses": addresses}}

    assert kind.route(node, "add") == ["ip", "route", "add", "10.244.0.0/24", "via", "172.18.0.2"]
    assert kind.route({**node, "spec": {}}, "add") == []


def test_kind_commands_name_cluster_and_kubeconfig():
    for command in (commands := KindCluster(1).commands()).values():
        assert "--name=bllm-testbed-1" in command
    assert any(argument.startswith("--kubeconfig=") for argument in commands["create"])


def test_fake_nodes_are_wanted_only_on_the_embedded_cluster():
    foreign = ForeignCluster(Path("/somebody/config"))

    with pytest.raises(TestbedError, match="embedded"):
        kwok.set_fake_nodes(foreign, foreign.cluster, 1, Gpus())


def test_a_fake_node_is_a_gpu_node_that_kwok_looks_after():
    node = kwok.node(7, Gpus(count=2), tainted=True)

    assert node["metadata"]["annotations"] == {kwok.ANNOTATION: "fake"}
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
    assert node["spec"]["taints"][0]["effect"] == "NoSchedule"
    assert kwok.node(7, Gpus(), tainted=False)["spec"]["taints"] == []


def test_kwok_gives_addresses_that_live_on_this_machine(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/pod-ready.yaml").touch()

    arguments = kwok.controller(CLUSTER, tmp_path).arguments

    assert f"--cidr={CLUSTER.fake_pod_network}" in arguments
    assert "--manage-all-nodes=false" in arguments
    assert f"--config={tmp_path}/files/pod-ready.yaml" in arguments


def test_the_responder_serves_the_file_as_it_is_now(tmp_path):
    file = tmp_path / "metrics"
    file.write_text("a 1\n")
    metrics = MetricsFile(file)

    assert response("/metrics", metrics).endswith(b"\r\n\r\na 1\n")
    file.unlink()
    assert response("/metrics", metrics).endswith(b"a 1\n")
    assert response("/health", metrics).startswith(b"HTTP/1.1 200")
    assert response("/other", metrics).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(("status", "expected"), [("True", True), ("False", False), ("Unknown", False)])
def test_readiness_is_the_condition_ready(status, expected):
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": status}]

    assert nodes.ready({"status": {"conditions": conditions}}) is expected
    assert nodes.ready({"status": {}}) is False


def test_status_tells_what_has_ended():
    processes = {"kubelet": {"pid": None, "log": "/l/kubelet.log"}, "etcd": {"pid": 7, "log": "/l/etcd.log"}}
    node = {"name": "n", "ready": True, "version": "v1.36.3", "gpus": "8", "product": "NVIDIA-H200"}
    status = {"provider": "embedded", "kubeconfig": "/k", "processes": processes, "nodes": [node]}

    text = nodes.table(json.loads(json.dumps(status)))

    assert "ENDED" in text
    assert "pid 7" in text
    assert "8 x NVIDIA-H200" in text


def test_waiting_is_bounded_and_shows_the_logs_end(tmp_path):
    log = tmp_path / "kubelet.log"
    log.write_text("first\nlast words\n")

    with pytest.raises(TestbedError, match=r"(?s)until it is so: not after 0 s.*kubelet\.log.*last words"):
        wait_until(lambda: False, "it is so", timeout_seconds=0, log=log, interval_seconds=0)


def test_waiting_ends_early_when_the_process_has_ended():
    with pytest.raises(TestbedError, match="kubelet has ended"):
        wait_until(lambda: False, "it is so", timeout_seconds=60, failed=lambda: "kubelet has ended")


def test_a_program_that_is_missing_or_fails_is_named():
    with pytest.raises(TestbedError, match=r"no-such-program.*not installed"):
        run(["no-such-program"])
    with pytest.raises(TestbedError, match="exit code 3"):
        run(["sh", "-c", "exit 3"])


def test_a_log_that_is_missing_says_so(tmp_path):
    assert tail(tmp_path / "none") == "(no log)"


def test_the_command_line_knows_its_commands():
    options = parser().parse_args(["--index", "2", "up", "--gpus", "4", "--gpu-product", "NVIDIA-L4"])

    assert (options.index, options.command, options.gpus, options.gpu_product) == (2, "up", 4, "NVIDIA-L4")
