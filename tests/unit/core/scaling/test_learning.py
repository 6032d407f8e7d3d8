"""Learning from one look after the other."""

from dataclasses import replace
from math import sqrt

import pytest

from batchedllm.core.scaling.experience import Experience
from batchedllm.core.scaling.learning import Lesson, learn
from batchedllm.core.scaling.levels import index_of
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.watch import Watch
from imagined_pods import ImaginedPod, load_of

SLO = Objective()


def looks(*loads, every_seconds: float = 2.0, met_by: float = 0.0) -> Lesson:
    """Look at these loads one after the other."""
    return looks_at([(index * every_seconds, load) for index, load in enumerate(loads)], met_by)


def looks_at(loads, met_by: float = 0.0) -> Lesson:
    """Look at each load at its time."""
    lesson = Lesson(Experience(), Watch(), is_told=False)
    for now, load in loads:
        lesson = learn(
            lesson.experience, lesson.watch, load, SLO, now, met_by_tokens_per_second=met_by, startup_seconds=120.0
        )
    return lesson


def days_work(pod: ImaginedPod, count: int, **did):
    return [load_of(pod.did(2.0 * index, **did)) for index in range(count)]


def test_arrivals_make_demand_and_history() -> None:
    lesson = looks(*days_work(ImaginedPod(), 60, finished=10))

    assert lesson.is_told
    assert lesson.watch.traffic.requests_per_second(60.0, 118.0) == pytest.approx(5.0)
    assert lesson.experience.sizes.tokens == pytest.approx(1200)
    assert sum(lesson.experience.history.unmet) == pytest.approx(590, rel=0.1)
    assert max(range(56), key=lesson.experience.history.unmet.__getitem__) == index_of(6_000)


def test_a_past_that_added_replicas_would_have_met_counts_as_no_demand() -> None:
    lesson = looks(*days_work(ImaginedPod(), 60, finished=10), met_by=1e6)

    assert lesson.experience.history.unmet[index_of(6_000)] == 0


def test_answers_are_booked_at_the_load_of_their_pod() -> None:
    lesson = looks(*days_work(ImaginedPod(), 60, finished=10))
    capacity = lesson.experience.capacity

    assert capacity.answered[index_of(6_000)] > 400
    assert sum(capacity.late) == 0
    assert lesson.watch.late_share() == (0.0, pytest.approx(300, abs=20))


def test_who_waited_before_the_engine_is_late_though_the_engine_calls_him_in_time() -> None:
    """vLLM's time to first token begins where the middleware's queue ends."""
    waited = days_work(ImaginedPod(), 30, finished=10, admitted=10, wait_seconds=8.0)
    at_once = days_work(ImaginedPod(), 30, finished=10, admitted=10)

    share, answered = looks(*waited).watch.late_share()
    assert (share, answered) == (pytest.approx(1.0, abs=0.05), pytest.approx(290, abs=10))
    assert looks(*at_once).watch.late_share()[0] == 0
    assert sum(looks(*waited).experience.capacity.late) > 200


def test_a_burst_that_is_let_in_at_once_is_booked_when_it_is_let_in() -> None:
    """Before any of it has its first token, while the engine reads its prompts."""
    pod = ImaginedPod()
    burst = [load_of(pod.did(0.0, admitted=0)), load_of(pod.did(2.0, running=64, admitted=64, wait_seconds=8.0))]

    assert looks(*burst).watch.late_share() == (1.0, 64)


def test_who_waited_long_is_booked_at_the_load_that_made_him_wait() -> None:
    """The queue is gone by the time that the last of it is answered; its load is not."""
    pod = ImaginedPod()
    burst = [load_of(pod.did(0.0)), load_of(pod.did(2.0, queued=200))]
    drained = [load_of(pod.did(2.0 * index, finished=10, queued=200 - 10 * (index - 1))) for index in range(2, 22)]
    after = [load_of(pod.did(44.0 + 2 * index, finished=0 if index else 5, ttft_seconds=40.0)) for index in range(8)]
    capacity = looks(*burst, *drained, *after).experience.capacity

    assert sum(capacity.late) == pytest.approx(5, rel=0.05)
    assert sum(capacity.late[: index_of(15_000)]) == 0


