"""What is told of many requests: rates, and times by mean and quantile. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

MEDIAN: Final = 0.5
P95: Final = 0.95
P99: Final = 0.99


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of something that happened often."""

    mean: float
    median: float
    p95: float
    p99: float

    def to_json(self) -> dict[str, float]:
        """Return it as JSON has it, in seconds."""
        return {
            "mean": rounded(self.mean),
            "median": rounded(self.median),
            "p95": rounded(self.p95),
            "p99": rounded(self.p99),
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """What a client saw of one measurement."""

    seconds: float
    """Between the first request sent and the last token received."""
    completed: int
    failed: int
    prompt_tokens: int
    output_tokens: int
    time_to_first_token: Times
    inter_token: Times
    """Between two tokens as they arrive: 0 for those that come in one piece."""
    per_token: Times
    """Between two tokens of one answer, on average over the answer: what its reader feels."""
    end_to_end: Times

    @property
    def output_tokens_per_second(self) -> float:
        """Tokens of answers."""
        return self.output_tokens / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Tokens of prompts and answers together."""
        return (self.prompt_tokens + self.output_tokens) / self.seconds

    @property
    def requests_per_second(self) -> float:
        """Requests answered."""
        return self.completed / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it, in seconds and tokens."""
        return {
            "seconds": rounded(self.seconds),
            "completed": self.completed,
            "failed": self.failed,
            "requestsPerSecond": rounded(self.requests_per_second),
            "outputTokensPerSecond": rounded(self.output_tokens_per_second),
            "tokensPerSecond": rounded(self.tokens_per_second),
            "timeToFirstTokenSeconds": self.time_to_first_token.to_json(),
            "interTokenSeconds": self.inter_token.to_json(),
            "perOutputTokenSeconds": self.per_token.to_json(),
            "endToEndSeconds": self.end_to_end.to_json(),
        }


def times_of(seconds: Sequence[float]) -> Times:
    """Return mean and quantiles; zeros where nothing happened."""
    if not seconds:
        return Times(0.0, 0.0, 0.0, 0.0)
    ascending = sorted(seconds)
    return Times(sum(ascending) / len(ascending), *(quantile(ascending, share) for share in (MEDIAN, P95, P99)))


def quantile(ascending: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies, interpolated between neighbours as numpy does."""
    place = share * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (place - below) * (ascending[above] - ascending[below])


def rounded(value: float) -> float:
    """Return it with five significant digits: the sixth says nothing."""
    return float(f"{value:.5g}")
