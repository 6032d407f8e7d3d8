"""Learning from one look at the fleet: what came, what each pod did, who was late, and under which load."""

from typing import Final

from batchedllm.core.readings import FleetLoad, PodReading
from batchedllm.core.record import changed, record
from batchedllm.core.scaling.capacity import LEAST_STEPS, LEVEL_SECONDS, Capacity
from batchedllm.core.scaling.experience import Experience
from batchedllm.core.scaling.increments import Increment, increments, tells_requests
from batchedllm.core.scaling.levels import index_of
from batchedllm.core.scaling.objective import Objective
from batchedllm.core.scaling.watch import LATE_SECONDS, PodWatch, Watch, watched

FULL_QUEUE_SECONDS: Final = 0.5
"""A queue that is so much work keeps a replica full; a shorter one is what came during a step."""


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
    readings = () if load is None else load.readings
    sizes = experience.sizes
    before = {name: pod.reading for name, pod in watch.pods.items()}
    done = increments(before, readings, objective, sizes.prompt_tokens)
    pods = watched(_kept(watch, load), done, sizes.tokens)
    capacity = experience.capacity
    if done:
        capacity = _taught(capacity, done, pods, sizes.tokens)
    for one in readings:
        pods[one.pod] = _seen(pods.get(one.pod), one)
    is_told = any(tells_requests(one) for one in readings)
    if not is_told:
        return Lesson(changed(experience, capacity=capacity), changed(watch, pods=pods), is_told=False)
    return _counted(
        Experience(capacity, experience.history, sizes),
        changed(watch, pods=pods),
        done,
        now_seconds,
        met_by=met_by_tokens_per_second,
        startup_seconds=startup_seconds,
    )


def _kept(watch: Watch, load: FleetLoad | None) -> dict[str, PodWatch]:
    """Return the pods that are still there; without any load nothing is known of that."""
    if load is None:
        return dict(watch.pods)
    there = {one.pod for one in load.readings} | set(load.silent_pods)
    return {name: pod for name, pod in watch.pods.items() if name in there}


def _seen(pod: PodWatch | None, reading: PodReading) -> PodWatch:
    return PodWatch(reading) if pod is None else PodWatch(reading, pod.arrivals, pod.peaks)


def _counted(
    experience: Experience,
    watch: Watch,
    done: tuple[Increment, ...],
    now_seconds: float,
    *,
    met_by: float,
    startup_seconds: float,
) -> Lesson:
    """Count what came and what was answered since the last look."""
    seconds = 0.0 if watch.at_seconds is None else max(0.0, now_seconds - watch.at_seconds)
    arrived = sum([one.arrived for one in done])
    traffic = watch.traffic.after(now_seconds, arrived)
    sizes = experience.sizes.after(seconds, done)
    demand = traffic.requests_per_second(LEVEL_SECONDS, now_seconds) * sizes.tokens
    history = experience.history.after(seconds, demand, arrived, is_met_anyway=met_by >= demand)
    growth = watch.growth.after(seconds, traffic, startup_seconds, now_seconds)
    answered = tuple([one for one in watch.answered if one[0] > now_seconds - LATE_SECONDS])
    if done:
        answered = (*answered, (now_seconds, sum([one.answered for one in done]), _late(done)))
    return Lesson(
        Experience(experience.capacity.faded(seconds), history, sizes),
        changed(watch, traffic=traffic, growth=growth, at_seconds=now_seconds, answered=answered),
        is_told=True,
    )


def _late(done: tuple[Increment, ...]) -> float:
    return sum([min(one.answered, sum([late.requests for late in one.late])) for one in done if one.late])


def _taught(capacity: Capacity, done: tuple[Increment, ...], pods: dict[str, PodWatch], tokens: float) -> Capacity:
    """Return the capacity with what each pod showed."""
    answered, late, full = list(capacity.answered), list(capacity.late), list[float]()
    for one in done:
        if one.answered:
            _booked(answered, late, one, pods[one.pod])
        speed = one.tokens_per_second
        if one.queued_throughout * tokens > FULL_QUEUE_SECONDS * speed > 0:
            full.append(speed)
        if one.step_tokens > LEAST_STEPS and one.step_seconds > 0:
            capacity = capacity.with_busy(speed, one.step_seconds / one.step_tokens)
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
