"""Who runs, who waits, who is turned away. Times are made up; nothing here waits."""

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batchedllm_engine.middleware.configuration import Configuration, Limits, ServiceClass
from batchedllm_engine.middleware.cost import Cost
from batchedllm_engine.middleware.gate import UNKNOWN_DRAIN_SECONDS, Gate
from batchedllm_engine.middleware.refusal import Reason

ONE = Cost(requests=1, prompt_tokens=100, output_tokens=10)


def cost(requests=1, tokens=100) -> Cost:
    return Cost(requests, tokens, 0)


def configuration(high=None, normal=None, low=None, **limits) -> Configuration:
    return Configuration(
        classes=(
            ServiceClass(name="high", rank=-10, limits=high or Limits()),
            ServiceClass(name="normal", rank=0, default=True, limits=normal or Limits()),
            ServiceClass(name="low", rank=10, limits=low or Limits()),
        ),
        limits=Limits(**limits),
    )


def gate(**settings) -> Gate:
    return Gate(configuration(**settings), now=0)


def test_without_limits_everybody_runs():
    one = gate()
    assert all(one.offer("low", ONE, 0).ticket.running for _ in range(1000))


def test_beyond_the_running_limit_requests_wait_in_order():
    one = gate(running_requests=1)
    first, second, third = (one.offer("normal", ONE, 0).ticket for _ in range(3))
    assert (first.running, second.running, third.running) == (True, False, False)
    assert one.leave(first, 1).started == (second,)
    assert one.leave(second, 2).started == (third,)


def test_a_higher_class_is_next_whenever_it_came():
    one = gate(running_requests=1)
    running = one.offer("low", ONE, 0).ticket
    low, normal, high = (one.offer(name, ONE, 0).ticket for name in ("low", "normal", "high"))
    for leaves, comes in ((running, high), (high, normal), (normal, low)):
        assert one.leave(leaves, 1).started == (comes,)


def test_nobody_passes_a_large_request_of_a_higher_class_that_waits_for_room():
    one = gate(running_requests=4)
    running = [one.offer("normal", ONE, 0).ticket for _ in range(4)]
    large = one.offer("high", cost(requests=3), 0).ticket
    small = one.offer("low", ONE, 0).ticket
    assert one.leave(running[0], 1).started == ()
    assert one.leave(running[1], 1).started == ()
    assert one.leave(running[2], 1).started == (large,)
    assert one.leave(running[3], 1).started == (small,)


def test_a_class_that_its_own_limit_stops_holds_nobody_up():
    one = gate(high=Limits(running_requests=1), running_requests=4)
    first, second = (one.offer("high", ONE, 0).ticket for _ in range(2))
    assert (first.running, second.running) == (True, False)
    assert one.offer("low", ONE, 0).ticket.running
    assert one.leave(first, 1).started == (second,)


def test_a_request_counts_as_many_as_it_asks_answers_and_never_more_than_can_run():
    one = gate(running_requests=4, low=Limits(running_requests=2))
    assert one.offer("high", cost(requests=3), 0).ticket.running
    assert not one.offer("high", cost(requests=2), 0).ticket.running
    for name, requests in (("high", 5), ("low", 3)):
        refusal = one.offer(name, cost(requests), 0).refusal
        assert (refusal.reason, refusal.status) == (Reason.TOO_LARGE, 400)


def test_a_full_queue_refuses_its_own_class_with_the_time_it_takes_to_empty():
    one = gate(running_requests=1, queued_requests=2)
    now = 100
    running = one.offer("normal", ONE, now).ticket
    waiting = [one.offer("normal", ONE, now).ticket for _ in range(2)]
    refusal = one.offer("normal", ONE, now).refusal
    assert (refusal.reason, refusal.status) == (Reason.QUEUE_FULL, 503)
    assert refusal.retry_after_seconds == UNKNOWN_DRAIN_SECONDS
    one.leave(running, now + 1)
    assert one.offer("normal", ONE, now + 1).ticket is not None
    one.leave(waiting[0], now + 11)
    one.offer("normal", ONE, now + 11)
    # Two left within ten seconds, so the two that wait will have left after ten.
    assert one.offer("normal", ONE, now + 11).refusal.retry_after_seconds == 10


def test_the_full_queue_gives_up_its_lowest_and_latest_for_a_higher_class_only():
    one = gate(running_requests=1, queued_requests=3)
    one.offer("normal", ONE, 0)
    normal, early, late = (one.offer(name, ONE, 0).ticket for name in ("normal", "low", "low"))
    assert one.offer("low", ONE, 0).refusal.reason is Reason.QUEUE_FULL
    assert one.offer("high", ONE, 0).shed == (late,)
    assert one.offer("normal", ONE, 0).shed == (early,)
    assert one.offer("normal", ONE, 0).refusal.reason is Reason.QUEUE_FULL
    assert one.offer("high", ONE, 0).shed != (normal,)


