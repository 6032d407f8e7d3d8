"""Traffic beside the judge's."""

import pytest

from bench.other_traffic import PEERS, SECONDS, TRAFFIC, Played, table, trace_of
from bench.scaling.tasks import OWN


@pytest.mark.parametrize("name", TRAFFIC)
def test_it_is_the_same_every_time_in_order_and_an_hour_long(name: str) -> None:
    requests = trace_of(name).requests
    times = [one.offset_seconds for one in requests]

    assert requests == trace_of(name).requests
    assert times == sorted(times)
    assert 0.9 * SECONDS < times[-1] < SECONDS + 5
    assert all(one.prompt_tokens >= 1 and one.output_tokens >= 1 for one in requests)


def test_the_rates_are_those_of_the_names() -> None:
    def per_second(name: str, begins: float, ends: float) -> float:
        return sum(begins <= one.offset_seconds < ends for one in trace_of(name).requests) / (ends - begins)

    assert per_second("75/s, then 12/s", 0, 1800) == pytest.approx(75, rel=0.02)
    assert per_second("75/s, then 12/s", 1800, 3600) == pytest.approx(12, rel=0.05)
    assert per_second("five minutes of 30/s in each fifteen", 900, 1200) == pytest.approx(30, rel=0.05)
    assert per_second("saw teeth, 3 to 75/s in 15 minutes", 0, 900) == pytest.approx(39, rel=0.03)
    assert per_second("gaps of gamma 0.08, 18/s", 0, 3600) == pytest.approx(18, rel=0.1)
    assert per_second("nothing, once 60/s for two minutes", 1200, 1320) == pytest.approx(60, rel=0.05)
    assert per_second("nothing, once 60/s for two minutes", 0, 1200) == 0
    assert per_second("6/s, and jobs of 900 requests", 0, 3600) == pytest.approx(6 + 9 * 900 / 3600, rel=0.05)


def test_the_table_has_a_row_for_each_start_up() -> None:
    figures = {name: {"A": 0.987, "K": 1.234} for name in (OWN, *PEERS)}

    assert table([Played("flash", 60, figures)]).splitlines()[2].startswith("| flash | 60 | 0.987 / 1.23 |")
