"""The service level that requests are held to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slo:
    """Most seconds until the first token, which grow with the prompt, and most mean seconds between later ones."""

    ttft_seconds: float = 2.0
    ttft_seconds_per_token: float = 0.0005
    itl_seconds: float = 0.2

    def is_met(self, prompt_tokens: int, ttft_seconds: float, itl_seconds: float) -> bool:
        """Tell whether an answer came in time."""
        allowed = self.ttft_seconds + self.ttft_seconds_per_token * prompt_tokens
        return ttft_seconds <= allowed and itl_seconds <= self.itl_seconds