def test_a_lasting_queue_shows_the_speed_of_a_full_replica() -> None:
    capacity = looks(*days_work(ImaginedPod(), 20, finished=20, queued=100, ttft_seconds=8.0)).experience.capacity

    assert capacity.tokens_per_second == pytest.approx(12_000)


def test_a_queue_that_nobody_had_been_in_for_long_was_there_when_it_was_read_and_not_between() -> None:
    """Clients that send every second may do so just when the pods are read."""
    assert looks(*days_work(ImaginedPod(), 20, finished=20, queued=100)).experience.capacity.full_samples == 0


def test_a_queue_before_the_engine_shows_the_speed_of_a_full_replica_too() -> None:
    waited = days_work(ImaginedPod(), 20, finished=20, queued=100, admitted=20, wait_seconds=8.0)

    assert looks(*waited).experience.capacity.tokens_per_second == pytest.approx(12_000)


def test_a_queue_that_is_read_within_half_a_second_shows_nothing() -> None:
    capacity = looks(*days_work(ImaginedPod(), 20, finished=20, queued=4)).experience.capacity

    assert capacity.full_samples == 0


def test_longer_steps_show_how_busy_a_replica_is() -> None:
    pod = ImaginedPod()
    calm = [load_of(pod.did(2.0 * index, finished=1, step_seconds=0.005)) for index in range(3)]
    busy = [load_of(pod.did(6.0 + 2 * index, finished=30, step_seconds=0.02)) for index in range(30)]
    capacity = looks(*calm, *busy).experience.capacity

    assert capacity.tokens_per_second == pytest.approx(30 * 1200 / 2 / 0.75, rel=0.1)


def test_engines_that_do_not_tell_their_requests_teach_nothing_of_them() -> None:
    pod = ImaginedPod()
    silent = [load_of(replace(one.readings[0], finished_total=None)) for one in days_work(pod, 5, finished=10)]
    lesson = looks(*silent)

    assert not lesson.is_told
    assert lesson.watch.traffic.cells == ()
    assert lesson.experience.history == Experience().history


def test_without_a_load_nothing_is_known_and_nothing_forgotten() -> None:
    pod = ImaginedPod()
    loads = days_work(pod, 5, finished=10)
    lesson = looks(*loads, None)

    assert not lesson.is_told
    assert set(lesson.watch.pods) == {"a"}


def test_pods_that_are_gone_are_forgotten_and_silent_ones_are_not() -> None:
    first, second = ImaginedPod("a"), ImaginedPod("b")
    both = load_of(first.did(0.0), second.did(0.0))
    alone = load_of(first.did(2.0))
    assert set(looks(both, alone).watch.pods) == {"a"}

    assert set(looks(both, replace(alone, silent_pods=("b",))).watch.pods) == {"a", "b"}


def test_a_pod_that_was_not_heard_for_minutes_has_no_burst_to_tell() -> None:
    pods = [ImaginedPod("a"), ImaginedPod("b")]
    seen = []
    for index in range(300):
        readings = [pod.did(2.0 * index, finished=10) for pod in pods]
        is_deaf = 100 <= index < 250
        seen.append(load_of(*readings[:1], silent_pods=("b",)) if is_deaf else load_of(*readings))
    lesson = looks(*seen[:251])

    assert lesson.watch.traffic.requests_per_second(20.0, 500.0) == pytest.approx(10.0, rel=0.1)
    assert lesson.watch.traffic.requests_per_second(300.0, 500.0) == pytest.approx(10.0, rel=0.1)
    assert lesson.watch.pods["b"].load_since(499.0) == pytest.approx(5 * 1200)
    heard = looks(*seen[:250]).experience.history
    assert sum(lesson.experience.history.unmet) - sum(heard.unmet) < 20, "as much as comes between two looks"


