"""`spec.slo` of a BatchedLLM: how long its users may have to wait."""

from typing import Final

from pydantic import Field

from batchedllm.api.base import ApiModel

_TIME: Final = r"[0-9]{1,6}(\.[0-9]{1,6})?(ms|s)"


class Slo(ApiModel):
    """The service level that scaling holds: within it a request is in time."""

    time_to_first_token: str = Field(
        default="2s+0.5ms/token",
        max_length=40,
        pattern=rf"^{_TIME}(\+{_TIME}/token)?$",
        description="Longest time to the first token, such as `2s`; with `+0.5ms/token` it grows with the prompt, "
        "since a long one takes longer to read.",
    )
    inter_token_latency: str = Field(
        default="200ms",
        max_length=20,
        pattern=rf"^{_TIME}$",
        description="Longest time between two tokens of an answer, on its average, such as `200ms`.",
    )
    attainment: int = Field(
        default=98,
        ge=50,
        le=99,
        description="Percent of the requests that are to be in time. The higher, the more replicas are kept for "
        "bursts.",
    )
