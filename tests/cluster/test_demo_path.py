"""The demo's way, small: Helm, the example, one request, a burst that scales, the chart."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.cluster
@pytest.mark.alone
@pytest.mark.slow
def test_the_demo_serves_a_burst_scales_and_draws_it(cluster, tmp_path):
    command = [sys.executable, "-m", "demo", "--engine=sim", "--seconds=20", "--calm-seconds=5", f"--output={tmp_path}"]
    try:
        done = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "failed: 0" in done.stdout
        assert (tmp_path / "run.png").exists()
        assert "<td>1 → " in (tmp_path / "run.html").read_text(), (
            "the decision that scaled it, whatever signal led to it"
        )
    finally:
        cluster.kubectl("delete", "namespace", "demo", "--ignore-not-found", "--timeout=120s")
        cluster.helm("uninstall", "batchedllm", "--namespace", "batchedllm-system", "--ignore-not-found")