def test_what_was_answered_in_more_than_two_minutes_was_answered_at_no_load_that_is_known() -> None:
    def seen(seconds: float) -> Lesson:
        pod = ImaginedPod()
        began = pod.did(0.0, queued=100)
        after = pod.did(seconds, finished=1000, queued=100, ttft_seconds=9.0, step_seconds=0.02)
        return looks_at([(0.0, load_of(began)), (seconds, load_of(after))])

    shortly, late = seen(120.0), seen(120.1)
    assert (sum(shortly.experience.capacity.answered), shortly.experience.capacity.full_samples) != (0, 0)
    assert shortly.watch.late_share()[1] == 1000
    assert late.experience.capacity.answered == late.experience.capacity.late == Experience().capacity.late
    assert late.experience.capacity.full_samples == late.experience.capacity.busy_weight == 0
    assert late.watch.late_share() == (0.0, 0.0)
    assert late.experience.sizes.tokens == shortly.experience.sizes.tokens == 1200


def test_steps_tell_how_busy_the_replicas_are_all_together() -> None:
    """Both have steps of 5 ms, then one of 5.5 and the other of 7 ms: together a quarter longer than the fastest."""
    pods = [ImaginedPod(name) for name in "ab"]
    idle = [load_of(*[pod.did(2.0 * look, finished=1, step_seconds=0.005) for pod in pods]) for look in range(3)]
    steps = {"a": 0.0055, "b": 0.007}
    busy = load_of(*[pod.did(6.0, finished=10, step_seconds=steps[pod.name]) for pod in pods])

    assert looks(*idle).watch.busyness(4.0) == pytest.approx(0.65), "nobody knows how busy the fastest was"
    assert looks(*idle, busy).watch.busy[-1] == (6.0, pytest.approx(sqrt(0.2), rel=1e-3))


@pytest.mark.parametrize("did", [{"step_seconds": 0.0}, {"output_tokens": 2}])
def test_without_steps_nobody_knows_how_busy_the_replicas_are(did) -> None:
    lesson = looks(*days_work(ImaginedPod(), 5, finished=10, **did))

    assert lesson.watch.busyness(8.0) is None
    assert lesson.watch.late_share()[1] > 0


@pytest.mark.parametrize(("step_seconds", "is_believed"), [(0.99e-4, False), (1.01e-4, True)])
def test_a_step_that_no_engine_can_make_is_not_believed_not_even_as_the_first(step_seconds, is_believed) -> None:
    """All later ones would be held against it, and an idle replica would seem full."""
    lesson = looks(*days_work(ImaginedPod(), 3, finished=10, step_seconds=step_seconds))

    assert (lesson.experience.capacity.fastest_step_seconds is not None) is is_believed
    assert (lesson.watch.busyness(4.0) is not None) is is_believed


def test_what_a_reading_does_not_tell_the_next_one_does() -> None:
    pod = ImaginedPod()
    first, second, third = (pod.did(2.0 * index, finished=10) for index in range(3))
    lesson = looks(load_of(first), load_of(replace(second, finished_total=None)), load_of(third))

    assert sum([requests for _, requests in lesson.watch.traffic.cells]) == pytest.approx(20)


def test_what_no_engine_can_have_done_is_not_counted_and_what_follows_it_is() -> None:
    pod = ImaginedPod()
    before = pod.did(0.0)
    absurd = load_of(pod.did(2.0, finished=1e9))
    lesson = looks(load_of(before), absurd, load_of(pod.did(4.0, finished=10)))

    assert sum([requests for _, requests in lesson.watch.traffic.cells]) == 10


