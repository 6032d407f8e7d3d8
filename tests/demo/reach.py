"""Where a client on this machine reaches a model: at its Service, or at a port of a node where that is not routed here.

On the embedded cluster a Service's address is this machine's own. A node of kind is a container: from outside only its
own address leads in, so a second Service, of the demo's, opens a port there.
"""

import contextlib
import json
import time
import urllib.request
from typing import Any

from testbed.cluster import Cluster
from testbed.errors import TestbedError

SUFFIX = "-from-outside"
_SECONDS, _TRIES = 3.0, 5
Json = dict[str, Any]


def address(cluster: Cluster, namespace: str, service: str, model: str) -> str:
    """Return the URL at which the model answers. Raises TestbedError where none does."""
    found = json.loads(cluster.kubectl("get", "service", service, "-n", namespace, "-o", "json"))
    own = f"http://{found['spec']['clusterIP']}:{found['spec']['ports'][0]['port']}"
    if answers(own, model):
        return own
    urls = [own, *_opened(cluster, namespace, found)]
    for _ in range(_TRIES):  # kube-proxy opens a port a moment after it was asked for
        for url in urls:
            if answers(url, model):
                return url
        time.sleep(1)
    raise TestbedError(
        f"{model} is ready, but this machine reaches it neither at {' nor at '.join(urls)}. Run the demo on a machine "
        f"that the cluster's nodes are reachable from"
    )


def _opened(cluster: Cluster, namespace: str, service: Json) -> list[str]:
    """Open a port for the pods of a Service on each node, and return the URLs."""
    made = cluster.kubectl("apply", "-n", namespace, "-f", "-", "-o", "json", stdin=json.dumps(from_outside(service)))
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    return at_nodes(json.loads(made), nodes)


def from_outside(service: Json) -> Json:
    """Return a Service of the same pods with a port on each node."""
    port = service["spec"]["ports"][0]
    kept = {name: port[name] for name in ("name", "port", "targetPort") if name in port}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{service['metadata']['name']}{SUFFIX}"},
        "spec": {"type": "NodePort", "selector": service["spec"]["selector"], "ports": [kept]},
    }


def at_nodes(service: Json, nodes: list[Json]) -> list[str]:
    """Return the URLs of a Service's port on the nodes."""
    port = service["spec"]["ports"][0]["nodePort"]
    addresses = [one for node in nodes for one in node["status"].get("addresses", [])]
    return [f"http://{one['address']}:{port}" for one in addresses if one["type"] == "InternalIP"]


def answers(url: str, model: str) -> bool:
    """Whether an engine that serves the model answers there: whatever else may listen at an address does not count."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (
        contextlib.suppress(OSError, ValueError, KeyError, TypeError),
        opener.open(f"{url}/v1/models", timeout=_SECONDS) as answer,
    ):
        return model in {one["id"] for one in json.loads(answer.read())["data"]}
    return False
