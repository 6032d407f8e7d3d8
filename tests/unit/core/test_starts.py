"""How long a replica takes to start is told by those that started lately, whether they are still there or not."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from batchedllm.core.reconcile import reconcile
from batchedllm.core.scaling.decide import decide
from batchedllm.core.scaling.types import Start
from batchedllm.core.starts import KEPT, remembered, starts_of, usual_seconds
from samples import DEFAULTS, NOW, gathered, load, pod, resource, stored


def made(name: str, minute: int, ready_minute: int, *, ready: bool = True):
    one = pod(name, ready=ready)
    one["metadata"]["creationTimestamp"] = f"2026-01-01T00:{minute:02}:00Z"
    one["status"]["conditions"][0]["lastTransitionTime"] = f"2026-01-01T00:{ready_minute:02}:00Z"
    return one


def test_a_start_lasts_from_the_making_of_a_pod_until_it_is_ready():
    pods = (made("a", 1, 3), made("starting", 5, 5, ready=False), pod("untold"))

    assert [(one.pod, one.seconds) for one in starts_of(pods)] == [("a", 120.0)]


def test_a_pod_that_restarted_tells_nothing_of_a_start():
    one = made("a", 1, 3)
    one["status"]["containerStatuses"] = [{"restartCount": 1}]

    assert starts_of((one,)) == ()


def test_a_pod_that_was_unready_for_a_while_is_not_taken_for_a_slow_start():
    first = remembered((), starts_of((made("a", 1, 3),)))
    assert usual_seconds(remembered(first, starts_of((made("a", 1, 55),)))) == 120.0

    together = starts_of((made("a", 1, 3), made("b", 2, 4), made("flapped", 1, 55)))
    assert usual_seconds(together) == 120.0


def test_nothing_is_known_before_a_start_was_seen():
    assert usual_seconds(()) is None


@given(st.lists(st.builds(Start, st.floats(0, 1e9), st.text(max_size=3), st.floats(0, 1e4)), max_size=12))
def test_the_latest_few_are_kept_in_order_and_one_of_each_pod(seen: list[Start]):
    known: tuple[Start, ...] = ()
    for one in seen:
        known = remembered(known, (one,))

    assert list(known) == sorted(known)
    assert len(known) == min(KEPT, len({one.pod for one in known}))
    assert not seen or usual_seconds(known) in {one.seconds for one in seen}


class Deciding:
    """Decides as always, and keeps what start-up it was told."""

    def __init__(self) -> None:
        self.startups: list[float | None] = []

    def __call__(self, state, now_seconds):
        self.startups.append(state.fleet.startup_seconds)
        return decide(state, now_seconds)


def test_after_a_burst_a_start_still_takes_what_the_replicas_took_that_are_gone():
    """The replica that is left met an empty compile cache. Its own start of three minutes would bring the burst back
    into the windows that demand is measured over, and a replica with it.
    """
    cr = resource({"scaling": {"maxReplicas": 3}})
    children = tuple(stored(one) for one in reconcile(gathered(cr), DEFAULTS, NOW).apply)
    cold, *warm = made("cold", 0, 3), made("b", 10, 11), made("c", 10, 11)
    deciding = Deciding()

    look = gathered(cr, children=children, pods=(cold, *warm), load=load())
    outcome = reconcile(look, DEFAULTS, NOW, decide=deciding)
    reconcile(replace(look, pods=(cold,), memory=outcome.memory), DEFAULTS, NOW, decide=deciding)

    assert deciding.startups == [60.0, 60.0]


def test_of_another_model_no_start_is_remembered():
    def at(model: str):
        return resource({"model": {"id": model}, "scaling": {"maxReplicas": 3}})

    children = tuple(stored(one) for one in reconcile(gathered(at("org/small")), DEFAULTS, NOW).apply)
    look = gathered(at("org/small"), children=children, pods=(made("a", 1, 2),), load=load())
    outcome = reconcile(look, DEFAULTS, NOW)
    deciding = Deciding()

    reconcile(replace(look, resource=at("org/large"), pods=(), memory=outcome.memory), DEFAULTS, NOW, decide=deciding)

    assert [one.pod for one in outcome.memory.starts] == ["a"]
    assert deciding.startups == [None]
