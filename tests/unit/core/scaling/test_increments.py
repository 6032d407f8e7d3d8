"""What happened in each pod between two readings."""

import math
from dataclasses import replace

import pytest

from batchedllm.core.readings import PodReading
from batchedllm.core.scaling.increments import Increment, increment, tells_requests
from imagined_pods import ImaginedPod


def one(before: PodReading, after: PodReading, allowed_ttft_seconds: float = 2.0) -> Increment | None:
    return increment(before, after, allowed_ttft_seconds, itl_seconds=0.2)


def test_arrivals_are_those_who_are_there_now_and_those_who_left() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0, queued=1, running=4), pod.did(12.0, finished=3, queued=5, running=6)
    done = one(before, after)

    assert done.arrived == 9  # eleven are there, five were, three have left
    assert (done.seconds, done.finished, done.first_tokens, done.answered) == (2.0, 3, 3, 3)
    assert (done.prompt_tokens, done.generation_tokens, done.tokens_per_second) == (3000, 600, 1800)
    assert (done.queued_before, done.queued_throughout) == (1, 1)


def test_a_pod_without_a_queue_had_none_throughout() -> None:
    pod = ImaginedPod()
    emptied = one(pod.did(10.0, queued=4), pod.did(12.0))
    filled = one(ImaginedPod().did(10.0), ImaginedPod().did(12.0, queued=4))

    assert (emptied.queued_before, emptied.queued_throughout) == (4, 0)
    assert (filled.queued_before, filled.queued_throughout) == (0, 0)


def waited(*, queued: float = 10, **did) -> Increment:
    """Ten answers of 1,200 tokens in two seconds, after some that did not wait."""
    pod = ImaginedPod()
    known = {"admitted": 5} if "admitted" in did else {}
    before = pod.did(10.0, finished=5, queued=10, **known)
    return one(before, pod.did(12.0, finished=10, queued=queued, **did), 9.0)


def test_those_who_waited_are_counted_where_a_queue_was_there_at_both_ends() -> None:
    assert waited(ttft_seconds=3.0).waited == 10
    assert waited(ttft_seconds=0.1).waited == 0
    assert waited(ttft_seconds=3.0, queued=0).waited == 0
    assert waited(admitted=7, wait_seconds=3.0).waited == 7, "before the engine"
    assert waited(ttft_seconds=3.0, admitted=7, wait_seconds=3.0).waited == 10, "the account that has more of them"


def test_a_queue_that_lasted_and_was_waited_in_kept_the_pod_full() -> None:
    assert waited(ttft_seconds=3.0).is_full(1200.0)
    assert waited(admitted=10, wait_seconds=3.0).is_full(1200.0)
    assert waited(admitted=20, wait_seconds=3.0).is_full(1200.0)
    assert not waited(ttft_seconds=0.1).is_full(1200.0)
    assert not waited(ttft_seconds=3.0, queued=0).is_full(1200.0)


@pytest.mark.parametrize(("queued", "is_full"), [(2, False), (2.5, False), (2.6, True)])
def test_a_queue_of_half_a_seconds_work_lasts(queued: float, is_full: bool) -> None:
    """6,000 tokens per second, in requests of 1,200."""
    assert waited(ttft_seconds=3.0, queued=queued).is_full(1200.0) is is_full


@pytest.mark.parametrize(("late", "is_full"), [(4, False), (5, True)])
def test_a_pod_is_full_where_half_of_those_who_came_out_of_a_queue_had_been_in_it(late: float, is_full: bool) -> None:
    known = waited(ttft_seconds=3.0)

    assert known._replace(waited=late).is_full(1200.0) is is_full
    assert known._replace(first_tokens=0, admitted=10, waited=late).is_full(1200.0) is is_full


def test_a_pod_that_did_nothing_is_not_full_but_stuck() -> None:
    assert not waited(ttft_seconds=3.0)._replace(prompt_tokens=0.0, generation_tokens=0.0).is_full(1200.0)
    assert waited(ttft_seconds=3.0)._replace(generation_tokens=0.0, prompt_tokens=1.0).is_full(1200.0)


def test_steps_are_those_between_the_readings() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0, finished=3), pod.did(12.0, finished=1, output_tokens=100, step_seconds=0.02)

    assert (one(before, after).step_tokens, one(before, after).step_seconds) == (100, pytest.approx(2.0))


def test_requests_that_were_refused_came_all_the_same() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0), pod.did(12.0, rejected=7)

    assert one(before, after).arrived == 7


def test_requests_that_vanish_did_not_come() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0, running=9), pod.did(12.0, running=2)

    assert one(before, after).arrived == 0


def test_late_are_slow_first_tokens_and_slow_answers() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0), pod.did(12.0, finished=4, ttft_seconds=4.0, tpot_seconds=0.3)
    first, slow = one(before, after).late

    assert (first.requests, first.waited_seconds) == (4, 3.75)
    assert (slow.requests, slow.waited_seconds) == (4, 10.0)


def test_late_is_also_who_waited_too_long_before_the_engine_however_soon_its_first_token_then_came() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0, admitted=0), pod.did(12.0, finished=4, admitted=6, wait_seconds=8.0)
    done = one(before, after)

    assert done.late == ((6, 7.5),)
    assert (done.admitted, done.answered) == (6, 6)


