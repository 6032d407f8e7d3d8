"""What the judge runs, what it concludes from it, and that it goes on where it was stopped."""

from dataclasses import replace

import pytest

from batchedllm.sim.fleet.autoscaler import Seen
from batchedllm.sim.policies.registry import knob_of
from bench.scaling import plan
from bench.scaling.cases import World
from bench.scaling.report import Told, as_good_for_no_more, sections, table
from bench.scaling.results import Results, _without_words
from bench.scaling.tasks import OWN, VARIANTS, Task, own

CELL = World("code x8")
SCOPE = plan.Scope(("code x8",), (120,), 2, ("keda-waiting",))


def _figures(attainment, hours):
    values = {"p50": 0.1, "p99": 1.0}
    return {"A": attainment, "replicaHours": hours, "flapsPerHour": 2.0, "ttft": values, "itl": values}


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results.jsonl")


def _tuned(results, *pairs):
    for value, (attainment, hours) in zip(knob_of("keda-waiting").grid, pairs, strict=True):
        results.add(Task(replace(CELL, window="first"), "keda-waiting", value), _figures(attainment, hours))


def test_what_was_run_is_known_to_the_next_judge_even_if_the_last_line_was_cut_off(results, tmp_path):
    task = Task(CELL, OWN)
    results.add(task, _figures(0.9, 1.0))
    with (tmp_path / "results.jsonl").open("a") as lines:
        lines.write('{"key": "cut o')
    again = Results(tmp_path / "results.jsonl")
    assert again.get(task)["A"] == 0.9
    other = replace(task, world=replace(CELL, seed=2))
    assert again.get(other) is None
    again.add(other, _figures(0.8, 1.0))
    assert Results(tmp_path / "results.jsonl").get(other)["A"] == 0.8


def test_a_changed_policy_is_another_run(results, monkeypatch):
    results.add(Task(CELL, OWN), _figures(0.9, 1.0))
    results.add(Task(CELL, "keda-waiting", 5), _figures(0.8, 1.0))
    monkeypatch.setattr("bench.scaling.results.state_of_code", lambda policy: "changed" if policy == OWN else policy)
    assert results.get(Task(CELL, OWN)) is None


def test_other_words_are_the_same_run_and_other_code_is_not():
    plain = _without_words("def f():\n    return 1\n")
    assert _without_words('"""What."""\n\ndef f():  # why\n    """How."""\n    return 1\n') == plain
    assert _without_words("def f():\n    return 2\n") != plain


def test_the_best_knob_is_the_cheapest_that_does_else_the_one_that_serves_most(results):
    assert plan.best_knob(results, CELL, "keda-waiting") is None
    _tuned(results, (0.99, 9.0), (0.96, 5.0), (0.95, 6.0), (0.90, 1.0), (0.5, 0.5))
    grid = knob_of("keda-waiting").grid
    assert plan.best_knob(results, CELL, "keda-waiting") == grid[1]
    assert plan.best_knob(results, CELL, "keda-waiting", 2.0) == grid[3]
    assert plan.best_knob(results, CELL, "keda-waiting", 0.1) == grid[4]
    _tuned(results, (0.80, 9.0), (0.93, 5.0), (0.92, 1.0), (0.90, 1.0), (0.5, 0.5))
    assert plan.best_knob(results, CELL, "keda-waiting") == grid[1]


def test_every_seed_is_scored_with_what_the_first_one_was_tuned_to(results):
    _tuned(results, (0.99, 9.0), (0.96, 5.0), (0.95, 6.0), (0.90, 1.0), (0.5, 0.5))
    results.add(Task(replace(CELL, window="first"), OWN), _figures(0.96, 2.0))
    tasks = plan.scoring(SCOPE, results)
    grid = knob_of("keda-waiting").grid
    tuned = [(task.world.seed, task.knob) for task in tasks if task.policy == "keda-waiting"]
    assert {(seed, knob) for seed in (1, 2) for knob in (grid[1], grid[3], 5)} == set(tuned)
    assert {task.world.window for task in tasks} == {"second"}


def test_the_smallest_fixed_fleet_is_searched_for(results):
    runs = 0
    while (missing := plan.smallest_fixed(results, CELL)[1]) is not None:
        replicas, runs = int(missing.policy.removeprefix("static:")), runs + 1
        results.add(missing, _figures(0.96 if replicas >= 13 else 0.94, replicas))
    assert (plan.smallest_fixed(results, CELL)[0], runs) == (13, 6)


