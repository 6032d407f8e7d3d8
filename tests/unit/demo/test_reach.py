"""Where the demo's clients reach a model."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from demo import reach

SERVICE = {
    "metadata": {"name": "llama", "resourceVersion": "7"},
    "spec": {
        "clusterIP": "10.96.0.7",
        "selector": {"batchedllm.dev/name": "llama"},
        "ports": [{"name": "http", "port": 8000, "targetPort": "http", "protocol": "TCP"}],
    },
}


def test_the_same_pods_get_a_port_on_each_node():
    made = reach.from_outside(SERVICE)

    assert made["metadata"] == {"name": "llama-from-outside"}
    assert made["spec"]["selector"] == SERVICE["spec"]["selector"]
    assert made["spec"]["type"] == "NodePort"
    assert made["spec"]["ports"] == [{"name": "http", "port": 8000, "targetPort": "http"}]


def test_a_node_is_reached_at_its_own_address():
    made = {"spec": {"ports": [{"nodePort": 31234}]}}
    addresses = [{"type": "Hostname", "address": "node"}, {"type": "InternalIP", "address": "172.18.0.2"}]

    assert reach.at_nodes(made, [{"status": {"addresses": addresses}}, {"status": {}}]) == ["http://172.18.0.2:31234"]


@pytest.fixture
def server():
    told = {"status": 200, "body": b"{}"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(told["status"])
            self.end_headers()
            self.wfile.write(told["body"])

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}", told
        found.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "is_there"),
    [
        (200, json.dumps({"data": [{"id": "llama-8b"}]}), True),
        (200, json.dumps({"data": [{"id": "another"}]}), False),
        (200, "<html>a proxy's page</html>", False),
        (200, "[]", False),
        (404, "", False),
    ],
)
def test_only_an_engine_with_the_model_counts(server, status, body, is_there):
    url, told = server
    told.update(status=status, body=body.encode())

    assert reach.answers(url, "llama-8b") is is_there


def test_nobody_there_is_no_engine():
    assert not reach.answers("http://127.0.0.1:9", "llama-8b")
