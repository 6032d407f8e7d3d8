"""Rules that changed between versions of the engine."""

from dataclasses import replace

import pytest

from batchedllm.core.memory.engine_versions import RULES, Runner, fits_its_length, rules_for, runner_of, takes_graphs
from batchedllm.core.memory.model import Experts, StateSpace
from memory_models import model

OLD, NEW = RULES


@pytest.mark.parametrize(
    ("version", "rules"), [(None, NEW), ("0.26.0", OLD), ("v0.26.3", OLD), ("0.32.0+cpu", NEW), ("0.32.1", NEW)]
)
def test_known_versions_have_no_note(version, rules):
    assert rules_for(version) == (rules, None)


@pytest.mark.parametrize("version", ["0.30.0", "1.0", "nightly", ""])
def test_other_versions_use_the_newest_and_say_so(version):
    rules, note = rules_for(version)
    assert rules is NEW
    assert NEW.version in note


def test_the_older_version_runs_most_mixtures_and_states_on_its_first_runner():
    mixture = replace(model(), experts=Experts(8, 2, 1024))
    assert runner_of(model(), OLD) is Runner.SECOND
    assert runner_of(mixture, OLD) is Runner.FIRST
    assert runner_of(replace(mixture, model_type="deepseek_v2"), OLD) is Runner.SECOND
    assert runner_of(model(caches=[StateSpace("mamba", ())]), OLD) is Runner.FIRST
    assert runner_of(mixture, NEW) is Runner.SECOND


def test_the_first_runner_always_takes_its_graphs_off_the_cache():
    assert takes_graphs(Runner.FIRST, OLD)
    assert not takes_graphs(Runner.SECOND, OLD)
    assert takes_graphs(Runner.SECOND, NEW)


@pytest.mark.parametrize(
    ("version", "knows"),
    [(None, True), ("0.13.2", False), ("v0.14.0", True), ("0.32.0+cpu", True), ("1.0", True), ("nightly", True)],
)
def test_engines_find_the_length_that_fits_since_0_14_and_unknown_ones_are_held_to_be_new(version, knows):
    assert fits_its_length(version) is knows
