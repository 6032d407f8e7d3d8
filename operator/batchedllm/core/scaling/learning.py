"""Learning from one look at the fleet: what came, what each pod did, who was late, and under which load."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from batchedllm.core.readings import FleetLoad, PodReading
from batchedllm.core.record import changed, record
from batchedllm.core.scaling.capacity import (
    LEAST_STEP_SECONDS,
    LEAST_STEPS,
    LEVEL_SECONDS,
    LOOK_SECONDS,
    Capacity,
    Work,
)
from batchedllm.core.scaling.experience import Experience
from batchedllm.core.scaling.increments import Increment, increment, tells_requests
from batchedllm.core.scaling.levels import index_of
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.traffic import CELL_SECONDS, Sizes, Traffic
from batchedllm.core.scaling.watch import LATE_SECONDS, Answers, PodWatch, Watch

LONGEST_SECONDS: Final = 120.0
"""Between readings that are further apart (twice the longest scrape interval) the load was not the mean of it: what was
answered under which, and how fast, nobody knows."""


@record
class Lesson:
    """What is known after the look."""

    experience: Experience
    watch: Watch
    is_told: bool
    """Whether any pod tells its requests: without, only queues and batches are known."""


def learn(
    experience: Experience,
    watch: Watch,
    load: FleetLoad | None,
    objective: Objective,
    now_seconds: float,
    *,
    met_by_tokens_per_second: float,
    startup_seconds: float,
) -> Lesson:
    """Learn from the readings that are new. `met_by_tokens_per_second` is what replicas asked for in time serve now."""
    sizes, capacity = experience.sizes, experience.capacity
    told = [] if load is None else [one for one in load.readings if tells_requests(one)]
    pods, done = _looked(_kept(watch, load), told, objective, sizes)
    telling = [one for one in done if one.seconds <= LONGEST_SECONDS]
    if telling:
        capacity = _taught(capacity, telling, pods, sizes.tokens)
    watch = changed(watch, pods=pods)
    if not told:
        return Lesson(changed(experience, capacity=capacity), watch, is_told=False)
    return _counted(
        Experience(capacity, experience.history, sizes),
        watch,
        done,
        now_seconds,
        met_by=met_by_tokens_per_second,
        startup_seconds=startup_seconds,
    )


def _kept(watch: Watch, load: FleetLoad | None) -> dict[str, PodWatch]:
    """Return the pods that are still there; without any load nothing is known of that."""
    if load is None:
        return dict(watch.pods)
    there = {*[one.pod for one in load.readings], *load.silent_pods}
    return {name: pod for name, pod in watch.pods.items() if name in there}


def _looked(
    pods: dict[str, PodWatch], told: Iterable[PodReading], objective: Objective, sizes: Sizes
) -> tuple[dict[str, PodWatch], list[Increment]]:
    """Return the pods with what they tell, and what each did since it last told; the first time is a beginning.

    A prompt is held to be half as long as their mean: lengths are skewed, and the short ones wait behind the long ones.
    """
    done, tokens = list[Increment](), sizes.tokens
    allowed = objective.allowed_ttft_seconds(sizes.prompt_tokens / 2)
    for reading in told:
        pod = pods.get(reading.pod)
        if pod is None:
            pods[reading.pod] = PodWatch(reading)
            continue
        one = increment(pod.reading, reading, allowed, objective.itl_seconds)
        pods[reading.pod] = pod.after(reading, one, tokens)
        if one is not None:
            done.append(one)
    return pods, done


def _counted(
    experience: Experience,
    watch: Watch,
    done: Sequence[Increment],
    now_seconds: float,
    *,
    met_by: float,
    startup_seconds: float,
) -> Lesson:
    """Count what came and what was answered since the last look."""
    seconds = 0.0 if watch.at_seconds is None else max(0.0, now_seconds - watch.at_seconds)
    traffic, arrived = _arrived(watch.traffic, done, now_seconds, seconds)
    sizes = experience.sizes.after(seconds, done)
    demand = traffic.requests_per_second(LEVEL_SECONDS, now_seconds) * sizes.tokens
    history = experience.history.after(seconds, demand, arrived, is_met_anyway=met_by >= demand)
    growth = watch.growth.after(seconds, traffic, startup_seconds, now_seconds)
    answered = tuple([one for one in watch.answered if one.at_seconds > now_seconds - LATE_SECONDS])
    telling = [one for one in done if one.seconds <= LONGEST_SECONDS]
    busy = watch.busy_with(now_seconds, _busy(experience.capacity, telling))
    if telling:
        answered = (*answered, _answers(now_seconds, telling))
    return Lesson(
        Experience(experience.capacity.faded(seconds), history, sizes),
        changed(watch, traffic=traffic, growth=growth, at_seconds=now_seconds, answered=answered, busy=busy),
        is_told=True,
    )


def _arrived(traffic: Traffic, done: Sequence[Increment], now_seconds: float, seconds: float) -> tuple[Traffic, float]:
    """Return the traffic with what came, and how much of it came in the last seconds."""
    late_told = [(one.arrived, one.seconds) for one in done if one.seconds >= 2 * CELL_SECONDS]
    if not late_told:
        arrived = sum([one.arrived for one in done])
        return traffic.after(now_seconds, arrived), arrived
    at_once = sum([one.arrived for one in done if one.seconds < 2 * CELL_SECONDS])
    arrived = sum([one.arrived_within(seconds) for one in done])
    return traffic.after(now_seconds, at_once).spread(now_seconds, late_told), arrived


def _busy(capacity: Capacity, done: Sequence[Increment]) -> float | None:
    """Return how busy the replicas likely were, all together; None where too few steps were told."""
    speed = sum([one.tokens_per_second for one in done]) / max(1, len(done))
    work = _work(speed, sum([one.step_seconds for one in done]), sum([one.step_tokens for one in done]))
    busy = None if work is None else capacity.busyness(work)
    return None if busy is None else busy.likely


def _work(speed: float, step_seconds: float, step_tokens: float, seconds: float = LOOK_SECONDS) -> Work | None:
    """Return what was done in some seconds, if that tells how long steps are."""
    if step_tokens <= LEAST_STEPS or step_seconds < LEAST_STEP_SECONDS * step_tokens or speed <= 0:
        return None
    return Work(speed, step_seconds / step_tokens, seconds)


def _answers(now_seconds: float, done: Sequence[Increment]) -> Answers:
    late = sum([min(one.answered, sum([late.requests for late in one.late])) for one in done if one.late])
    queued = sum([one.queued_before for one in done]) / len(done)
    return Answers(now_seconds, sum([one.answered for one in done]), late, queued)


def _taught(capacity: Capacity, done: Sequence[Increment], pods: Mapping[str, PodWatch], tokens: float) -> Capacity:
    """Return the capacity with what each pod showed."""
    answered, late = list(capacity.answered), list(capacity.late)
    full, busy = list[float](), list[Work]()
    for one in done:
        if one.answered:
            _booked(answered, late, one, pods[one.pod])
        if one.is_full(tokens):
            full.append(one.tokens_per_second)
        work = _work(one.tokens_per_second, one.step_seconds, one.step_tokens, one.seconds)
        if work is not None:
            busy.append(work)
    if busy:
        capacity = capacity.with_busy(*busy)
    if full:
        capacity = capacity.with_full(*full)
    return changed(capacity, answered=tuple(answered), late=tuple(late))


def _booked(answered: list[float], late: list[float], one: Increment, pod: PodWatch) -> None:
    """Book a pod's answers at the load that made them wait: those that waited long, at the highest since they came."""
    left = one.answered
    for some in one.late:
        requests = min(left, some.requests)
        index = index_of(pod.load_since(one.at_seconds - LEVEL_SECONDS - some.waited_seconds))
        answered[index] += requests
        late[index] += requests
        left -= requests
    answered[index_of(pod.load_since(one.at_seconds - LEVEL_SECONDS))] += left
