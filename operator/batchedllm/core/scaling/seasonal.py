"""What was needed at this time of the day and the week, to have replicas there when it is needed again.

Seasonal-naive, in a few lines: the forecast of a time is what was needed a day and a week before it, the larger of the
two, less a fifth, so that a burst that does not come again fades. A library would fit more parameters than a week of
ten-minute slots can tell. Slots are of UTC: twice a year, when clocks change, the forecast is an hour off for a day.
"""

from bisect import bisect_left
from itertools import pairwise
from typing import Any, Final

from batchedllm.core.record import record
from batchedllm.core.scaling.outlook import startup_seconds
from batchedllm.core.scaling.signals.opinion import Opinion
from batchedllm.core.scaling.types import ScalingState

FORECAST: Final = "forecast"
"""Name of the candidate."""
SLOT_SECONDS: Final = 600
SLOTS_OF_A_DAY: Final = 86400 // SLOT_SECONDS
SLOTS_OF_A_WEEK: Final = 7 * SLOTS_OF_A_DAY
KEPT_PERCENT: Final = 80
"""Of what was needed then; the signals see to the rest."""


def opinions(state: ScalingState) -> tuple[Opinion, ...]:
    """Ask for what is expected until a replica that is asked for now would serve. It never asks for fewer."""
    if state.policy.prediction == "off" or state.wall_seconds is None:
        return ()
    needed = forecast(state.memory.seasons, state.wall_seconds, startup_seconds(state))
    if needed is None:
        return (Opinion(FORECAST, None, "nothing is known of this time of the day"),)
    words = f"at this time of the day or the week up to {needed.before} were needed, {KEPT_PERCENT} % of them are kept"
    return (Opinion(FORECAST, needed.replicas, words),)


@record
class Forecast:
    """What is expected."""

    replicas: int
    before: int
    """What was needed a day or a week ago."""


def forecast(seasons: tuple[tuple[int, int], ...], wall_seconds: float, ahead_seconds: float) -> Forecast | None:
    """Return the most that is expected from now until `ahead_seconds` from now; None where nothing is known."""
    slots = range(_slot(wall_seconds), _slot(wall_seconds + ahead_seconds) + 1)
    before = max(
        (_need(seasons, slot - period) for slot in slots for period in (SLOTS_OF_A_DAY, SLOTS_OF_A_WEEK)), default=0
    )
    return Forecast(-(-before * KEPT_PERCENT // 100), before) if before else None


def recorded(state: ScalingState, asked: int) -> tuple[tuple[int, int], ...]:
    """Return the seasons with what is asked for because of what comes now: a forecast would feed itself.

    A need of one replica is not kept: it says nothing, and at rest nothing is to be written.
    """
    seasons = state.memory.seasons
    need = state.bounds.bounded(asked)
    if state.policy.prediction == "off" or state.wall_seconds is None or need <= 1:
        return seasons
    slot = _slot(state.wall_seconds)
    if seasons and seasons[-1][0] == slot and seasons[-1][1] >= need:
        return seasons
    oldest = slot - SLOTS_OF_A_WEEK
    return (*(one for one in seasons if oldest <= one[0] < slot), (slot, need))


def from_json(document: Any) -> tuple[tuple[int, int], ...]:  # noqa: ANN401 - whatever somebody wrote into a ConfigMap
    """Read seasons as JSON has them: pairs of slot and need in rising order. What is not of this form is forgotten."""
    try:
        seasons = tuple((slot, need) for slot, need in document)
    except (TypeError, ValueError):
        return ()
    is_valid = all(type(slot) is int and type(need) is int and need > 0 for slot, need in seasons)
    rises = is_valid and all(earlier[0] < later[0] for earlier, later in pairwise(seasons))
    return seasons[-SLOTS_OF_A_WEEK - 1 :] if rises else ()


def _slot(wall_seconds: float) -> int:
    return int(wall_seconds // SLOT_SECONDS)


def _need(seasons: tuple[tuple[int, int], ...], slot: int) -> int:
    at = bisect_left(seasons, (slot, 0))
    return seasons[at][1] if at < len(seasons) and seasons[at][0] == slot else 0
