"""What an inspection found is kept for the digest that its image's name stood for, and shared within a namespace."""

import json
from pathlib import Path

import pytest

from batchedllm.api.conditions import Reason
from batchedllm.api.resource import parse
from batchedllm.core.planning.model_facts import NoFacts
from batchedllm.core.planning.model_search import search
from samples import DEFAULTS, NOW, gathered, pod, resource

CONFIG = json.loads((Path(__file__).parents[3] / "data/model_configs/llama-3.1-8b.json").read_text())
SPEC = {"model": {"id": "org/private"}}
OLD, NEW, OTHER = (f"registry.example/engine@sha256:{digit * 64}" for digit in "123")


def document(weight_bytes=16_060_522_496):
    stage = {"weightBytes": weight_bytes, "bufferBytes": 0, "preparedBytes": None}
    settings = {"tensorParallelSize": 1}
    return {"version": 1, "engineVersion": "0.32.0", "settings": settings, "config": CONFIG, "stages": [stage]}


def searched(spec=SPEC, name="llama", **rest):
    cr = resource(spec, name=name, uid=f"uid-{name}")
    return search(gathered(cr, **rest), parse(cr), DEFAULTS, NOW.wall)


def ended(made, digest=OLD, phase="Succeeded", message=None):
    """The inspection's pod as it is when it has ended on a node where the image's name stands for this digest."""
    text = json.dumps(document()) if message is None else message
    terminated = {"message": text, "finishedAt": NOW.wall.strftime("%Y-%m-%dT%H:%M:%SZ")}
    container = {"name": "inspect", "imageID": digest, "state": {"terminated": terminated}}
    metadata = made["metadata"] | {
        "uid": f"uid-{made['metadata']['name']}",
        "creationTimestamp": "2026-01-02T03:04:00Z",
    }
    return {**made, "metadata": metadata, "status": {"phase": phase, "containerStatuses": [container]}}


def running(made):
    return {**ended(made, phase="Running"), "status": {"phase": "Running"}}


def replica(digest, image=DEFAULTS.engine_image):
    made = pod("llama-1", state={"imageID": digest})
    made["spec"]["containers"][0]["image"] = image
    return made


def first_record(name="llama", digest=OLD):
    """The ConfigMap after a first inspection."""
    (made,) = searched(name=name).inspection.apply
    return searched(name=name, inspections=(ended(made, digest),)).record


def begun(found):
    return [one["metadata"]["name"] for one in found.inspection.apply]


@pytest.mark.parametrize("pods", [(), (replica(""),), (replica(OLD),), (replica(NEW), replica(OLD))])
def test_a_result_holds_while_a_replica_runs_its_digest_or_none_tells_its_own(pods):
    found = searched(children=(first_record(),), pods=pods)

    assert begun(found) == []
    assert found.facts.source == "inspection"


def test_replicas_of_another_digest_have_the_model_inspected_again_and_wait_for_nothing():
    found = searched(children=(first_record(),), pods=(replica(NEW),))

    assert len(begun(found)) == 1
    assert found.facts.source == "inspection", "what is known goes on counting meanwhile"


def test_replicas_of_another_image_say_nothing_of_this_one():
    assert begun(searched(children=(first_record(),), pods=(replica(NEW, image="other"),))) == []


def test_the_new_result_takes_the_place_of_the_old_one():
    before = {"children": (first_record(),), "pods": (replica(NEW),)}
    (made,) = searched(**before).inspection.apply
    larger = json.dumps(document(weight_bytes=17_000_000_000))

    found = searched(**before, inspections=(ended(made, NEW, message=larger),))
    later = searched(children=(found.record,), pods=(replica(NEW),))

    assert found.facts.weights.rank_bytes == (17_000_000_000,)
    assert (begun(later), later.facts) == ([], found.facts)


def test_a_node_with_yet_another_digest_does_not_make_it_go_on_for_ever():
    """The inspection landed where the name stands for something else again: it is the best that can be known."""
    before = {"children": (first_record(),), "pods": (replica(NEW),)}
    (made,) = searched(**before).inspection.apply

    found = searched(**before, inspections=(ended(made, OTHER),))

    assert begun(searched(children=(found.record,), pods=(replica(NEW),))) == []


def test_the_first_inspections_pod_is_not_taken_for_the_second_ones():
    (first,) = searched().inspection.apply
    record = first_record()

    found = searched(children=(record,), pods=(replica(NEW),), inspections=(ended(first),))

    assert begun(found) != [first["metadata"]["name"]]
    assert [one.name for one in found.inspection.delete] == [first["metadata"]["name"]]


def test_a_second_inspection_that_fails_leaves_what_is_known():
    before = {"children": (first_record(),), "pods": (replica(NEW),)}
    (made,) = searched(**before).inspection.apply

    found = searched(**before, inspections=(ended(made, NEW, phase="Failed", message="{}"),))

    assert found.facts.source == "inspection"
    assert found.record == searched(**before).record


def test_what_a_neighbour_has_found_is_taken_over_and_kept():
    found = searched(neighbour_records=(first_record("other"),))

    assert begun(found) == []
    assert found.facts.source == "inspection"
    assert found.record["metadata"]["name"] == "llama-model"
    assert searched(children=(found.record,)).facts == found.facts


def test_a_neighbour_that_reads_the_same_now_is_waited_for():
    (made,) = searched(name="other").inspection.apply

    waiting = searched(neighbour_inspections=(running(made),))

    assert begun(waiting) == []
    assert waiting.facts.reason is Reason.INSPECTING
    assert waiting.inspection.look_again_seconds <= 5


def test_a_neighbours_failure_or_end_is_not_ours():
    (made,) = searched(name="other").inspection.apply
    leaving = running(made)
    leaving["metadata"] = {**leaving["metadata"], "deletionTimestamp": "2026-01-02T03:04:00Z"}

    for pods in ((ended(made, phase="Failed", message=""),), (leaving,)):
        assert len(begun(searched(neighbour_inspections=pods))) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"model": {"id": "org/another"}},
        {**SPEC, "gpu": {"perReplica": 2}},
        {**SPEC, "engine": {"image": "registry.example/engine:2"}},
        {**SPEC, "pod": {"env": [{"name": "HF_ENDPOINT", "value": "https://hub.example"}]}},
    ],
)
def test_a_neighbour_with_another_question_has_no_answer_for_us(other):
    record = first_record("other")
    (made,) = searched(name="other").inspection.apply

    found = searched(other, neighbour_records=(record,), neighbour_inspections=(running(made),))

    assert isinstance(found.facts, NoFacts)
    assert len(begun(found)) == 1


def test_a_neighbours_result_for_another_digest_is_not_taken():
    found = searched(neighbour_records=(first_record("other"),), pods=(replica(NEW),))

    assert len(begun(found)) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"document": 1, "images": []}', '{"document": {}, "images": 1}'])
def test_a_record_that_cannot_be_read_is_as_good_as_none(text):
    record = first_record()

    found = searched(children=(record | {"data": dict.fromkeys(record["data"], text)},))

    assert len(begun(found)) == 1
