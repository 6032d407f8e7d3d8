"""Where there is no plan at all: an open length is the engine's own `auto`, and the status shows what is known."""

import json
from pathlib import Path

import pytest

from batchedllm.core.memory.units import GIB
from batchedllm.core.planning.node_gpus import NodeGpu
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Defaults
from samples import DEFAULTS, NOW, gathered, load, pod, resource, stored

CONFIG = json.loads((Path(__file__).parents[3] / "data/model_configs/llama-3.1-8b.json").read_text())
CATALOGUE = Defaults(DEFAULTS.engine_image, {"org/llama": {"config": CONFIG, "weightsBytes": 16_060_522_496}})
AUTO = "--max-model-len=auto"

NO_GPU = {"model": {"id": "org/llama"}}
"""Nothing tells the GPU's memory."""
NO_MODEL = {"model": {"id": "org/private"}, "gpu": {"memory": "80Gi"}, "memory": {"inspection": "never"}}
OFF = {"gpu": {"memory": "80Gi"}, "memory": {"gate": "off"}}
BAD_DESCRIPTION = {
    "model": {"id": "org/private", "configMap": "missing"},
    "gpu": {"memory": "80Gi"},
    "memory": {"gate": "warn"},
}
WITHOUT_PLAN = [NO_GPU, NO_MODEL, OFF, BAD_DESCRIPTION]


def begun(spec, **rest):
    return reconcile(gathered(resource(spec), **rest), CATALOGUE, NOW)


def afterwards(first, spec, *, generation=1, **rest):
    """A look at what `first` made, which serves by now."""
    cr = resource(spec, generation=generation)
    cr["status"] = first.status
    children = tuple(stored(one) for one in first.apply)
    return reconcile(gathered(cr, children=children, pods=(pod("llama-1"),), load=load(), **rest), CATALOGUE, NOW)


def arguments(outcome):
    deployment = next(one for one in outcome.apply if one["kind"] == "Deployment")
    return deployment["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize("spec", WITHOUT_PLAN)
def test_the_engine_finds_the_length_and_the_status_says_why(spec):
    outcome = begun(spec)

    assert AUTO in arguments(outcome)
    (choice,) = outcome.status["plan"]["chosen"]
    assert (choice["setting"], choice["value"]) == ("batching.maxModelLen", "auto")
    assert "nothing is planned" in choice["reason"]
    assert outcome.status["plan"]["verdict"] == "Unknown"
    (condition,) = (one for one in outcome.status["conditions"] if one["type"] == "MemoryPlanned")
    assert outcome.status["plan"]["message"] == condition["message"]


@pytest.mark.parametrize("length", [4096, "auto"])
@pytest.mark.parametrize("spec", WITHOUT_PLAN)
def test_a_length_that_is_set_stays(spec, length):
    outcome = begun(spec | {"batching": {"maxModelLen": length}})

    assert f"--max-model-len={length}" in arguments(outcome)
    assert "chosen" not in outcome.status.get("plan", {})


def test_of_a_model_without_a_gpu_the_weights_are_shown():
    assert begun(NO_GPU).status["plan"]["bytes"] == {"weights": pytest.approx(14.96 * GIB, rel=0.005)}


def test_of_a_gpu_without_a_model_the_engines_share_is_shown():
    outcome = begun(NO_MODEL | {"memory": {"inspection": "never", "gpuUtilization": 0.5}})

    assert outcome.status["plan"]["bytes"] == {"total": 80 * GIB, "requested": 40 * GIB}


def test_but_no_share_where_the_cache_has_a_size_of_its_own():
    outcome = begun(NO_MODEL | {"memory": {"inspection": "never", "kvCacheMemory": "4Gi"}})

    assert outcome.status["plan"]["bytes"] == {"total": 80 * GIB}


def test_an_engine_on_the_cpu_gets_no_length():
    outcome = begun({"gpu": {"perReplica": 0}})

    assert not any(one.startswith("--max-model-len") for one in arguments(outcome))


@pytest.mark.parametrize(
    ("image", "knows"),
    [
        ("vllm/vllm-openai:v0.13.0", False),
        ("registry.example:5000/team/vllm-openai:0.11.2", False),
        ("vllm/vllm-openai:v0.14.0", True),
        ("vllm/vllm-openai:latest", True),
        ("registry.example/engine:0.1.0", True),
    ],
)
def test_an_engine_too_old_to_find_its_length_is_not_asked_to(image, knows):
    outcome = begun(NO_GPU | {"engine": {"image": image}})

    assert (AUTO in arguments(outcome)) is knows


def test_it_is_written_once():
    again = afterwards(begun(NO_GPU), NO_GPU)

    assert again.apply == ()
    assert again.status["plan"]["chosen"] == begun(NO_GPU).status["plan"]["chosen"]


def test_a_plan_that_can_be_made_later_restarts_nothing():
    later = afterwards(begun(NO_GPU), NO_GPU, node_gpus=(NodeGpu("a", "NVIDIA-H200", 143771),))

    assert later.apply == ()
    assert later.status["plan"]["verdict"] == "Fits"
    (choice,) = later.status["plan"]["chosen"]
    assert (choice["value"], "kept" in choice["reason"]) == ("auto", True)


def test_what_serves_with_the_models_own_length_is_not_restarted_when_the_plan_goes():
    big = {"gpu": {"memory": "80Gi"}}
    first = begun(big)
    assert AUTO not in arguments(first)

    later = afterwards(first, big | {"memory": {"gate": "off"}}, generation=2)

    assert [one["kind"] for one in later.apply if one["kind"] != "Deployment"] == []
    assert all(AUTO not in arguments(later) for one in later.apply)


def test_nothing_is_chosen_while_the_model_is_being_inspected():
    outcome = begun({"model": {"id": "org/private"}, "gpu": {"memory": "80Gi"}})

    assert [one["kind"] for one in outcome.apply] == ["Pod"]
    assert "plan" not in outcome.status
