"""Which connections are closed: those without a request for too long, or with too large a head."""

from dataclasses import dataclass, field
from types import SimpleNamespace

from batchedllm_engine.middleware.configuration import Heads
from batchedllm_engine.middleware.connections import ConnectionWatch, connections_of

BOUNDS = Heads(seconds=10, max_bytes=2000)
RUNNING, ANSWERED = SimpleNamespace(response_complete=False), SimpleNamespace(response_complete=True)


@dataclass(eq=False)
class Open:
    """A connection as uvicorn shows it."""

    cycle: object = None
    headers: list = field(default_factory=list)
    transport: object = None


def test_a_connection_is_overdue_when_no_head_came_in_time():
    watch, one = ConnectionWatch(), Open()
    assert watch.overdue([one], BOUNDS, now=0) == []
    assert watch.overdue([one], BOUNDS, now=10) == []
    assert watch.overdue([one], BOUNDS, now=11) == [one]


def test_a_request_under_way_is_never_overdue_and_the_next_has_its_own_time():
    watch, one = ConnectionWatch(), Open()
    watch.overdue([one], BOUNDS, now=0)
    one.cycle = RUNNING
    assert watch.overdue([one], BOUNDS, now=1000) == []
    one.cycle = ANSWERED
    assert watch.overdue([one], BOUNDS, now=1001) == []
    assert watch.overdue([one], BOUNDS, now=1012) == [one]


def test_a_head_that_is_too_large_is_overdue_at_once():
    assert ConnectionWatch().overdue([large := Open(headers=[(b"a", b"b" * 2000)])], BOUNDS, now=0) == [large]


def test_a_server_that_shows_no_connections_is_left_alone():
    assert connections_of(None) == []
    assert connections_of(SimpleNamespace(server_state=SimpleNamespace(connections={object()}))) == []