@pytest.mark.parametrize(
    ("figures", "floor"),
    [
        ({0: (0.90, 9.0), 9: (0.96, 11.0), 13: (0.99, 11.5), 16: (0.999, 20.0)}, 9),
        ({0: (0.90, 9.0), 9: (0.92, 11.0), 13: (0.94, 11.5), 16: (0.96, 20.0)}, 13),
        ({0: (0.90, 29.0), 9: (0.92, 21.0), 13: (0.94, 31.5), 16: (0.96, 20.0)}, 16),
    ],
    ids=["enough for what is aimed at", "the most for what is aimed at", "the cheapest where all are dear"],
)
def test_what_is_reachable_is_told_for_the_cost_that_is_aimed_at(results, figures, floor):
    while (missing := plan.smallest_fixed(results, CELL)[1]) is not None:
        results.add(missing, _figures(0.96 if int(missing.policy.removeprefix("static:")) >= 13 else 0.94, 50.0))
    assert plan.best_reachable(results, CELL) is None
    for task in plan.reaching(SCOPE, results):
        asked = 0 if task.reactive is None else task.reactive.floor
        results.add(task, _figures(*figures.get(asked, (0.5, 40.0)) if task.reactive else (0.99, 8.0)))
    assert plan.best_reachable(results, CELL).reactive.floor == floor


def test_costs_are_told_as_shares_of_the_clairvoyants(results):
    for seed, hours in ((1, 2.0), (2, 4.0)):
        world = replace(CELL, seed=seed)
        results.add(Task(world, "clairvoyant"), _figures(0.99, 2.0))
        results.add(Task(replace(world, scrape_loss=0.2), OWN), _figures(0.9 + seed / 100, hours))
    told = Told(SCOPE, results, Task(replace(CELL, scrape_loss=0.2), OWN))
    assert (told.attainment, told.lowest, told.cost, told.both) == ("0.915", "0.910", "1.50", "0.915 / 1.50")


def test_no_policy_that_serves_enough_costs_less_than_the_clairvoyant(results):
    results.add(Task(CELL, "keda-waiting", 5), _figures(0.99, 1.5))
    results.add(Task(CELL, "keda-waiting", 1), _figures(0.98, 1.0))
    assert results.cheapest_hours(CELL) is None
    results.add(Task(CELL, "clairvoyant"), _figures(0.99, 2.0))
    assert results.cheapest_hours(CELL) == 1.5
    results.add(Task(replace(CELL, startup_seconds=240), "clairvoyant"), _figures(0.99, 1.4))
    results.add(Task(replace(CELL, startup_seconds=60), "clairvoyant"), _figures(0.99, 1.3))
    assert results.cheapest_hours(CELL) == 1.4
    assert Told(SCOPE, results, Task(CELL, "keda-waiting", 5)).cost == "1.07"


@pytest.mark.parametrize(
    ("figures", "is_named"),
    [((0.96, 2.0), True), ((0.97, 1.0), True), ((0.97, 2.1), False), ((0.95, 1.0), False)],
    ids=["as good for as much", "better for less", "better for more", "worse for less"],
)
def test_whoever_is_as_good_as_ours_for_no_more_is_named(results, figures, is_named):
    _tuned(results, (0.99, 9.0), (0.96, 5.0), (0.95, 6.0), (0.90, 1.0), (0.5, 0.5))
    for seed in (1, 2):
        world = replace(CELL, seed=seed)
        results.add(Task(world, OWN), _figures(0.96, 2.0))
        results.add(Task(world, "keda-waiting", knob_of("keda-waiting").grid[1]), _figures(*figures))

    told = as_good_for_no_more(SCOPE, results)

    assert "of 1 comparisons" in told
    assert ("| code x8 | 120 | keda-waiting |" in told) is is_named
    assert told.endswith("none.") is not is_named


@pytest.mark.parametrize("variant", ["", *VARIANTS])
def test_ours_can_be_run_as_it_is_and_with_something_taken_away(variant):
    assert own(CELL, variant, 30_000.0).want(Seen(0.0, 2, (), ())) == 2
    assert [task for task in plan.studies(SCOPE) if task.policy == OWN + variant]


def test_tables_of_nothing_are_dashes(results):
    text = "\n".join(sections(SCOPE, results))
    assert "| code x8 | 120 | - | - | - | - | - | - | - | - | - |" in text
    assert "| keda-waiting | - | waiting per replica | 5 | - | - | - | - | - |" in text
    assert table(("a", "b"), [("c", "d")]) == "| a | b |\n| --- | ---: |\n| c | d |"
