"""Signs that last: what is told to people only once it has held for long, and until it has been gone for long.

A sign may be interrupted for a minute before it is told, and for as long as it took to be told after that: nothing
appears, disappears or changes its words from one scrape to the next.
"""

from collections.abc import Mapping
from typing import Final

from batchedllm.core.record import changed, record

INTERRUPTION_SECONDS: Final = 60.0
"""How long a sign that is not told yet may be missing without beginning anew: single scrapes contradict most."""


@record
class Sign:
    """Something that is seen, or was until shortly."""

    kind: str
    message: str
    """As it was when the sign began to be told."""
    since_seconds: float
    """Monotonic time from which on it was seen without a long interruption."""
    seen_seconds: float
    """Monotonic time at which it was last seen."""
    is_told: bool = False


def update(
    signs: tuple[Sign, ...], found: Mapping[str, str], now_seconds: float, patience_seconds: Mapping[str, float]
) -> tuple[Sign, ...]:
    """Return the signs after a look that `found` some, with the words for each. Patience is by kind."""
    known = {sign.kind: sign for sign in signs if sign.seen_seconds <= now_seconds}
    seen = tuple(
        _seen(known.get(kind), kind, message, now_seconds, patience_seconds[kind]) for kind, message in found.items()
    )
    missing = (sign for kind, sign in known.items() if kind not in found)
    kept = (sign for sign in missing if now_seconds - sign.seen_seconds < _grace(sign, patience_seconds))
    return tuple(sorted((*seen, *kept), key=lambda sign: sign.kind))


def adopted(signs: tuple[Sign, ...], told: Mapping[str, str], now_seconds: float) -> tuple[Sign, ...]:
    """Return the signs with those that the status tells already: a process before this one saw them."""
    known = {sign.kind for sign in signs}
    others = (
        Sign(kind, message, now_seconds, now_seconds, is_told=True)
        for kind, message in told.items()
        if kind not in known
    )
    return (*signs, *others)


def changes_in_seconds(
    signs: tuple[Sign, ...], now_seconds: float, patience_seconds: Mapping[str, float]
) -> float | None:
    """When a sign begins or ceases to be told if nothing else happens; None if none does."""
    begins = [sign.since_seconds + patience_seconds[sign.kind] for sign in signs if not sign.is_told]
    ends = [sign.seen_seconds + _grace(sign, patience_seconds) for sign in signs if sign.seen_seconds < now_seconds]
    return min((max(0.0, at - now_seconds) for at in (*begins, *ends)), default=None)


def _seen(known: Sign | None, kind: str, message: str, now_seconds: float, patience_seconds: float) -> Sign:
    since = now_seconds if known is None else known.since_seconds
    if known is not None and known.is_told:
        return changed(known, seen_seconds=now_seconds)
    return Sign(kind, message, since, now_seconds, is_told=now_seconds - since >= patience_seconds)


def _grace(sign: Sign, patience_seconds: Mapping[str, float]) -> float:
    return patience_seconds[sign.kind] if sign.is_told else INTERRUPTION_SECONDS
