"""GPU utilization of an engine that tells none: from the dcgm-exporter of its node, over the real pod network.

The exporter is a stand-in: a pod with the labels, the port and the text of NVIDIA's, made for the engine's pod by the
test. It leaves out what makes the numbers (DCGM, a GPU) and how the real one learns of pods (a socket of the kubelet),
so what it says of a pod is only as true as the test.
"""

import json
from typing import Any

import pytest

from cluster.conftest import Models, StartOperator, eventually
from cluster.test_operator_scaling import ENGINE, ready_pods, status

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

SERVE = """
import http.server, os
class Exporter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(os.environ["TEXT"].encode())
http.server.ThreadingHTTPServer(("", 9400), Exporter).serve_forever()
"""


def exporter(image: str, node: str, namespace: str, pod: str, percent: int) -> dict[str, Any]:
    """A pod on `node` that says how busy the GPU of `pod` is."""
    labels = f'gpu="0",device="nvidia0",Hostname="{node}",container="engine",namespace="{namespace}",pod="{pod}"'
    text = f"# TYPE DCGM_FI_DEV_GPU_UTIL gauge\nDCGM_FI_DEV_GPU_UTIL{{{labels}}} {percent}\n"
    container = {
        "name": "exporter",
        "image": image,
        "command": ["/opt/venv/bin/python", "-c", SERVE],
        "env": [{"name": "TEXT", "value": text}],
        "ports": [{"name": "metrics", "containerPort": 9400}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "dcgm-exporter", "labels": {"app.kubernetes.io/name": "dcgm-exporter"}},
        "spec": {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0},
    }


def test_a_stock_engines_gpu_is_read_from_its_nodes_exporter_and_unknown_without_it(
    start_operator: StartOperator, models: Models, sim_image: str
) -> None:
    operator = start_operator("--scrape-interval-seconds", "0.5", "--dcgm-exporter-namespace", models.namespace)
    operator.wait_until_leading()
    arguments = ["--sim-no-gpu-metrics"]
    models.apply("opt", engine={"image": sim_image, "arguments": arguments, **ENGINE}, scaling={"maxReplicas": 1})
    ((name, pod),) = eventually(lambda: ready_pods(models), seconds=90).items()

    def load() -> dict[str, Any]:
        return status(models).get("load") or {}

    eventually(lambda: load().get("gpuMetricsSource") == "none")
    assert "gpuUtilization" not in load()

    made = exporter(sim_image, pod["spec"]["nodeName"], models.namespace, name, 63)
    models.kubectl("apply", "-f", "-", stdin=json.dumps(made))

    eventually(lambda: load().get("gpuUtilization") == 63, seconds=120, what="the exporter's 63 % in the status")
    assert load()["gpuMetricsSource"] == "dcgm-exporter"
    assert "the nodes' dcgm-exporter" in models.condition("opt", "MetricsContract")["message"]
    assert operator.metric("batchedllm_operator_dcgm_exporter_scrapes_total", 'result="ok"') > 0

    models.kubectl("delete", "pod", "dcgm-exporter", "--wait=true")
    eventually(lambda: load().get("gpuMetricsSource") == "none", what="unknown again")
    assert "gpuUtilization" not in load()
