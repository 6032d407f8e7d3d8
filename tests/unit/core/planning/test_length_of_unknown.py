"""What an engine gets for its length where the plan does not know what fits: its own `auto`, and no other later."""

import json
from pathlib import Path

import pytest

from batchedllm.core.planning.node_gpus import NodeGpu
from batchedllm.core.reconcile import reconcile
from batchedllm.core.reconcile_types import Defaults
from samples import DEFAULTS, NOW, gathered, load, pod, resource, stored

CONFIG = json.loads((Path(__file__).parents[3] / "data/model_configs/llama-3.1-8b.json").read_text())
KNOWN = Defaults(DEFAULTS.engine_image, {"org/llama": {"config": CONFIG, "weightsBytes": 16_060_522_496}})
ODD = {**CONFIG, "layer_types": ["retention"] * CONFIG["num_hidden_layers"]}
UNKNOWN = Defaults(DEFAULTS.engine_image, {"org/llama": {"config": ODD, "weightsBytes": 16_060_522_496}})
"""Its layers are of a kind that nobody knows, so that its KV cache cannot be counted."""
GPU = {"gpu": {"memory": "24Gi"}}
AUTO = "--max-model-len=auto"


def arguments(outcome):
    deployment = next(one for one in outcome.apply if one["kind"] == "Deployment")
    return deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def chosen(outcome):
    return {one["setting"]: one["value"] for one in outcome.status["plan"].get("chosen", [])}


def afterwards(first, spec, defaults=KNOWN, *, generation=1, **rest):
    """A look at what `first` made, which serves by now."""
    cr = resource(spec, generation=generation)
    cr["status"] = first.status
    children = tuple(stored(one) for one in first.apply)
    return reconcile(gathered(cr, children=children, pods=(pod("llama-1"),), load=load(), **rest), defaults, NOW)


def begun(spec=GPU, defaults=UNKNOWN, **rest):
    return reconcile(gathered(resource(spec), **rest), defaults, NOW)


def touched(outcome):
    return [one["kind"] for one in outcome.apply]


def test_the_engine_finds_the_length_where_the_plan_does_not_know_and_the_status_says_why():
    outcome = begun()

    assert outcome.status["plan"]["verdict"] == "Unknown"
    assert outcome.status["plan"]["bytes"]["weights"] > 0, "the part that is known is shown"
    assert AUTO in arguments(outcome)
    (choice,) = outcome.status["plan"]["chosen"]
    assert (choice["setting"], choice["value"]) == ("batching.maxModelLen", "auto")
    assert "Unknown" in choice["reason"]


def test_a_goal_still_chooses_the_rest():
    outcome = begun(GPU | {"batching": {"goal": "latency"}})

    assert set(chosen(outcome)) == {"batching.maxModelLen", "batching.maxNumSeqs", "batching.maxNumBatchedTokens"}
    assert AUTO in arguments(outcome)
    assert afterwards(outcome, GPU | {"batching": {"goal": "latency"}}, UNKNOWN).apply == ()


@pytest.mark.parametrize("length", [4096, "auto"])
def test_a_length_that_is_set_stays(length):
    outcome = begun(GPU | {"batching": {"maxModelLen": length}})

    assert chosen(outcome) == {}
    assert f"--max-model-len={length}" in arguments(outcome)


def test_a_known_plan_leaves_the_models_own_length():
    outcome = begun({"gpu": {"memory": "80Gi"}}, KNOWN)

    assert outcome.status["plan"]["verdict"] == "Fits"
    assert not any(one.startswith("--max-model-len") for one in arguments(outcome))


def test_an_engine_on_the_cpu_gets_no_length():
    outcome = begun({"gpu": {"perReplica": 0}, "memory": {"kvCacheMemory": "1Gi"}})

    assert outcome.status["plan"]["verdict"] == "Unknown"
    assert not any(one.startswith("--max-model-len") for one in arguments(outcome))


def test_it_is_written_once():
    again = afterwards(begun(), GPU, UNKNOWN)

    assert (again.apply, chosen(again)) == ((), {"batching.maxModelLen": "auto"})


def test_a_plan_that_is_known_later_restarts_nothing():
    later = afterwards(begun(), GPU, KNOWN)

    assert touched(later) == []
    assert later.status["plan"]["verdict"] == "Fits"
    (choice,) = later.status["plan"]["chosen"]
    assert (choice["value"], "kept" in choice["reason"]) == ("auto", True)


def test_nor_does_a_change_of_the_spec_that_the_replicas_do_not_see():
    spec = GPU | {"slo": {"timeToFirstToken": "2s"}}
    later = afterwards(begun(), spec, KNOWN, generation=2)

    template = next(one for one in later.apply if one["kind"] == "Deployment")["spec"]["template"]
    assert template == next(one for one in begun().apply if one["kind"] == "Deployment")["spec"]["template"]


def test_a_change_that_restarts_the_replicas_anyway_is_planned_anew():
    spec = {"gpu": {"memory": "80Gi"}, "batching": {"maxNumSeqs": 64}}
    later = afterwards(begun(), spec, KNOWN, generation=2)

    assert chosen(later) == {}
    assert AUTO not in arguments(later)


def test_an_auto_that_the_user_takes_back_is_taken_back():
    big = {"gpu": {"memory": "80Gi"}}
    later = afterwards(begun(big | {"batching": {"maxModelLen": "auto"}}, KNOWN), big, KNOWN, generation=2)

    assert AUTO not in arguments(later)


def test_what_serves_with_the_models_own_length_is_not_restarted_when_the_plan_becomes_unknown():
    big = {"gpu": {"memory": "80Gi"}}
    later = afterwards(begun(big, KNOWN), big, UNKNOWN)

    assert later.status["plan"]["verdict"] == "Unknown"
    assert (touched(later), chosen(later)) == ([], {})


NODES = (NodeGpu("a", "NVIDIA-H200", 143771),)


@pytest.mark.parametrize("spec", [{}, {"batching": {"goal": "latency", "maxModelLen": "auto"}}])
def test_what_was_chosen_stays_while_the_nodes_that_told_of_their_gpus_are_away(spec):
    first = begun(spec, KNOWN if spec else UNKNOWN, node_gpus=NODES)
    away = afterwards(first, spec, UNKNOWN, node_gpus=())

    assert touched(away) == []
    assert chosen(away) == chosen(first)
    assert away.status["plan"]["verdict"] == "Unknown"
    assert set(away.status["plan"].get("bytes", {})) <= {"weights"}, "nothing of the GPU is known any more"


def test_but_not_against_a_change_of_the_spec():
    first = begun({"batching": {"goal": "latency"}}, KNOWN, node_gpus=NODES)
    later = afterwards(first, {}, KNOWN, generation=2, node_gpus=())

    assert not any(one.startswith("--max-num-seqs") for one in arguments(later))
