"""The batch curve as an SVG: throughput and the wait between tokens over the batch size, the knee marked. Pure."""

from collections.abc import Callable, Mapping, Sequence
from math import log2
from typing import Any, Final

WIDTH: Final = 720
HEIGHT: Final = 360
LEFT: Final = 70
RIGHT: Final = 650
TOP: Final = 50
BOTTOM: Final = 310
_FRAME: Final = '<rect x="{0}" y="{1}" width="{2}" height="{3}" fill="none" stroke="#999"/>'
THROUGHPUT: Final = "#1f77b4"
WAIT: Final = "#d62728"
GRID: Final = 4


def svg(profile: Mapping[str, Any]) -> str:
    """Return the picture of a profile as `Profile.to_json` makes it. Raises ValueError without a curve."""
    curve: Sequence[Mapping[str, Any]] = profile["curve"]
    if not curve:
        raise ValueError("a profile without a curve has no picture")
    batches = [one["batch"] for one in curve]
    speeds = [one["outputTokensPerSecond"] for one in curve]
    waits = [one["perOutputTokenSeconds"]["mean"] * 1000 for one in curve]
    across = _across(batches)
    title = f"{profile['model']} on {profile['gpu']}, vLLM {profile['engineVersion']}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{_escaped(title)}</text>',
        _FRAME.format(LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP),
        *(_text(across(batch), BOTTOM + 16, str(batch)) for batch in batches),
        _text((LEFT + RIGHT) / 2, BOTTOM + 36, "requests at once"),
        *_scale(max(speeds), LEFT - 6, "end", THROUGHPUT),
        *_scale(max(waits), RIGHT + 6, "start", WAIT),
        _text(LEFT, TOP - 10, "tokens/s", "start", THROUGHPUT),
        _text(RIGHT, TOP - 10, "ms between tokens", "end", WAIT),
        _line([(across(x), _up(y, max(speeds))) for x, y in zip(batches, speeds, strict=True)], THROUGHPUT),
        _line([(across(x), _up(y, max(waits))) for x, y in zip(batches, waits, strict=True)], WAIT),
        *_knee(profile, across),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _across(batches: Sequence[int]) -> Callable[[float], float]:
    """Return where a batch size lies: by its logarithm."""
    low, high = log2(batches[0]), log2(batches[-1])
    span = high - low or 1.0
    return lambda batch: LEFT + 20 + (RIGHT - LEFT - 40) * (log2(batch) - low) / span


def _up(value: float, most: float) -> float:
    return BOTTOM - (BOTTOM - TOP - 10) * value / (most or 1.0)


def _scale(most: float, x: float, anchor: str, colour: str) -> list[str]:
    values = [most * step / GRID for step in range(GRID + 1)]
    return [
        _text(x, _up(value, most) + 4, f"{value:,.0f}" if most >= GRID else f"{value:.2g}", anchor, colour)
        for value in values
    ]


def _knee(profile: Mapping[str, Any], across: Callable[[float], float]) -> list[str]:
    found = profile.get("knee")
    if found is None:
        return []
    x, words = across(found["batch"]), "knee" if found["isReached"] else "no knee yet"
    dashes = f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BOTTOM}" stroke="#333" stroke-dasharray="4 3"/>'
    return [dashes, _text(x, TOP + 14, f"{words}: {found['batch']}", "end" if x > WIDTH / 2 else "start")]


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _text(x: float, y: float, words: str, anchor: str = "middle", colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
