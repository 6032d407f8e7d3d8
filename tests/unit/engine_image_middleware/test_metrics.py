"""Metrics where several API server processes write them, as vLLM's do with --api-server-count."""

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

ROOT = Path(__file__).parents[3]
ONE_PROCESS = """
from batchedllm_engine.middleware.configuration import Configuration
from batchedllm_engine.middleware.cost import Cost
from batchedllm_engine.middleware.gate import Gate
from batchedllm_engine.middleware.metrics import AdmissionMetrics, Outcome
from batchedllm_engine.middleware.refusal import Reason

metrics, gate = AdmissionMetrics(), Gate(Configuration(), 0)
gate.offer("default", Cost(2, 10, 0), 0)
metrics.requested("default", Outcome.SERVED)
metrics.rejected("default", Reason.SHED)
metrics.left_queue("default", 0.5)
metrics.reloaded(valid=True)
metrics.show(gate, 100)
input()
"""


def test_the_values_of_several_processes_add_up(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "engine_image"), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", ONE_PROCESS + "\n"]
    two = [subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) for _ in range(2)]
    try:
        for one in two:
            one.communicate(b"\n", timeout=60)
            assert one.returncode == 0
    finally:
        for one in two:
            one.kill()
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))
    text = generate_latest(registry).decode()
    for line in (
        'requests_total{class="default",outcome="served"} 2.0',
        'rejections_total{class="default",reason="shed"} 2.0',
        'queue_seconds_count{class="default"} 2.0',
        'running_requests{class="default"} 4.0',
        "configuration_valid 1.0",
        "draining 0.0",
    ):
        assert f"batchedllm_engine:admission_{line}" in text
