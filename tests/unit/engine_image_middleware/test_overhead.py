"""The middleware's own work per request stays small beside the milliseconds of a step of any engine."""

from bench.middleware_overhead import overhead_microseconds

GENEROUS_MICROSECONDS = 3000
"""Ten times what an idle machine takes: this catches work that grows, not a slow machine."""


async def test_a_request_of_a_thousand_tokens_costs_less_than_the_bound():
    assert await overhead_microseconds(4_000, rounds=5, requests=50) < GENEROUS_MICROSECONDS
