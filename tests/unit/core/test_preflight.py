"""The operator's table of exit codes is the engine images' own, and it understands their line."""

import pytest

from batchedllm.core.preflight import EXIT_CODES, preflight_finding
from batchedllm_engine.inspect import failures as of_models
from batchedllm_engine.start import failures as of_starts
from batchedllm_engine.start.model import _CERTAIN


def test_every_exit_code_of_a_start_is_known_by_the_same_reason() -> None:
    images = {code: str(reason) for reason, code in of_starts.EXIT_CODES.items()}
    images |= {of_models.EXIT_CODES[reason]: str(reason) for reason in _CERTAIN}

    assert {code: str(reason) for code, reason in EXIT_CODES.items()} == images


@pytest.mark.parametrize("reason", [*of_starts.Reason, *sorted(_CERTAIN)], ids=str)
def test_the_line_that_the_image_writes_is_understood(reason) -> None:
    failure = of_starts.PreflightError(reason, "what was found:\n  and what to change")

    found = preflight_finding(failure.exit_code, failure.line)

    assert found == (str(reason), "the start was checked before vLLM: what was found: and what to change")
