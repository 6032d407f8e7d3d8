"""What `down` ends and removes, derived from the kernel's own tables."""

import json
import socket
from pathlib import Path

import pytest

from testbed import control_groups, leftovers, network
from testbed.definition import ClusterDefinition
from testbed.errors import TestbedError

CLUSTER = ClusterDefinition(1, Path("/state/cluster-1"), Path("/cache/images"))
MOUNTS = """\
overlay /state/cluster-1/run/rootfs overlay rw,relatime 0 0
tmpfs /state/cluster-1/run tmpfs rw 0 0
tmpfs /state/cluster-10/run tmpfs rw 0 0
tmpfs /state/cluster-1/with\\040space tmpfs rw 0 0
/dev/vda / ext4 rw 0 0
"""


def test_mounts_come_deepest_first_and_only_ours():
    assert leftovers.mounts_below(MOUNTS, CLUSTER.state) == [
        "/state/cluster-1/with space",
        "/state/cluster-1/run/rootfs",
        "/state/cluster-1/run",
    ]


@pytest.mark.parametrize(
    ("bootstrap", "expected"),
    [
        ('{"version":3,"address":"unix:///run/containerd/s/abc","protocol":"ttrpc"}', Path("/run/containerd/s/abc")),
        ('{"address":"unix:///etc/passwd"}', None),
        ("half a fi", None),
        ("[]", None),
    ],
)
def test_a_shims_socket_is_read_from_its_bootstrap_and_from_nowhere_else(bootstrap, expected):
    assert leftovers.shim_socket(bootstrap) == expected


def test_a_kubelets_socket_goes_only_when_nobody_listens(tmp_path, monkeypatch):
    """From within its folder: a socket's whole path may have 107 characters, and a test's own folder takes most."""
    monkeypatch.chdir(tmp_path)
    directory = Path("kubelet/device-plugins")
    directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "kubelet.sock"))
        listener.listen()
        leftovers.remove_dead_kubelet_socket(directory)
        assert (directory / "kubelet.sock").exists()

    leftovers.remove_dead_kubelet_socket(directory)

    assert not directory.parent.exists()


def test_the_state_directory_is_deleted_when_nothing_is_mounted(tmp_path):
    cluster = ClusterDefinition(7, tmp_path / "cluster-7", tmp_path / "images")
    (cluster.state / "deep/er").mkdir(parents=True)

    leftovers.remove_files(cluster)

    assert not cluster.state.exists()


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("4:memory:/bllm-testbed-1/system\n", True),
        ("0::/bllm-testbed-1/kubepods/pod1/abc\n", True),
        ("0::/bllm-testbed-1\n", True),
        ("0::/bllm-testbed-10/system\n", False),
        ("4:memory:/user.slice\n0::/\n", False),
        ("", False),
    ],
)
def test_a_process_belongs_by_its_cgroup(groups, expected):
    assert control_groups.belongs(groups, CLUSTER.name) is expected


def test_hierarchies_of_both_versions_are_found():
    mounts = (
        "cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0\n"
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n"
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
    )

    first, second = control_groups.hierarchies(mounts)

    assert (first.controllers, first.unified) == ({"cpuset"}, False)
    assert (second.mount, second.unified) == (Path("/sys/fs/cgroup/unified"), True)


def test_every_controller_of_a_v2_machine_that_the_kubelet_checks_is_delegated(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma\n")

    control_groups._delegate(tmp_path)

    enabled = (tmp_path / "cgroup.subtree_control").read_text().split()
    assert {"+cpu", "+cpuset", "+hugetlb", "+memory", "+pids"} <= set(enabled)
    assert "+rdma" not in enabled


def test_the_namespace_gets_no_default_route():
    routes = [command for command in network.commands(CLUSTER) if "route" in command]

    assert routes
    assert not any("default" in command or "0.0.0.0/0" in command for command in routes)


def test_the_fake_pods_range_is_local_to_the_namespace():
    local = [command for command in network.commands(CLUSTER) if "local" in command]

    assert local == [["ip", "-netns", CLUSTER.name, "route", "add", "local", "198.18.144.0/20", "dev", "lo"]]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([{"dst": "default", "dev": "eth0"}], ""),
        ([{"dst": "198.18.1.0/24", "dev": CLUSTER.host_link}], ""),
        ([{"dst": "198.18.0.0/24", "dev": "bllm-host-0"}], ""),
        ([{"dst": "198.18.0.0/15", "dev": "tun0"}], "198.18.0.0/15 dev tun0"),
        ([{"dst": "198.18.1.7", "dev": "wg0"}], "198.18.1.7 dev wg0"),
    ],
)
def test_another_programs_route_over_our_addresses_is_found(routes, expected):
    assert network.foreign_route(json.dumps(routes), CLUSTER) == expected


def test_no_cgroup_file_system_is_an_error_with_advice(monkeypatch):
    monkeypatch.setattr(control_groups, "hierarchies", lambda _: [])

    with pytest.raises(TestbedError, match="mount /sys/fs/cgroup"):
        control_groups.mounted()
