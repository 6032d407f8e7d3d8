"""Arrivals of the last ten minutes, and how large a request is: what the demand in tokens per second is made of."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from math import exp, inf, sqrt
from typing import Final

from batchedllm.core.record import record
from batchedllm.core.scaling.increments import Increment

KEPT_SECONDS: Final = 600.0
CELL_SECONDS: Final = 1.9
"""Arrivals of one round of scrapes belong together, whatever the order in which its pods answered."""
SIZE_SECONDS: Final = 300.0
"""After this time a request's size counts for a third (1/e)."""

MOST_TOKENS: Final = 5e7
"""No request has more, whatever counters say of it: half of what is believed of a mean that was kept."""

STEADY_SECONDS: Final = 180.0
STEADY_CELL_SECONDS: Final = 10.0
STEADY_REQUESTS: Final = 30.0
"""Fewest requests of three minutes that tell whether they come steadily."""
STEADY_VARIATION: Final = 0.25
"""Largest squared variation of ten-second counts, beyond that of chance (Poisson), of steady traffic: half of the mean
up or down."""


@record
class Sizes:
    """Mean tokens of a request, over the last minutes."""

    prompts: float = 0.0
    prompt_tokens_sum: float = 0.0
    answers: float = 0.0
    output_tokens_sum: float = 0.0

    def after(self, seconds: float, done: Iterable[Increment]) -> "Sizes":
        """Return them with what was done in some seconds.

        An answer counts half when it begins and half when it ends, as its tokens are told in between: in a burst
        hundreds are under way when the first ends, which would else be held to have written all of that.

        Only where requests came or ended are older ones forgotten: after an hour without any, the tokens of the first
        answer, told before it counts, would otherwise be those of hardly a request.
        """
        worked = [one for one in done if one.first_tokens or one.finished or one.prompt_tokens or one.generation_tokens]
        if not worked:
            return self
        first_tokens, finished = sum([one.first_tokens for one in worked]), sum([one.finished for one in worked])
        written = (first_tokens + finished) / 2
        factor = exp(-max(0.0, seconds) / SIZE_SECONDS) if first_tokens or finished else 1.0
        prompts, answers = self.prompts * factor + first_tokens, self.answers * factor + written
        prompt_tokens = self.prompt_tokens_sum * factor + sum([one.prompt_tokens for one in worked])
        output_tokens = self.output_tokens_sum * factor + sum([one.generation_tokens for one in worked])
        return Sizes(prompts, _possible(prompt_tokens, prompts), answers, _possible(output_tokens, answers))

    @property
    def prompt_tokens(self) -> float:
        """Mean tokens of a prompt; a usual one before any was seen."""
        return self.prompt_tokens_sum / self.prompts if self.prompts > 0 else 1000.0

    @property
    def output_tokens(self) -> float:
        """Mean tokens of an answer; a usual one before any was seen."""
        return self.output_tokens_sum / self.answers if self.answers > 0 else 200.0

    @property
    def tokens(self) -> float:
        """Mean tokens of a request, prompt and output."""
        return self.prompt_tokens + self.output_tokens


def _merged(cells: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return cells in order of time, of which those that are close together become one."""
    merged: list[tuple[float, float]] = []
    for at_seconds, requests in sorted(cells):
        if merged and at_seconds - merged[-1][0] < CELL_SECONDS:
            merged[-1] = merged[-1][0], merged[-1][1] + requests
        else:
            merged.append((at_seconds, requests))
    return merged


def _possible(tokens: float, requests: float) -> float:
    """Return the tokens, or as many as so many requests can have. Those of the first may be told before it counts."""
    return min(tokens, MOST_TOKENS * requests) if requests > 0 else tokens


@record
class Traffic:
    """When requests came."""

    cells: tuple[tuple[float, float], ...] = ()
    """(monotonic seconds, requests that came by then since the cell before)."""
    since_seconds: float | None = None
    """Since when arrivals are watched."""

    def after(self, now_seconds: float, requests: float) -> "Traffic":
        """Return it with arrivals up to now."""
        cells, since = self.cells, self.since_seconds
        if cells and now_seconds - cells[-1][0] < CELL_SECONDS:
            cells = (*cells[:-1], (cells[-1][0], cells[-1][1] + requests))
        else:
            first = bisect_right(cells, (now_seconds - KEPT_SECONDS, inf))
            cells = (*cells[first:], (now_seconds, requests))
        return Traffic(cells, now_seconds if since is None else since)

    def spread(self, now_seconds: float, told: Iterable[tuple[float, float]]) -> "Traffic":
        """Return it with arrivals up to now that came evenly over some time each: (requests, seconds), at least one.

        A pod that could not be read for minutes tells then all that came meanwhile. Taken for what came just now, it
        would be a burst that never was.
        """
        pieces, oldest = list[tuple[float, float]](), now_seconds
        for requests, seconds in told:
            count = max(1, int(seconds / CELL_SECONDS))
            apart = seconds / count
            kept = min(count, int(KEPT_SECONDS / apart))
            pieces += [(now_seconds - index * apart, requests / count) for index in range(kept)]
            oldest = min(oldest, pieces[-1][0])
        first = bisect_left(self.cells, (oldest - CELL_SECONDS,))
        return Traffic((*self.cells[:first], *_merged([*self.cells[first:], *pieces])), self.since_seconds)

    def requests_per_second(self, window_seconds: float, now_seconds: float) -> float:
        """Return the mean rate over the window, or over as much of it as was watched."""
        watched = now_seconds - (self.since_seconds if self.since_seconds is not None else now_seconds)
        first = bisect_left(self.cells, (now_seconds - window_seconds + 1e-6,))
        came = sum([requests for _, requests in self.cells[first:]])
        return came / min(window_seconds, max(CELL_SECONDS, watched))

    def came_between(self, from_seconds: float, to_seconds: float) -> float | None:
        """Return the requests that came in a part of the last ten minutes; None where not all of it was watched."""
        if self.since_seconds is None or self.since_seconds > from_seconds:
            return None
        first = bisect_right(self.cells, (from_seconds, inf))
        return sum([requests for _, requests in self.cells[first : bisect_right(self.cells, (to_seconds, inf))]])

    def is_falling(self, window_seconds: float, now_seconds: float) -> bool:
        """Tell whether fewer requests came in the window than in the one before, by more than chance (Poisson)."""
        window = min(window_seconds, KEPT_SECONDS / 2)
        now = self.came_between(now_seconds - window, now_seconds)
        before = self.came_between(now_seconds - 2 * window, now_seconds - window)
        return now is not None and before is not None and before - now > sqrt(before + now)

    def is_steady(self, now_seconds: float) -> bool:
        """Tell whether requests came evenly over the last minutes: what has grown then is no burst."""
        if self.since_seconds is None or now_seconds - self.since_seconds < STEADY_SECONDS:
            return False
        counts = [0.0] * int(STEADY_SECONDS / STEADY_CELL_SECONDS)
        for at_seconds, requests in reversed(self.cells):
            index = int((now_seconds - at_seconds) / STEADY_CELL_SECONDS)
            if index >= len(counts):
                break
            counts[index] += requests
        if sum(counts) < STEADY_REQUESTS:
            return False
        mean = sum(counts) / len(counts)
        variance = sum((count - mean) ** 2 for count in counts) / len(counts)
        return (variance - mean) / (mean * mean) < STEADY_VARIATION
