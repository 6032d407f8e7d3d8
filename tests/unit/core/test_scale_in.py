"""Which pods are marked to go before replicas are removed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from batchedllm.core.manifests.pod_template import ANNOTATION_TEMPLATE
from batchedllm.core.readings import PodReading
from batchedllm.core.reconcile import reconcile
from batchedllm.core.scale_in import ANNOTATION, marks
from samples import DEFAULTS, NOW, gathered, load, pod, resource, stored


def replica(name: str, minute: int = 0, *, ready: bool = True, cost: str | None = None, **metadata):
    made = pod(name, ready=ready)
    made["metadata"] |= {"uid": f"uid-{name}", "creationTimestamp": f"2026-01-01T00:{minute:02}:00Z", **metadata}
    if cost is not None:
        made["metadata"]["annotations"] = {ANNOTATION: cost}
    return made


def reading(name: str, running: float | None, queued: float | None = 0.0) -> PodReading:
    return PodReading(name, 1000.0, queue_depth=queued, running=running)


def marked(pods, readings, left: int) -> dict[str, str]:
    found = marks(pods, readings, left)
    return {one["metadata"]["name"]: one["metadata"]["annotations"][ANNOTATION] for one in found}


def test_the_emptiest_goes_be_it_ever_so_old() -> None:
    pods = (replica("old", 1), replica("mid", 2), replica("new", 3))

    assert marked(pods, (reading("old", 0), reading("mid", 5), reading("new", 9)), 2) == {"old": "-1000"}


def test_what_waits_counts_as_what_runs() -> None:
    pods = (replica("a"), replica("b"))

    assert marked(pods, (reading("a", 1, 9), reading("b", 8, 0)), 1) == {"b": "-1000"}


def test_of_equally_empty_ones_the_youngest_goes() -> None:
    pods = (replica("old", 1), replica("new", 9), replica("mid", 5))

    assert marked(pods, [reading(one, 0) for one in ("old", "new", "mid")], 1) == {"new": "-1000", "mid": "-1000"}


def test_a_pod_whose_load_is_not_known_goes_last() -> None:
    pods = (replica("known"), replica("silent", 9), replica("half", 9))

    assert marked(pods, (reading("known", 50), reading("half", None)), 2) == {"known": "-1000"}


def test_pods_that_are_not_ready_go_by_themselves_and_count() -> None:
    pods = (replica("a"), replica("b"), replica("starting", ready=False))
    readings = (reading("a", 1), reading("b", 2))

    assert marked(pods, readings, 2) == {}
    assert marked(pods, readings, 1) == {"a": "-1000"}


def test_pods_on_their_way_out_do_not_count() -> None:
    leaving = replica("leaving", deletionTimestamp="2026-01-01T00:00:00Z")
    ended = replica("ended")
    ended["status"]["phase"] = "Failed"
    pods = (replica("a"), replica("b"), leaving, ended)

    assert marked(pods, (reading("a", 1), reading("b", 2)), 2) == {}


def test_a_mark_that_was_not_used_is_taken_back_and_one_that_is_right_is_not_written_again() -> None:
    pods = (replica("a", cost="-1000"), replica("b", cost="-1000"), replica("c", cost="7"))
    readings = (reading("a", 5), reading("b", 0), reading("c", 9))

    assert marked(pods, readings, 2) == {"a": "0"}


def test_a_patch_names_the_pod_by_its_uid_and_nothing_else_of_it() -> None:
    (patch,) = marks((replica("a"), replica("b", 1)), (), 1)

    assert patch == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "models", "name": "b", "uid": "uid-b", "annotations": {ANNOTATION: "-1000"}},
    }


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 50)), min_size=1, max_size=8), st.integers(0, 8))
def test_none_that_stays_is_emptier_than_one_that_goes(loads, left: int) -> None:
    pods = [replica(f"p{index}", index) for index in range(len(loads))]
    readings = [reading(f"p{index}", value) for index, value in enumerate(loads) if value is not None]
    going = {int(name[1:]) for name in marked(pods, readings, left)}
    staying = set(range(len(loads))) - going

    assert len(going) == max(0, len(loads) - left)
    full = [float("inf") if value is None else value for value in loads]
    assert max((full[index] for index in going), default=0) <= min(
        (full[index] for index in staying), default=float("inf")
    )


def scene(maximum: int, **more):
    cr = resource({"scaling": {"minReplicas": 1, "maxReplicas": 2}})
    children = tuple(stored(one) for one in reconcile(gathered(cr), DEFAULTS, NOW).apply)
    for child in children:
        if child["kind"] == "Deployment":
            child["spec"]["replicas"] = 2
    cr["spec"]["scaling"]["maxReplicas"] = maximum
    readings = (reading("a", 0), reading("b", 4))
    pods = (replica("a", 1), replica("b", 2))
    return gathered(cr, children=children, pods=pods, load=load(reporting_replicas=2, readings=readings, **more))


def test_a_reconciliation_marks_only_when_it_removes() -> None:
    assert [one["metadata"]["name"] for one in reconcile(scene(1), DEFAULTS, NOW).mark] == ["a"]
    assert reconcile(scene(2), DEFAULTS, NOW).mark == ()


def test_during_a_rollout_nothing_is_marked() -> None:
    look = scene(1)
    look.pods[0]["metadata"]["annotations"] = {ANNOTATION_TEMPLATE: "of another version"}

    assert reconcile(look, DEFAULTS, NOW).mark == ()
