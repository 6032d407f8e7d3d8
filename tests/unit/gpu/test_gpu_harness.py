"""The harness: what it adds to pods, how it keeps its time and its results."""

import json

import pytest

from gpu import budget, host, meter, overlay, results, run, scene, traffic
from gpu.cases import plan_actual, tensor_parallel
from gpu.meter import Seen
from gpu.overlay import Overlay
from gpu.results import Check, Result
from gpu.traffic import Outcome

ADDED = Overlay(mounts=("/usr", "/opt"), folders={"/batchedllm/site": "/srv/site"}, environment={"A": 'say "b"'})


def policy():
    found = overlay.manifests(ADDED, "gpu")
    return {one["kind"]: one for one in found}


def test_the_policy_is_bound_to_the_harnesss_own_namespace_and_to_pods_alone():
    spec = policy()["MutatingAdmissionPolicy"]["spec"]

    selector = {"matchLabels": {"kubernetes.io/metadata.name": "gpu"}}
    assert spec["matchConstraints"]["namespaceSelector"] == selector
    assert policy()["MutatingAdmissionPolicyBinding"]["spec"]["matchResources"]["namespaceSelector"] == selector
    assert spec["matchConstraints"]["resourceRules"][0]["resources"] == ["pods"]
    assert spec["failurePolicy"] == "Fail", "a pod without the host's programs would fail in a worse way"


def test_every_mount_has_its_volume_and_only_engines_are_privileged():
    text = overlay.expression(ADDED)

    for path in ("/usr", "/opt"):
        assert f'mountPath: "{path}", readOnly: true' in text
        assert f'hostPath{{path: "{path}"}}' in text
    assert 'mountPath: "/batchedllm/site"' in text
    assert 'hostPath{path: "/srv/site"}' in text
    assert 'privileged: one.name == "engine"' in text
    assert 'value: "say \\"b\\""' in text


def test_a_path_below_another_is_mounted_once(tmp_path):
    (tmp_path / "inner").mkdir()

    assert overlay.existing((str(tmp_path / "inner"), str(tmp_path), "/no/such/path")) == (str(tmp_path),)


def test_the_gpu_is_labelled_as_feature_discovery_does():
    found = host.gpu_of("NVIDIA H100 80GB HBM3, 81559, 580.159.04")

    assert (found.product, found.memory_mebibytes, found.driver) == ("NVIDIA-H100-80GB-HBM3", 81559, "580.159.04")


def test_every_wait_takes_from_the_budget_and_ends_with_it():
    now = [0.0]
    left = budget.Budget(100, clock=lambda: now[0])

    assert left.bounded(30, "a start") == 30
    now[0] = 90
    assert left.bounded(30, "a start") == 10
    now[0] = 101
    with pytest.raises(budget.OutOfTimeError, match="a start"):
        left.bounded(30, "a start")


def test_a_case_that_cannot_end_or_lacks_a_gpu_is_not_begun():
    assert "59 s are left" in run.obstacle(plan_actual, 59, 1)
    assert "needs 2 GPUs, this host has 1" in run.obstacle(tensor_parallel, 600, 1)
    assert not run.obstacle(plan_actual, 600, 1)
    assert not run.obstacle(tensor_parallel, 600, 2)
    assert not run.obstacle(tensor_parallel, 600, None)


def result(name, **given):
    return Result(name, "2026-01-01T00:00:00+00:00", 1.0, {"gpu": None}, **given)


def test_a_result_is_read_as_it_was_written_but_for_digits_that_say_nothing(tmp_path):
    results.write(tmp_path, result("one", measured={"a": [1.23456789, 7]}, checks=[Check("a", 1, "1", holds=True)]))

    found = results.read(tmp_path)["one"]

    assert found["measured"] == {"a": [1.2346, 7]}
    assert found["passed"] is True
    assert json.loads((tmp_path / "one.json").read_text()) == found


def test_a_case_passes_only_if_it_ran_to_its_end_and_every_check_holds():
    holds, fails = Check("a", 1, "1", holds=True), Check("b", 2, "1", holds=False)

    assert result("x", checks=[holds]).passed
    assert not result("x", checks=[holds, fails]).passed
    assert not result("x", checks=[]).passed
    assert not result("x", checks=[holds], error="broke off").passed


def test_a_run_is_taken_up_where_it_ended_and_failed_checks_are_results_too(tmp_path):
    results.write(tmp_path, result("done", checks=[Check("a", 1, "1", holds=False)]))
    results.write(tmp_path, result("broken", error="no time"))

    done = results.read(tmp_path)

    assert results.to_run(["done", "broken", "new"], done, again=False) == ["broken", "new"]
    assert results.to_run(["done"], done, again=True) == ["done"]


def test_the_utilization_is_compared_over_looks_that_have_both_sides():
    seen = [Seen(1, 90, 400, 80), Seen(2, 100, 400, None), Seen(3, 70, 400, 80)]

    assert meter.means(seen) == {"smiPercent": 80, "scrapedPercent": 80, "looks": 2}
    assert meter.means([])["looks"] == 0


def test_an_engines_metrics_are_read_by_name_and_label():
    text = 'a:seconds{phase="load"} 2.5\na:seconds{phase="total"} 9\na:seconds_more 1\nb{gpu="0"} 97.0\n'

    assert scene.labelled(text, "a:seconds", "phase") == {"load": 2.5, "total": 9.0}
    assert scene.sample(text, "b") == 97.0
    assert scene.sample(text, "c") is None


def test_requests_of_a_steady_rate_come_at_that_rate_and_the_same_each_time():
    planned = traffic.steady(10, 100, (5, 6), "high", seed=1)

    assert len(planned) == pytest.approx(1000, rel=0.15)
    assert planned == traffic.steady(10, 100, (5, 6), "high", seed=1)
    assert all(0 <= one.at_seconds < 100 for one in planned)


def test_what_is_turned_away_in_order_is_no_failure_and_a_cut_stream_is():
    turned_away = Outcome(0, "", None, 0.1, 0, 429, "2")
    cut = Outcome(0, "", 0.1, 0.1, 3, 200, error="the stream ended before its answer did")

    assert turned_away.shed
    assert not turned_away.served
    assert not cut.served
    assert not cut.shed
