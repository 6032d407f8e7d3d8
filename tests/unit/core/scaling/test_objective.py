"""What the resource's service level comes to."""

import re

import pytest

from batchedllm.api.slo import Slo
from batchedllm.core.scaling.objective import Objective, objective_of, seconds_of, ttft_of


def test_the_defaults_of_the_resource_are_those_of_the_objective() -> None:
    assert objective_of(Slo()) == Objective(2.0, 0.0005, 0.2, 0.98)


def test_a_level_without_a_part_per_token_is_the_same_for_every_prompt() -> None:
    objective = objective_of(Slo(time_to_first_token="1500ms", inter_token_latency="0.05s", attainment=90))

    assert objective == Objective(1.5, 0.0, 0.05, 0.9)
    assert objective.allowed_ttft_seconds(100_000) == 1.5
    assert objective.late_share == pytest.approx(0.1)


def test_a_long_prompt_may_take_longer() -> None:
    assert Objective().allowed_ttft_seconds(4000) == 4.0


@pytest.mark.parametrize("text", ["2", "2s+1ms", "fast", "2s+0.5ms/token/token", "-2s", " ", "1.2.3s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        ttft_of(text)
    with pytest.raises(ValueError, match=re.escape(text)):
        seconds_of(text)


def test_times_are_read_with_their_unit_with_or_without_a_part_per_token() -> None:
    assert (seconds_of("200ms"), seconds_of(" 1.5s ")) == (0.2, 1.5)
    assert ttft_of("2s + 0.5ms/token") == (2.0, 0.0005)
    assert ttft_of("2500ms+0.001s/token") == (2.5, 0.001)
    assert ttft_of("800ms") == (0.8, 0.0)
