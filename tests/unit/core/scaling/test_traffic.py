"""Arrivals, and how large a request is."""

from dataclasses import replace

import pytest

from batchedllm.core.scaling.increments import Increment, increment
from batchedllm.core.scaling.traffic import CELL_SECONDS, KEPT_SECONDS, Sizes, Traffic
from imagined_pods import ImaginedPod


def came(*counts: float, every_seconds: float = 2.0) -> Traffic:
    traffic = Traffic().after(0.0, 0.0)
    for index, count in enumerate(counts, 1):
        traffic = traffic.after(index * every_seconds, count)
    return traffic


def done(finished: float, **sizes) -> list[Increment]:
    pod = ImaginedPod()
    return [increment(pod.did(10.0), pod.did(12.0, finished=finished, **sizes), 2.0, 0.2)]


def test_before_any_request_ended_a_usual_size_stands_in() -> None:
    assert (Sizes().prompt_tokens, Sizes().output_tokens, Sizes().tokens) == (1000.0, 200.0, 1200.0)


def test_sizes_are_means_and_follow_a_change_within_minutes() -> None:
    sizes = Sizes().after(2.0, done(10, prompt_tokens=4000, output_tokens=100))
    assert (sizes.prompt_tokens, sizes.output_tokens) == (4000.0, 100.0)

    later = sizes.after(900.0, done(10, prompt_tokens=1000, output_tokens=500))
    assert later.prompt_tokens == pytest.approx(1142, abs=5)
    assert later.output_tokens == pytest.approx(481, abs=1)
    assert later.tokens == later.prompt_tokens + later.output_tokens


def test_an_idle_hour_does_not_make_the_first_answer_after_it_look_huge() -> None:
    """Its tokens are told before it has ended."""
    sizes = Sizes().after(2.0, done(10))
    for _ in range(1800):
        sizes = sizes.after(2.0, done(0))
    pod = ImaginedPod()
    before = pod.did(0.0)
    under_way = replace(pod.did(2.0, running=5), generation_tokens_total=500.0)

    assert sizes.tokens == 1200.0
    assert sizes.after(2.0, [increment(before, under_way, 2.0, 0.2)]).output_tokens == 250.0


def test_answers_that_are_under_way_are_not_taken_for_parts_of_the_few_that_have_ended() -> None:
    """256 requests of a burst have written a hundred tokens each when the first two end."""
    (ended,) = done(2, output_tokens=100)
    under_way = ended._replace(first_tokens=256.0, generation_tokens=25_600.0)

    burst = Sizes().after(2.0, [under_way])
    assert burst.output_tokens == pytest.approx(25_600 / 129)
    all_ended = ended._replace(first_tokens=0.0, finished=254.0, generation_tokens=25_600.0, prompt_tokens=0.0)
    assert burst.after(0.0, [all_ended]).output_tokens == pytest.approx(200)


def test_a_rate_is_of_its_window() -> None:
    traffic = came(*[4.0] * 30, *[20.0] * 5)

    assert traffic.requests_per_second(10.0, 70.0) == 10.0
    assert traffic.requests_per_second(20.0, 70.0) == pytest.approx((100 + 20) / 20)
    assert traffic.requests_per_second(10.0, 80.0) == 0.0


def test_a_rate_over_a_window_that_was_not_watched_whole_is_of_the_time_watched() -> None:
    assert came(4.0, 4.0).requests_per_second(60.0, 4.0) == 2.0
    assert Traffic().requests_per_second(60.0, 4.0) == 0.0


def test_answers_of_one_round_of_scrapes_are_one_cell_and_old_ones_go() -> None:
    traffic = Traffic().after(0.0, 1.0).after(0.5, 2.0).after(1.0, 3.0)
    assert traffic.cells == ((0.0, 6.0),)

    assert traffic.after(KEPT_SECONDS, 1.0).cells == ((KEPT_SECONDS, 1.0),)
    assert traffic.after(1.9, 4.0).after(2.5, 5.0).cells == ((0.0, 6.0), (1.9, 9.0))


def test_rounds_are_told_apart_at_any_time_of_the_clock() -> None:
    traffic = Traffic()
    for at in (100.0, 102.0, 104.0, 500.0, 500.5):
        traffic = traffic.after(at, 1.0)

    assert traffic.cells == ((100.0, 1.0), (102.0, 1.0), (104.0, 1.0), (500.0, 2.0))
    assert traffic.after(710.0, 3.0).cells == ((500.0, 2.0), (710.0, 3.0))
    assert Traffic().after(100.0, 0.0).after(104.0, 8.0).requests_per_second(60.0, 104.0) == 2.0
    assert traffic.requests_per_second(10.0, 509.5) == 0.2
    assert traffic.requests_per_second(10.0, 510.0) == 0.0


def test_arrivals_that_are_told_late_are_spread_over_the_time_in_which_they_came() -> None:
    traffic = Traffic().after(0.0, 0.0).after(300.0, 0.0).spread(300.0, [(600.0, 300.0)])

    assert sum([requests for _, requests in traffic.cells]) == pytest.approx(600)
    for window_seconds in (20.0, 60.0, 120.0, 300.0):
        assert traffic.requests_per_second(window_seconds, 300.0) == pytest.approx(2.0, rel=0.1)
    assert traffic.is_steady(300.0)


