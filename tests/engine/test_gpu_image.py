"""The image for GPUs, built on a stand-in for the official vLLM image: our own for the CPU, a real vLLM.

What that leaves out is CUDA and the official image's own files. The image's user, what is added to vLLM, the entry
point and the bill of materials are those of the Dockerfile.
"""

import json
from pathlib import Path

import pytest
import requests
import yaml

from batchedllm.cli.render import rendered
from engine_contract import breaches, series
from testbed import images

ROOT = Path(__file__).parents[2]
BILL = "/usr/share/sbom/image.cdx.json"

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("engine"),
]


@pytest.fixture
def image(cluster, tmp_path):
    """The image, loaded; its archive is as large as the stand-in's, and gone at once."""
    archive = tmp_path / "engine-gpu-on-stand-in.tar"
    built = images.build_on("engine-gpu", "VLLM_IMAGE", images.ensure_image("engine-cpu"), archive)
    cluster.load_archive(archive, built.reference)
    archive.unlink()
    return built.reference


def test_the_image_for_gpus_serves_as_its_user_with_what_we_add(cluster, namespace, image):
    resource = yaml.safe_load((ROOT / "examples/cpu.yaml").read_text())
    resource["spec"]["engine"]["image"] = image
    children = [one for one in rendered(resource, namespace, "unused") if one["kind"] != "PodDisruptionBudget"]
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(children))
    wait = ("rollout", "status", "deployment/tiny", "--timeout=600s")
    cluster.kubectl(*wait, "-n", namespace, timeout_seconds=620)
    service = cluster.kubectl("get", "service", "tiny", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    address = f"http://{service}:8000"

    body = {"model": "/models/tiny", "prompt": "one two", "max_tokens": 4}
    answer = requests.post(f"{address}/v1/completions", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    exposed = requests.get(f"{address}/metrics", timeout=30).text
    assert breaches(exposed) == []
    assert series(exposed, "batchedllm_engine:step_tokens_sum", phase="decode") > 0

    def inside(*command: str) -> str:
        return cluster.kubectl("exec", "-n", namespace, "deployment/tiny", "--", *command)

    assert inside("id", "-un").strip() == "engine"
    bill = json.loads(inside("cat", BILL))
    assert bill["metadata"]["component"]["version"].endswith("-gpu")
    assert any(one["name"].startswith("vllm") for one in bill["components"])