def test_nobody_is_shed_in_vain():
    one = gate(running_requests=1, queued_tokens=300)
    one.offer("normal", ONE, 0)
    one.offer("normal", cost(tokens=200), 0)
    low = one.offer("low", cost(tokens=100), 0).ticket
    refused = one.offer("high", cost(tokens=400), 0)
    assert (refused.refusal.reason, refused.shed) == (Reason.QUEUE_FULL, ())
    assert one.offer("high", cost(tokens=100), 0).shed == (low,)


def test_a_class_s_own_queue_limit_sheds_nobody():
    one = gate(running_requests=1, high=Limits(queued_requests=1))
    for name in ("high", "low", "high"):
        one.offer(name, ONE, 0)
    refused = one.offer("high", ONE, 0)
    assert (refused.refusal.reason, refused.shed) == (Reason.QUEUE_FULL, ())


def test_no_queue_at_all_is_a_limit_of_zero():
    one = gate(running_requests=1, queued_requests=0)
    assert one.offer("normal", ONE, 0).ticket.running
    assert one.offer("normal", ONE, 0).refusal.reason is Reason.QUEUE_FULL


def test_who_has_waited_too_long_is_not_started():
    one = gate(running_requests=1, queue_seconds=10, high=Limits(queue_seconds=2))
    running = one.offer("normal", ONE, 0).ticket
    high, normal = (one.offer(name, ONE, 0).ticket for name in ("high", "normal"))
    assert (high.leaves_queue_at, normal.leaves_queue_at) == (2, 10)
    moves = one.leave(running, 5)
    assert (moves.expired, moves.started) == ((high,), (normal,))


def test_who_leaves_the_queue_frees_its_place_in_it():
    one = gate(running_requests=1, queued_requests=1)
    one.offer("normal", ONE, 0)
    waiting = one.offer("normal", ONE, 0).ticket
    one.leave(waiting, 1)
    assert one.offer("normal", ONE, 1).ticket is not None


def test_rates_hold_per_class_and_in_all_and_say_when_to_come_again():
    one = gate(requests_per_minute=3, low=Limits(requests_per_minute=1))
    assert one.offer("low", ONE, 0).ticket
    refusal = one.offer("low", ONE, 30).refusal
    assert (refusal.reason, refusal.status, refusal.retry_after_seconds) == (Reason.REQUEST_RATE, 429, 30)
    assert one.offer("high", ONE, 30).ticket
    assert one.offer("high", ONE, 30).ticket
    assert one.offer("high", ONE, 30).ticket
    assert one.offer("high", ONE, 30).refusal.retry_after_seconds == 20


def test_tokens_count_prompt_and_output_and_what_can_never_be_served_is_told_so():
    one = gate(tokens_per_minute=120)
    assert one.offer("normal", Cost(1, 60, 60), 0).ticket
    refusal = one.offer("normal", Cost(1, 10, 10), 0).refusal
    assert (refusal.reason, refusal.retry_after_seconds) == (Reason.TOKEN_RATE, 10)
    refusal = one.offer("normal", Cost(1, 100, 100), 0).refusal
    assert (refusal.reason, refusal.status) == (Reason.TOO_LARGE, 400)


def test_a_request_that_is_refused_takes_nothing_out_of_the_rates():
    one = gate(requests_per_minute=2, running_requests=1, queued_requests=0)
    running = one.offer("normal", ONE, 0).ticket
    for _ in range(5):
        assert one.offer("normal", ONE, 0).refusal.reason is Reason.QUEUE_FULL
    one.leave(running, 0)
    assert one.offer("normal", ONE, 0).ticket


def test_while_draining_new_requests_are_refused_and_those_that_wait_still_run():
    one = gate(running_requests=1)
    running, waiting = (one.offer("normal", ONE, 0).ticket for _ in range(2))
    one.draining = True
    refusal = one.offer("high", ONE, 0).refusal
    assert (refusal.reason, refusal.status, refusal.retry_after_seconds) == (Reason.DRAINING, 503, 1)
    assert one.leave(running, 1).started == (waiting,)
    assert not one.is_empty
    one.leave(waiting, 2)
    assert one.is_empty


