"""The store never goes back in time, and finds every object by its BatchedLLM."""

from batchedllm.shell import kinds
from batchedllm.shell.key import Key
from batchedllm.shell.store import Store

KEY = Key("ns", "opt")


def thing(kind, version, *, name="opt", owner="opt", **more):
    """A watched object."""
    metadata = {"namespace": "ns", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    labels = {"batchedllm.dev/name": owner} if owner else {}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {**metadata, "labels": labels, **more}}


def test_an_older_version_never_replaces_a_newer_one():
    store = Store()

    assert store.put(thing(kinds.SERVICE, 5)) == KEY
    assert store.put(thing(kinds.SERVICE, 4)) is None
    assert store.put(thing(kinds.SERVICE, 5)) is None
    assert store.find(kinds.SERVICE, "ns", "opt")["metadata"]["resourceVersion"] == "5"


def test_versions_are_compared_as_numbers():
    store = Store()
    store.put(thing(kinds.SERVICE, 9))

    assert store.put(thing(kinds.SERVICE, 10)) == KEY


def test_an_event_from_before_a_deletion_does_not_bring_the_object_back():
    store = Store()
    store.put(thing(kinds.POD, 5))

    assert store.remove(thing(kinds.POD, 8)) == KEY
    assert store.put(thing(kinds.POD, 7)) is None
    assert store.of(KEY, kinds.POD) == ()
    assert store.put(thing(kinds.POD, 9)) == KEY


def test_the_deletion_of_a_predecessor_does_not_remove_its_successor():
    store = Store()
    store.put(thing(kinds.SERVICE, 9))

    assert store.remove(thing(kinds.SERVICE, 8)) is None
    assert len(store.of(KEY, kinds.SERVICE)) == 1


def test_a_list_removes_what_it_does_not_show_and_tells_whose_it_was():
    store = Store()
    store.put(thing(kinds.SERVICE, 5))
    store.put(thing(kinds.SERVICE, 6, name="other", owner="other"))
    store.put(thing(kinds.DEPLOYMENT, 5))

    changed = store.merge(kinds.SERVICE, "ns", [thing(kinds.SERVICE, 6, name="other", owner="other")], 7)

    assert changed == {KEY}
    assert store.of(KEY, kinds.SERVICE) == ()
    assert len(store.of(KEY, kinds.DEPLOYMENT)) == 1, "other kinds are not touched"


def test_a_list_does_not_remove_what_was_made_after_it():
    store = Store()
    store.put(thing(kinds.SERVICE, 9))

    assert store.merge(kinds.SERVICE, None, [], 8) == set()
    assert len(store.of(KEY, kinds.SERVICE)) == 1


def test_a_list_of_one_namespace_leaves_the_others_alone():
    store = Store()
    store.put(thing(kinds.SERVICE, 5))

    store.merge(kinds.SERVICE, "elsewhere", [], 9)

    assert len(store.of(KEY, kinds.SERVICE)) == 1


def test_a_child_with_a_new_owner_label_moves():
    store = Store()
    store.put(thing(kinds.SERVICE, 5))

    assert store.put(thing(kinds.SERVICE, 6, owner="other")) == Key("ns", "other")
    assert store.of(KEY, kinds.SERVICE) == ()
    assert len(store.of(Key("ns", "other"), kinds.SERVICE)) == 1


def test_a_child_that_loses_its_label_is_no_longer_found_and_its_owner_is_told():
    store = Store()
    store.put(thing(kinds.SERVICE, 5))

    assert store.put(thing(kinds.SERVICE, 6, owner=None)) == KEY
    assert store.of(KEY, kinds.SERVICE) == ()


def test_deletions_are_not_remembered_for_ever():
    store = Store()
    for number in range(100):
        store.put(thing(kinds.POD, 2 * number + 1, name=f"pod-{number}"))
        store.remove(thing(kinds.POD, 2 * number + 2, name=f"pod-{number}"))

    store.merge(kinds.POD, None, [], 1000)

    assert store._gone_at == {}
    assert store.all_keys() == set()


def test_what_belongs_to_others_of_the_namespace_is_found_beside():
    store = Store()
    store.put(thing(kinds.CONFIG_MAP, 1, name="mine"))
    store.put(thing(kinds.CONFIG_MAP, 2, name="b", owner="other"))
    store.put(thing(kinds.CONFIG_MAP, 3, name="a", owner="third"))
    store.put(thing(kinds.SERVICE, 4, name="service", owner="other"))
    elsewhere = thing(kinds.CONFIG_MAP, 5, name="far", owner="other")
    elsewhere["metadata"]["namespace"] = "elsewhere"
    store.put(elsewhere)

    assert [one["metadata"]["name"] for one in store.beside(KEY, kinds.CONFIG_MAP)] == ["a", "b"]
