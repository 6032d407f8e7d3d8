"""Configuration files: parseable, isolated per cluster, and free of the traps that were met."""

import base64
import json
import tomllib
from pathlib import Path

import yaml

from testbed import components, configuration, pki
from testbed.components import Binaries
from testbed.definition import ClusterDefinition

CLUSTER = ClusterDefinition(2, Path("/state/cluster-2"), Path("/cache/images"))
BINARIES = Binaries(Path("/bin/kubernetes"), Path("/bin/containerd"))
BUILDERS = (*components.CONTROL_PLANE, *components.AFTER_THE_API)


def test_every_path_of_containerd_but_the_kept_images_is_below_the_state_directory():
    parsed = tomllib.loads(configuration.containerd(CLUSTER, Path("/usr/lib/cni")))

    runtime = parsed["plugins"]["io.containerd.cri.v1.runtime"]
    runc = runtime["containerd"]["runtimes"]["runc"]["options"]["Root"]
    opt = parsed["plugins"]["io.containerd.internal.v1.opt"]["path"]
    paths = [parsed["state"], parsed["grpc"]["address"], runc, opt, runtime["cni"]["conf_dir"]]
    assert all(path.startswith("/state/cluster-2/") for path in paths)
    assert parsed["root"] == "/cache/images/containerd"


def test_pod_namespaces_are_kept_in_the_state_directory_so_that_down_finds_them():
    parsed = tomllib.loads(configuration.containerd(CLUSTER, Path("/usr/lib/cni")))

    assert parsed["plugins"]["io.containerd.cri.v1.runtime"]["netns_mounts_under_state_dir"] is True


def test_the_sandbox_image_is_the_one_that_is_imported():
    parsed = tomllib.loads(configuration.containerd(CLUSTER, Path("/usr/lib/cni")))

    pinned = parsed["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"]
    assert pinned == configuration.PAUSE_IMAGE


def test_the_kubelet_accepts_both_cgroup_versions_and_keeps_to_its_own_root():
    text = configuration.kubelet(CLUSTER)
    parsed = yaml.safe_load(text)

    assert not text.startswith("{")
    assert parsed["failCgroupV1"] is False
    assert parsed["cgroupRoot"] == f"/{CLUSTER.name}"


def test_a_changed_config_map_is_in_its_pods_within_seconds():
    assert yaml.safe_load(configuration.kubelet(CLUSTER))["syncFrequency"] == "4s"


def test_the_kubelet_never_collects_images_of_the_tests():
    assert yaml.safe_load(configuration.kubelet(CLUSTER))["imageGCHighThresholdPercent"] == 100


def test_the_pod_network_does_not_masquerade():
    parsed = json.loads(configuration.pod_network(CLUSTER))

    bridge = parsed["plugins"][0]
    assert parsed["name"] == CLUSTER.name
    assert "ipMasq" not in bridge
    assert bridge["ipam"]["ranges"] == [[{"subnet": "198.18.2.0/24"}]]


def test_a_kubeconfig_holds_its_keys():
    parsed = yaml.safe_load(configuration.kubeconfig(CLUSTER, b"authority", b"certificate", b"key"))

    assert parsed["clusters"][0]["cluster"]["server"] == CLUSTER.server
    assert base64.b64decode(parsed["users"][0]["user"]["client-key-data"]) == b"key"
    assert parsed["contexts"][0]["name"] == parsed["current-context"]


def test_components_have_distinct_names_and_absolute_programs():
    built = [build(CLUSTER, BINARIES) for build in BUILDERS]

    assert len({component.name for component in built}) == len(built)
    assert all(component.arguments[0].startswith("/bin/") for component in built)


def test_the_api_server_can_reach_kubelets_for_logs():
    arguments = components.api_server(CLUSTER, BINARIES).arguments

    assert "--kubelet-preferred-address-types=InternalIP" in arguments
    assert any(argument.startswith("--kubelet-client-certificate=") for argument in arguments)


def test_no_admission_plugin_is_switched_off():
    assert not any("admission" in argument for argument in components.api_server(CLUSTER, BINARIES).arguments)


def test_fake_pods_count_as_outside_the_pods_own_network():
    assert f"--cluster-cidr={CLUSTER.pod_network}" in components.proxy(CLUSTER, BINARIES).arguments


def test_the_api_servers_certificate_names_its_service_and_its_node():
    names = pki.server_names(CLUSTER)

    assert f"IP:{CLUSTER.api_service_address}" in names
    assert f"IP:{CLUSTER.node_address}" in names


def test_every_kubeconfig_that_a_component_reads_is_written():
    written = {f"{CLUSTER.state}/{identity.file}.kubeconfig" for identity in pki.identities(CLUSTER)}
    arguments = [argument for build in BUILDERS for argument in build(CLUSTER, BINARIES).arguments]
    read = {argument.partition("=")[2] for argument in arguments if argument.startswith("--kubeconfig=")}

    assert read <= written
