"""What the signals look at."""

import math
from dataclasses import replace

import pytest

from batchedllm.api.scaling import Scaling
from batchedllm.core.scaling.capacity import PRIOR_REQUESTS, Capacity
from batchedllm.core.scaling.experience import Experience
from batchedllm.core.scaling.growth import Growth
from batchedllm.core.scaling.history import History
from batchedllm.core.scaling.learning import learn
from batchedllm.core.scaling.levels import COUNT, LEVELS
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.outlook import outlook, startup_seconds
from batchedllm.core.scaling.traffic import Sizes, Traffic
from batchedllm.core.scaling.types import Fleet, ScalingState
from batchedllm.core.scaling.watch import Answers, Watch
from imagined_pods import ImaginedPod, load_of


def state(startup: float | None = None) -> ScalingState:
    return ScalingState(Scaling(max_replicas=9), Fleet(1, 1, 0, startup_seconds=startup), None)


@pytest.mark.parametrize(
    ("seen", "counted"),
    [
        *[(None, 120.0), (45.0, 45.0), (1.0, 5.0), (9e9, 600.0), (math.nan, 120.0), (-3.0, 120.0)],
        *[(0.0, 120.0), (math.inf, 120.0)],
    ],
)
def test_a_start_takes_as_long_as_it_was_seen_to_within_bounds(seen: float | None, counted: float) -> None:
    assert startup_seconds(state(seen)) == counted


def test_windows_are_parts_of_a_start_and_never_so_short_that_they_show_chance() -> None:
    def windows(startup: float) -> list[float]:
        prospect = outlook(Experience(), Watch(), state(startup), 0.0, is_told=True)
        return [seconds for seconds, _ in prospect.demands]

    assert windows(120.0) == [30.0, 60.0, 120.0]
    assert windows(60.0) == [20.0, 30.0, 60.0]
    assert windows(10.0) == [20.0]


def test_only_steady_traffic_grows_what_jumps_is_a_burst() -> None:
    def growth(pattern) -> float:
        pod, experience, watch = ImaginedPod(), Experience(), Watch()
        for index in range(300):
            load = load_of(pod.did(2.0 * index, finished=pattern(index)))
            lesson = learn(
                experience, watch, load, Objective(), 2.0 * index, met_by_tokens_per_second=0.0, startup_seconds=120.0
            )
            experience, watch = lesson.experience, lesson.watch
        return outlook(experience, watch, state(), 598.0, is_told=True).growth

    assert growth(lambda index: 10 + index // 10) > 0
    assert growth(lambda index: 100 if index % 30 < 3 else 0) == 0


def test_traffic_that_falls_needs_no_room_to_grow() -> None:
    def growth(*ten_seconds: float) -> float:
        cells = tuple((10.0 * index, requests) for index, requests in enumerate(ten_seconds, 1))
        watch = Watch(traffic=Traffic(cells, 0.0), growth=Growth(100.0, 100.0))
        return outlook(Experience(), watch, state(120.0), 10.0 * len(cells), is_told=True).growth

    rises, falls = [100.0] * 20 + [110.0] * 12, [110.0] * 20 + [100.0] * 12
    assert growth(*rises) > 0
    assert growth(*falls) == 0
    assert growth(*falls, *[101.0] * 24) > 0, "it lies still since"


@pytest.mark.parametrize(("startup", "rate_of_its_window"), [(120.0, 1.0), (240.0, 0.5)])
def test_steady_traffic_grows_by_tokens_and_within_a_start_up_at_most_by_half(startup, rate_of_its_window) -> None:
    """Thirty requests in half a minute, evenly for three minutes; the past says that it may grow without end."""
    cells = tuple((float(at), 30.0 if at > 440 else 30.0 * rate_of_its_window) for at in range(30, 610, 10))
    traffic = Traffic(cells, 0.0)
    watch = Watch(traffic=traffic, growth=Growth(10.0, 1e12))
    seen = outlook(Experience(sizes=Sizes(1.0, 900.0, 1.0, 100.0)), watch, state(startup), 600.0, is_told=True)

    middle = seen.demands[1][1]
    assert traffic.is_steady(600.0)
    assert seen.growth == pytest.approx(1.25 * 0.5 * middle), "the window's mean is a quarter of a start-up old"
    little = replace(watch, growth=Growth(10.0, 40.0))
    assert 0 < outlook(Experience(), little, state(startup), 600.0, is_told=True).growth < 1200.0
    uneven = replace(watch, traffic=Traffic(((450.0, 500.0), (590.0, 500.0)), 0.0))
    assert outlook(Experience(), uneven, state(startup), 600.0, is_told=True).growth == 0.0


def test_what_is_late_at_any_load_lowers_no_load_that_a_replica_holds() -> None:
    """A model too slow for its objective stays too slow on any number of replicas."""

    def prospect(late: float):
        capacity = Capacity(answered=(1000.0,) * COUNT, late=(late,) * COUNT)
        return outlook(Experience(capacity), Watch(), state(), 0.0, is_told=True)

    assert prospect(0.0).attainable_late_share == Objective().late_share
    assert prospect(400.0).attainable_late_share == pytest.approx(1.1 * 400 / (1000 + PRIOR_REQUESTS), rel=0.01)
    assert prospect(400.0).held >= prospect(0.0).held > LEVELS[0]


def test_what_was_learned_is_told_as_it_is() -> None:
    capacity = Capacity(full_tokens_per_second=30_000.0, full_samples=30.0)
    history = History(watched_seconds=600.0, seconds=600.0, demand_sum=600e3, demand_square_sum=600e7)
    experience = Experience(capacity, history, Sizes(10.0, 20_000.0, 10.0, 3_000.0))
    watch = Watch(answered=(Answers(90.0, 50.0, 5.0, 6.0),), traffic=Traffic(((95.0, 40.0),), 0.0))
    seen = outlook(experience, watch, state(40.0), 100.0, is_told=True)

    assert (seen.objective, seen.startup_seconds) == (Objective(), 40.0)
    assert seen.demands == ((20.0, 2 * 2_300.0), (40.0, 2_300.0))
    assert seen.tokens == 2_300.0
    assert (seen.speed, seen.speed_is_known) == (30_000.0, True)
    assert seen.late_shares == capacity.late_shares(Objective(), 3.0)
    assert (seen.past, seen.margin) == (history.unmet, history.margin)
    assert seen.margin > 1
    assert (seen.late_share, seen.answered, seen.longest_queue, seen.is_known) == (0.1, 50.0, 6.0, True)
    assert not outlook(experience, watch, state(), 100.0, is_told=False).is_known
