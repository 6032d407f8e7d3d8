"""What in time means: the service level that replicas are to hold."""

import re
from functools import lru_cache
from typing import Final

from batchedllm.api.slo import Slo
from batchedllm.core.record import record

_SECONDS: Final = {"ms": 1e-3, "s": 1.0}
_TIME: Final = r"(\d+(?:\.\d+)?)(ms|s)"


@record
class Objective:
    """Most seconds until the first token, which may grow with the prompt, and most mean seconds between later ones."""

    ttft_seconds: float = 2.0
    ttft_seconds_per_token: float = 0.0005
    itl_seconds: float = 0.2
    attainment: float = 0.98
    """Share of requests that is to be in time."""

    @property
    def late_share(self) -> float:
        """Share of requests that may be late."""
        return 1 - self.attainment

    def allowed_ttft_seconds(self, prompt_tokens: float) -> float:
        """Return how long the first token of a prompt may take."""
        return self.ttft_seconds + self.ttft_seconds_per_token * prompt_tokens


def objective_of(slo: Slo) -> Objective:
    """Return what the resource asks for. Raises ValueError for times that its schema refuses."""
    return _objective(slo.time_to_first_token, slo.inter_token_latency, slo.attainment)


@lru_cache(maxsize=1024)
def _objective(ttft: str, itl: str, attainment: int) -> Objective:
    seconds, seconds_per_token = ttft_of(ttft)
    return Objective(seconds, seconds_per_token, seconds_of(itl), attainment / 100)


def seconds_of(text: str) -> float:
    """Read `200ms` or `2s` as seconds. Raises ValueError."""
    found = re.fullmatch(_TIME, text.strip())
    if found is None:
        raise ValueError(text)
    return float(found[1]) * _SECONDS[found[2]]


def ttft_of(text: str) -> tuple[float, float]:
    """Read `2s`, or `2s+0.5ms/token`, as seconds and seconds per prompt token. Raises ValueError."""
    found = re.fullmatch(rf"{_TIME}(?:\+{_TIME}/token)?", text.replace(" ", ""))
    if found is None:
        raise ValueError(text)
    base, unit, per_token, token_unit = found.groups()
    return float(base) * _SECONDS[unit], float(per_token) * _SECONDS[token_unit] if per_token else 0.0