def test_other_limits_hold_at_once_and_turn_nobody_away_who_was_accepted():
    one = gate(running_requests=1)
    first, second = (one.offer("normal", ONE, 0).ticket for _ in range(2))
    assert one.reconfigure(configuration(running_requests=2), 1).started == (second,)
    one.reconfigure(configuration(running_requests=1, queued_requests=0), 2)
    assert one.offer("normal", ONE, 2).refusal.reason is Reason.QUEUE_FULL
    assert one.leave(first, 3).started == ()


def test_a_class_that_is_taken_away_finishes_what_it_has():
    one = gate(running_requests=1)
    running, waiting = one.offer("low", ONE, 0).ticket, one.offer("low", ONE, 0).ticket
    only = Configuration(classes=(ServiceClass(name="only", rank=0, default=True),), limits=Limits(running_requests=1))
    one.reconfigure(only, 1)
    assert one.leave(running, 2).started == (waiting,)
    one.leave(waiting, 3)
    one.reconfigure(only, 4)
    assert [name for name, _ in one.lines()] == ["only"]
    assert one.offer("low", ONE, 4).refusal.reason is Reason.BAD_CLASS
    assert one.leave(waiting, 5).started == ()


NAMES = st.sampled_from(["high", "normal", "low"])
SOME = st.none() | st.integers(1, 6)
LIMITS = st.builds(
    Limits,
    running_requests=SOME,
    queued_requests=st.none() | st.integers(0, 6),
    queued_tokens=st.none() | st.integers(1, 600),
    queue_seconds=st.none() | st.integers(1, 20).map(float),
    requests_per_minute=st.none() | st.integers(1, 60),
)


class AnyTraffic(RuleBasedStateMachine):
    """Whatever comes and goes in whatever order, the limits hold and nobody is lost."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.held = Configuration(classes=configuration().classes)
        self.gate = Gate(self.held, 0)
        self.open = {}

    def _apply(self, moves):
        assert all(ticket.running for ticket in moves.started)
        assert not any(ticket.running for ticket in moves.expired)
        self._forget(moves.expired)

    def _forget(self, tickets):
        for ticket in tickets:
            self.open.pop(ticket, None)

    @rule(high=LIMITS, low=LIMITS, whole=LIMITS)
    def reconfigure(self, high, low, whole):
        self.held = configuration(high=high, low=low).model_copy(update={"limits": whole})
        self._apply(self.gate.reconfigure(self.held, self.now))

    @rule(name=NAMES, requests=st.integers(1, 4), tokens=st.integers(0, 300))
    def offer(self, name, requests, tokens):
        offer = self.gate.offer(name, cost(requests, tokens), self.now)
        self._apply(offer.moves)
        assert (offer.ticket is None) != (offer.refusal is None)
        rank = {"high": -10, "normal": 0, "low": 10}
        assert all(rank[ticket.service_class] > rank[name] for ticket in offer.shed)
        self._forget(offer.shed)
        if offer.ticket is not None:
            self.open[offer.ticket] = None

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data):
        ticket = data.draw(st.sampled_from(list(self.open)))
        self._forget([ticket])
        self._apply(self.gate.leave(ticket, self.now))

    @rule(seconds=st.floats(0, 15))
    def time_passes(self, seconds):
        self.now += seconds

    @invariant()
    def the_gate_knows_exactly_who_is_there(self):
        lines = dict(self.gate.lines())
        for name, line in lines.items():
            mine = [ticket for ticket in self.open if ticket.service_class == name]
            assert set(line.waiting) == {ticket for ticket in mine if not ticket.running}
            assert line.queued_requests == sum(ticket.cost.requests for ticket in mine if not ticket.running)
            assert line.queued_tokens == sum(ticket.cost.prompt_tokens for ticket in mine if not ticket.running)
            assert line.running_requests == sum(ticket.cost.requests for ticket in mine if ticket.running)
        assert self.gate.is_empty == (not self.open)

    @invariant()
    def nobody_waits_while_there_is_room(self):
        lines = dict(self.gate.lines())
        running = sum(line.running_requests for line in lines.values())
        room = (self.held.limits.running_requests or math.inf) - running
        for line in lines.values():
            own = (line.limits.running_requests or math.inf) - line.running_requests
            if line.first is not None and line.first.cost.requests <= own:
                assert line.first.cost.requests > room
                break


AnyTraffic.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyTraffic = AnyTraffic.TestCase


@given(st.lists(st.tuples(NAMES, st.integers(1, 3)), max_size=60), st.integers(3, 6))
def test_running_requests_never_pass_the_limit(asks, limit):
    one = gate(running_requests=limit)
    running = 0
    for name, requests in asks:
        ticket = one.offer(name, cost(requests), 0).ticket
        running += requests if ticket.running else 0
        assert running <= limit
