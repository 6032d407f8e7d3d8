"""What a BatchedLLM's status advises: lasting signs, carried from look to look and over a restart of the operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchedllm.api.conditions import ConditionType, Reason
from batchedllm.core.scaling import recommendations, signs
from batchedllm.core.scaling.recommendations import ENGINE_STALLED, PATIENCE_SECONDS, Scene
from batchedllm.core.scaling.signs import Sign


@dataclass(frozen=True, slots=True)
class Advice:
    """What is told."""

    recommendations: Mapping[str, str]
    """Words by kind."""
    engine_stalled: str
    """Which engines have stopped working, in words; empty if none."""


NO_ADVICE: Final = Advice({}, "")


@dataclass(frozen=True, slots=True)
class Advised:
    """The outcome of one look."""

    advice: Advice
    signs: tuple[Sign, ...]
    """To be remembered."""
    look_again_seconds: float | None


def advise(scene: Scene, known: tuple[Sign, ...], status: Mapping[str, Any], now_seconds: float) -> Advised:
    """Take in one look. `status` is what is told so far."""
    seen = signs.adopted(known, _told_by(status), now_seconds)
    updated = signs.update(seen, recommendations.found(scene), now_seconds, PATIENCE_SECONDS)
    told = {sign.kind: sign.message for sign in updated if sign.is_told}
    stalled = told.pop(ENGINE_STALLED, "")
    again = signs.changes_in_seconds(updated, now_seconds, PATIENCE_SECONDS)
    return Advised(Advice(told, stalled), updated, again)


def _told_by(status: Mapping[str, Any]) -> dict[str, str]:
    """Return what the status tells; kinds of another version of the operator are left out."""
    told = {one["kind"]: one["message"] for one in status.get("recommendations") or ()}
    for condition in status.get("conditions") or ():
        if condition["type"] == ConditionType.ENGINE_HEALTHY and condition["reason"] == Reason.ENGINE_STALLED:
            told[ENGINE_STALLED] = condition["message"]
    return {kind: message for kind, message in told.items() if kind in PATIENCE_SECONDS}
