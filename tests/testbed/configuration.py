"""The configuration files of containerd, the pod network and the kubelet, as text."""

import base64
import json
from pathlib import Path
from string import Template
from typing import Any

from testbed.definition import ClusterDefinition

PAUSE_IMAGE = "registry.k8s.io/pause:3.10"

KEPT_FREE_PERCENT = 1
"""Share of the disk below which the kubelet takes no pod and evicts those that run."""

_CONTAINERD = Template("""\
version = 3
root = "$image_store/containerd"
state = "$state/containerd/state"

[grpc]
  address = "$socket"

# Everything that would otherwise land in /opt, /run or /var, where two clusters meet.
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/containerd/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "$pause"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["$network_plugins"]
    conf_dir = "$state/cni"
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      Root = "$state/containerd/runc"
      SystemdCgroup = false
""")

# Block style, because the kubelet parses a file that begins with a brace as JSON.
_KUBELET = Template("""\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# From 1.35 on the kubelet refuses cgroup v1 unless told so.
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$name
enforceNodeAllocatable: []
failSwapOn: false
containerRuntimeEndpoint: unix://$socket
authentication:
  anonymous:
    enabled: false
  x509:
    clientCAFile: $state/pki/ca.crt
authorization:
  mode: Webhook
# No name server: a look-up in a pod fails at once instead of after its time-out.
resolvConf: $state/resolv.conf
podLogsDir: $state/pod-logs
volumePluginDir: $state/volume-plugins
# A changed ConfigMap or Secret is in its pods after this and half of it; the default is a minute.
syncFrequency: 4s
# A developer's disk may be fuller than the defaults allow; images of the tests must stay all the same.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard:
  memory.available: 100Mi
  nodefs.available: $kept_free%
  imagefs.available: $kept_free%
""")


def containerd(cluster: ClusterDefinition, network_plugins: Path) -> str:
    """Return containerd's configuration: its images in the store that is kept, all else below the state directory."""
    return _CONTAINERD.substitute(
        state=cluster.state,
        image_store=cluster.image_store,
        socket=cluster.containerd_socket,
        pause=PAUSE_IMAGE,
        network_plugins=network_plugins,
    )


def kubelet(cluster: ClusterDefinition) -> str:
    """Return the kubelet's configuration: a root cgroup of its own, so that clusters do not mix."""
    return _KUBELET.substitute(
        name=cluster.name, socket=cluster.containerd_socket, state=cluster.state, kept_free=KEPT_FREE_PERCENT
    )


def pod_network(cluster: ClusterDefinition) -> str:
    """Return the CNI configuration: a bridge without masquerading, since no packet leaves the machine."""
    bridge = {
        "type": "bridge",
        "bridge": cluster.bridge,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(cluster.pod_network)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(cluster.state / "addresses"),
        },
    }
    return json.dumps({"cniVersion": "1.0.0", "name": cluster.name, "plugins": [bridge]}, indent=1)


def kubeconfig(cluster: ClusterDefinition, authority: bytes, certificate: bytes, key: bytes) -> str:
    """Return a kubeconfig with the keys inside, so that the one file is all that a client needs."""

    def embedded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster.name,
        "clusters": [
            {
                "name": cluster.name,
                "cluster": {"server": cluster.server, "certificate-authority-data": embedded(authority)},
            }
        ],
        "users": [
            {
                "name": cluster.name,
                "user": {
                    "client-certificate-data": embedded(certificate),
                    "client-key-data": embedded(key),
                },
            }
        ],
        "contexts": [{"name": cluster.name, "context": {"cluster": cluster.name, "user": cluster.name}}],
    }
    return json.dumps(document, indent=1)