def test_the_first_reading_of_a_pod_is_a_beginning_and_what_a_pod_never_told_none() -> None:
    pod = ImaginedPod()
    first = pod.did(0.0, finished=5)
    lesson = looks(load_of(replace(first, finished_total=None)), load_of(pod.did(2.0, finished=5)))

    assert lesson.is_told
    assert sum([requests for _, requests in lesson.watch.traffic.cells]) == 0


def test_a_prompt_is_held_to_be_half_as_long_as_their_mean() -> None:
    slow = days_work(ImaginedPod(), 30, finished=10, prompt_tokens=6000, ttft_seconds=2.4)
    slower = days_work(ImaginedPod(), 30, finished=10, prompt_tokens=6000, ttft_seconds=4.0)

    assert looks(*slow).watch.late_share()[0] < 0.1
    assert looks(*slower).watch.late_share()[0] > 0.3


def test_a_new_pod_is_first_looked_at_and_then_counted() -> None:
    first, second = ImaginedPod("a"), ImaginedPod("b")
    second.did(0.0, finished=1000)
    lesson = looks(load_of(first.did(0.0)), load_of(first.did(2.0, finished=2), second.did(2.0, finished=5)))

    assert lesson.watch.traffic.requests_per_second(10.0, 2.0) == pytest.approx(1.0)


def test_each_answer_is_booked_once_however_many_reasons_there_are_to_call_it_late() -> None:
    pod, came = ImaginedPod(), (5.0, 5.0, 5.0, 7.0, 7.0, 10.0, 10.0)
    looks_at = [pod.did(0.0)]
    for at in (2.0, 4.0):
        before = pod.reading.time_to_first_token.below
        read = pod.did(at, finished=5, tpot_seconds=0.3 if at > 2 else 0.01)
        below = tuple(old + new for old, new in zip(before, came, strict=True))
        pod.reading = replace(read, time_to_first_token=replace(read.time_to_first_token, below=below))
        looks_at.append(pod.reading)
    capacity = looks(*map(load_of, looks_at)).experience.capacity

    assert sum(capacity.answered) == pytest.approx(20, rel=0.01)
    assert sum(capacity.late) == pytest.approx(5 + 5 + 5, rel=0.01)


def test_answers_in_time_are_booked_at_the_highest_load_of_the_ten_seconds_before() -> None:
    pod = ImaginedPod()
    seen = [pod.did(0.0), pod.did(2.0, finished=100), pod.did(4.0, finished=1), pod.did(13.0, finished=50)]
    lesson = Lesson(Experience(), Watch(), is_told=False)
    for one in seen:
        lesson = learn(
            lesson.experience,
            lesson.watch,
            load_of(one),
            SLO,
            one.at_seconds,
            met_by_tokens_per_second=0.0,
            startup_seconds=120.0,
        )

    assert lesson.experience.capacity.answered[index_of(101 * 120)] == pytest.approx(51, rel=0.01)


def test_time_is_watched_from_the_second_look_on_whatever_lies_between() -> None:
    assert looks(*days_work(ImaginedPod(), 60, finished=10)).experience.history.watched_seconds == 118
    assert looks(*days_work(ImaginedPod(), 5, finished=10), every_seconds=0.5).experience.history.watched_seconds == 2


def test_answers_are_told_for_a_minute() -> None:
    assert [one[0] for one in looks(*days_work(ImaginedPod(), 60, finished=10)).watch.answered] == [
        60.0 + 2 * index for index in range(30)
    ]


def test_an_engine_that_does_nothing_about_its_queue_shows_no_speed() -> None:
    assert looks(*days_work(ImaginedPod(), 20, queued=100)).experience.capacity.full_samples == 0


@pytest.mark.parametrize("few", [{"output_tokens": 20}, {"output_tokens": 10}, {"step_seconds": 0.0}])
def test_few_steps_or_ones_that_take_no_time_tell_nothing(few: dict[str, float]) -> None:
    capacity = looks(*days_work(ImaginedPod(), 5, finished=1, **few)).experience.capacity

    assert (capacity.fastest_step_seconds, capacity.busy_weight) == (None, 0.0)