def test_they_go_to_what_came_to_other_pods_meanwhile() -> None:
    traffic = came(*[4.0] * 50).spread(100.0, [(10.0, 20.0), (30.0, 20.0)])

    assert len(traffic.cells) == 51
    assert traffic.came_between(80.0, 100.0) == pytest.approx(40 + 40, abs=8)
    assert traffic.came_between(0.0, 76.0) == came(*[4.0] * 50).came_between(0.0, 76.0)
    assert sum([requests for _, requests in traffic.cells]) == pytest.approx(240)


def test_of_those_that_came_more_than_ten_minutes_ago_nothing_is_kept() -> None:
    traffic = Traffic().after(0.0, 0.0).after(3600.0, 0.0).spread(3600.0, [(3600.0, 3600.0), (5.0, 1.0)])

    assert len(traffic.cells) <= KEPT_SECONDS / CELL_SECONDS
    assert sum([requests for _, requests in traffic.cells]) == pytest.approx(605, rel=0.01)
    assert traffic.cells[0][0] > 3600.0 - KEPT_SECONDS


def test_a_second_look_at_the_same_time_forgets_nothing() -> None:
    assert Sizes().after(2.0, done(10)).after(0.0, done(10)).prompts == 20


def test_even_arrivals_are_steady_and_bursts_are_not() -> None:
    even, bursts = came(*[8.0] * 100), came(*([0.0] * 12 + [100.0] * 3) * 7)

    assert even.is_steady(200.0)
    assert not bursts.is_steady(210.0)


def test_the_chance_of_rare_arrivals_is_no_burst() -> None:
    assert came(*[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 15).is_steady(240.0)


def test_a_short_watch_or_few_requests_tell_no_steadiness() -> None:
    assert not came(*[8.0] * 50).is_steady(100.0)
    assert not came(*[0.1] * 100).is_steady(200.0)
    assert not tens(*[29 / 18] * 18).is_steady(1180.0)
    assert tens(*[31 / 18] * 18).is_steady(1180.0)
    assert not replace(tens(*[8.0] * 18), since_seconds=1001.0).is_steady(1180.0)


def tens(*counts: float) -> Traffic:
    """Arrivals of so many ten seconds up to second 1180, watched since second 1000."""
    cells = ((1175.0 - 10 * index, count) for index, count in reversed(list(enumerate(counts))))
    return Traffic(cells=tuple(cells), since_seconds=1000.0)


def test_steady_is_what_varies_by_less_than_half_of_its_mean_beyond_chance() -> None:
    assert tens(*[80.0, 120.0] * 9).is_steady(1180.0)
    assert not tens(*[20.0, 180.0] * 9).is_steady(1180.0)
    assert not tens(*[45.0, 155.0] * 9).is_steady(1180.0)
    assert tens(*[55.0, 145.0] * 9).is_steady(1180.0)
    assert not Traffic().is_steady(1000.0)


def test_what_came_in_a_part_of_the_time_is_known_where_all_of_it_was_watched() -> None:
    traffic = Traffic(((100.0, 1.0), (110.0, 2.0), (120.0, 4.0), (130.0, 8.0)), 90.0)

    assert traffic.came_between(100.0, 120.0) == 2.0 + 4.0, "after the first moment, up to the last"
    assert traffic.came_between(90.0, 130.0) == 15.0
    assert traffic.came_between(130.0, 200.0) == 0.0
    assert traffic.came_between(89.0, 130.0) is None
    assert Traffic().came_between(0.0, 10.0) is None


def test_a_first_token_without_an_end_is_work_that_sizes_follow() -> None:
    old = Sizes(10.0, 10_000.0, 10.0, 2_000.0)
    (one,) = done(5, prompt_tokens=2000, output_tokens=100)

    for part in (one._replace(finished=0.0), one._replace(first_tokens=0.0)):
        assert old.after(300.0, [part]).prompts < 10.0
    assert old.after(300.0, [one._replace(finished=0.0, first_tokens=0.0)]).prompts == 10.0


def test_counters_that_tell_of_more_tokens_than_requests_can_have_move_sizes_no_further() -> None:
    (one,) = done(4, prompt_tokens=1000, output_tokens=100)
    absurd = one._replace(prompt_tokens=1e12, generation_tokens=1e13)

    sizes = Sizes().after(2.0, [absurd])
    assert (sizes.prompt_tokens, sizes.output_tokens) == (5e7, 5e7)
    begun = Sizes().after(2.0, [one._replace(first_tokens=0.0, finished=0.0)])
    assert (begun.prompt_tokens_sum, begun.output_tokens_sum) == (4000.0, 400.0)


def test_it_falls_where_fewer_came_than_in_the_window_before_beyond_chance() -> None:
    def falls(before: float, now: float, window_seconds: float = 60.0) -> bool:
        traffic = Traffic(((1030.0, before), (1100.0, now)), 1000.0)
        return traffic.is_falling(window_seconds, 1120.0)

    assert falls(100.0, 85.0)
    assert not falls(100.0, 87.0), "chance makes as much of counts: their standard deviation is 13.7"
    assert not falls(85.0, 100.0)
    assert not falls(100.0, 0.0, window_seconds=61.0), "not all of it was watched"
    assert not Traffic().is_falling(60.0, 1120.0)


def test_a_window_is_at_most_half_of_what_is_kept() -> None:
    traffic = Traffic(((1100.0, 900.0), (1500.0, 100.0)), 1000.0)

    assert traffic.is_falling(600.0, 1600.0)
    assert not traffic.is_falling(600.0, 1599.0)
