"""How `status.plan` tells a plan: each term, how sure it is, and by how much it may be off."""

from dataclasses import replace

import pytest

from batchedllm.api.plan_status import Plan as PlanStatus
from batchedllm.core.memory.model import WeightFacts
from batchedllm.core.memory.plan import plan
from batchedllm.core.memory.units import GIB
from batchedllm.core.planning.report import plan_status
from memory_models import model, question

TERMS = {"weights", "persistent", "activation", "cudaGraphs", "nonTorch", "kvCache", "headroom"}


def told(asked):
    status = plan_status(plan(asked), ())
    PlanStatus.model_validate(status)
    return status


def test_each_term_says_how_sure_it_is_and_by_how_much_it_may_be_off():
    status = told(question(max_model_len=8192))

    assert set(status["certainty"]) == set(status["errorBytes"]) == TERMS
    assert (status["certainty"]["weights"], status["errorBytes"]["weights"]) == ("exact", 0)
    assert (status["certainty"]["activation"], status["certainty"]["cudaGraphs"]) == ("calibrated", "estimated")
    assert 0 < status["errorBytes"]["activation"] < status["bytes"]["activation"]


@pytest.mark.parametrize(("version", "graphs_inside"), [("0.26.0", False), ("0.32.0", True)])
def test_the_cache_is_as_sure_as_what_it_is_left_by(version, graphs_inside):
    status = told(question(max_model_len=8192, engine_version=version))

    errors = status["errorBytes"]
    inside = ["weights", "activation", "nonTorch", *(("cudaGraphs", "persistent") if graphs_inside else ())]
    assert errors["kvCache"] == sum(errors[term] for term in inside)
    assert status["certainty"]["kvCache"] == ("estimated" if graphs_inside else "calibrated")


def test_of_a_cache_whose_size_is_given_the_doubt_is_beside_it():
    status = told(question(max_model_len=8192, kv_cache_memory=8 * GIB))
    share = told(question(max_model_len=8192))

    assert (status["certainty"]["kvCache"], status["errorBytes"]["kvCache"]) == ("exact", 0)
    assert status["errorBytes"]["headroom"] == share["errorBytes"]["headroom"] + share["errorBytes"]["kvCache"]


def test_what_nothing_is_known_of_has_no_bound():
    uncounted = replace(model(), parameters=(), uncounted=("a tower",))

    status = told(replace(question(uncounted, max_model_len=8192), weights=WeightFacts()))

    assert status["verdict"] == "Unknown"
    assert status["certainty"]["weights"] == status["certainty"]["kvCache"] == "unknown"
    assert {"weights", "kvCache"}.isdisjoint(status["errorBytes"])
    assert status["errorBytes"]["nonTorch"] > 0