def test_answered_are_those_of_the_account_that_has_the_most() -> None:
    def answered(finished: int, first_tokens: int, admitted: int) -> float:
        pod = ImaginedPod()
        before = pod.did(10.0, admitted=0)
        latest = pod.did(12.0, finished=first_tokens, admitted=admitted)
        return one(before, replace(latest, finished_total=before.finished_total + finished)).answered

    assert answered(7, 3, 5) == answered(3, 7, 5) == answered(5, 3, 7) == 7


def test_a_wait_within_what_is_allowed_makes_nobody_late() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0, admitted=0), pod.did(12.0, finished=4, admitted=4, wait_seconds=0.3)

    assert one(before, after).late == ()


def test_who_is_late_by_both_accounts_is_late_once() -> None:
    """They name no request: the account with more of them counts."""
    pod = ImaginedPod()
    before = pod.did(10.0, admitted=0)
    after = pod.did(12.0, finished=4, ttft_seconds=4.0, admitted=3, wait_seconds=8.0)
    longer = replace(after, admission_wait=replace(after.admission_wait, below=(0, 0, 0, 0, 5.0, 5.0, 5.0)))

    assert one(before, after).late == ((4, 3.75),)
    assert one(before, longer).late == ((5, 7.5),)


def test_without_a_queue_before_the_engine_only_the_engines_account_counts() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0), pod.did(12.0, finished=4, ttft_seconds=4.0)

    assert (one(before, after).admitted, one(before, after).late) == (0, ((4, 3.75),))


def test_who_is_late_depends_on_what_is_allowed() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0), pod.did(12.0, finished=4, ttft_seconds=4.0)

    assert one(before, after, allowed_ttft_seconds=2.5).late[0].requests == 4
    assert one(before, after, allowed_ttft_seconds=5.0).late == ()


def test_of_what_came_evenly_a_part_of_the_time_has_its_part() -> None:
    pod = ImaginedPod()
    done = one(pod.did(10.0), pod.did(70.0, finished=300))

    assert (done.arrived_within(10.0), done.arrived_within(60.0), done.arrived_within(99.0)) == (50, 300, 300)


def test_counters_that_fell_are_those_of_an_engine_that_restarted() -> None:
    before = ImaginedPod().did(10.0, finished=100)
    after = ImaginedPod().did(12.0, finished=2)
    done = one(before, after)

    assert (done.finished, done.first_tokens, done.prompt_tokens) == (2, 2, 2000)


def test_the_same_reading_again_says_nothing() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0, finished=5), pod.did(12.0, finished=5)

    assert one(after, after) is None
    assert one(after, before) is None


@pytest.mark.parametrize(
    "missing",
    [
        "finished_total",
        "prompt_tokens_total",
        "generation_tokens_total",
        "time_to_first_token",
        "queue_depth",
        "running",
    ],
)
def test_without_one_of_these_a_pod_does_not_tell_its_requests(missing: str) -> None:
    after = ImaginedPod().did(12.0, finished=5)

    assert tells_requests(after)
    assert not tells_requests(replace(after, **{missing: None}))


def test_without_the_optional_metrics_the_rest_is_known() -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0), pod.did(12.0, finished=5, tpot_seconds=0.3)
    done = one(before, replace(after, time_per_output_token=None, step_tokens_total=None, rejections_total=None))

    assert (done.arrived, done.late, done.step_tokens) == (5, (), 0)


def is_possible(done: Increment) -> bool:
    numbers = [value for value in done if isinstance(value, float)]
    numbers += [requests for requests, _ in done.late]
    return all(0 <= value < 1e9 for value in numbers)


@pytest.mark.parametrize("value", [-1.0, 1e13, math.inf, math.nan])
@pytest.mark.parametrize(
    "counter",
    [
        "queue_depth",
        "running",
        "finished_total",
        "prompt_tokens_total",
        "generation_tokens_total",
        "rejections_total",
        "step_seconds_total",
        "step_tokens_total",
    ],
)
def test_whatever_a_counter_says_only_what_is_possible_is_believed(counter: str, value: float) -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0), pod.did(12.0, finished=5, queued=3, running=2)
    poisoned = replace(after, **{counter: value})
    looks = [one(before, poisoned), one(replace(before, **{counter: value}), poisoned)]

    assert all(done is None or is_possible(done) for done in looks)
    assert one(before, after) is not None


@pytest.mark.parametrize(
    ("histogram", "count"),
    [
        ("time_to_first_token", 1e13),
        ("time_to_first_token", math.inf),
        ("time_to_first_token", math.nan),
        ("time_per_output_token", 1e13),
        ("time_per_output_token", math.inf),
        ("admission_wait", 1e13),
        ("admission_wait", math.nan),
    ],
)
def test_neither_are_histograms_that_no_engine_can_have(histogram: str, count: float) -> None:
    pod = ImaginedPod()
    before, after = pod.did(10.0, admitted=0), pod.did(12.0, finished=5, admitted=5)
    poisoned = replace(getattr(after, histogram), below=(*getattr(after, histogram).below[:-1], count))

    assert one(before, replace(after, **{histogram: poisoned})) is None


@pytest.mark.parametrize(
    ("counter", "most_per_second"), [("rejections_total", 100_000), ("prompt_tokens_total", 10_000_000)]
)
def test_what_is_possible_is_so_much_a_second(counter: str, most_per_second: int) -> None:
    def seen(growth: float, seconds: float) -> Increment | None:
        before, after = ImaginedPod().did(10.0), ImaginedPod().did(10.0 + seconds)
        return one(before, replace(after, **{counter: getattr(before, counter) + growth}))

    assert seen(4.0 * most_per_second, 4.0) is not None
    assert seen(4.0 * most_per_second + 1, 4.0) is None
