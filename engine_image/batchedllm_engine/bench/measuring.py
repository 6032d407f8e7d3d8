"""The measurements, one after another, within a budget of time: what has no time any more is left out, and told so."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeVar

from batchedllm_engine.bench import load
from batchedllm_engine.bench.asks import Ask, TraceFileError, at_rate, mixed, read_trace, stream
from batchedllm_engine.bench.engine import Engine, Looks, flag_of
from batchedllm_engine.bench.failures import BenchError, Reason
from batchedllm_engine.bench.figures import Figures, rounded
from batchedllm_engine.bench.knee import knee, sweet_spot
from batchedllm_engine.bench.metrics_page import Page, StepSums
from batchedllm_engine.bench.profile import BatchPoint, PrefillPoint, Profile, typical
from batchedllm_engine.bench.request import Request
from batchedllm_engine.bench.vllm_bench import VllmBench
from batchedllm_engine.stat_logger.definitions import BATCH_SIZES
from batchedllm_engine.stat_logger.step import BATCH_LABEL_VALUES, batch_bucket

GRACE_SECONDS: Final = 20.0
"""What a measurement that was begun in time may take beyond the budget before it is called off."""
CURVE_SHARE: Final = 0.5
STATIC_SHARE: Final = 0.25
"""Of the budget; streams get what is left."""
LEAST_ROUNDS: Final = 2
MOST_ROUNDS: Final = 8
"""Requests of a point of the curve, in multiples of its batch: of one alone, all would begin and end together."""
LEAST_REQUESTS: Final = 4
GROWTH: Final = 1.5
"""By how much a request is expected to take longer at the next batch size."""
PREFILLS: Final = (512, 2048, 8192)
PREFILL_TRIES: Final = 3
RATE_SHARES: Final = (0.5, 0.8)
"""Of the knee's requests a second, where no rates are asked for."""
STREAM_SECONDS: Final = 30.0
MOST_STREAM_REQUESTS: Final = 5000
MOST_STATIC_BATCHES: Final = 10
LEAST_STATIC_BATCHES: Final = 2
BY_VLLM: Final = "vllm bench serve"
BY_US: Final = "batchedllm_engine"

Measured = TypeVar("Measured")


@dataclass(slots=True)
class Measuring:
    """One engine under measurement."""

    request: Request
    engine: Engine
    look: Looks
    client: load.Client
    bench: VllmBench | None
    """vLLM's own; None: all is measured by our client."""
    profile: Profile
    random: Random
    begin: float

    async def run(self) -> None:
        """Measure what is asked for, as far as the time goes. Raises BenchError where nothing could be measured."""
        await self._warm_up()
        if "curve" in self.request.parts:
            await self._prefills()
            await self._curve()
        if "static" in self.request.parts:
            await self._static()
        if "stream" in self.request.parts:
            await self._streams()
        self.profile.seconds = self._spent()

    def _spent(self) -> float:
        return time.monotonic() - self.begin

    def _left(self, share: float = 1.0) -> float:
        """Return the seconds until a share of the budget is spent."""
        return self.request.budget_seconds * share - self._spent()

    async def _warm_up(self) -> None:
        """Let the engine do once what it does the first time only, and see that it answers at all."""
        ask = Ask(self.request.prompt_tokens, min(16, self.request.output_tokens))
        answers = await self._in_time(self.client.closed([ask] * 8, 4))
        error = "no answer in time" if answers is None else load.first_error(answers)
        if error is not None:
            words = f"the engine does not answer a request of {ask.prompt_tokens} + {ask.output_tokens} tokens: {error}"
            raise BenchError(Reason.NO_ANSWER, words)

    async def _prefills(self) -> None:
        """Measure prompts alone, of each length that one step can read: the median of some tries, by either clock."""
        longest = self.engine.longest_tokens or PREFILLS[-1] + 1
        in_a_step = self._flag("--max-num-batched-tokens") or PREFILLS[-1]
        for tokens in (one for one in PREFILLS if one < longest and one <= in_a_step):
            tries = [one for one in [await self._prefill(tokens) for _ in range(PREFILL_TRIES)] if one is not None]
            if tries:
                self.profile.prefill.append(typical(tries))

    async def _prefill(self, tokens: int) -> PrefillPoint | None:
        """Measure one prompt; None where no answer came in time."""
        before = await self.look.page()
        answers = await self._in_time(self.client.closed([Ask(tokens, 1)], 1))
        if not answers or answers[0].first is None:
            return None
        reading = (await self.look.page()).reading.since(before.reading)
        return PrefillPoint(tokens, answers[0].first - answers[0].sent, reading.mean_seconds)

    async def _curve(self) -> None:
        largest = self._flag("--max-num-seqs")
        batches = [one for one in self.request.batches if largest is None or one <= largest]
        if left := [one for one in self.request.batches if one not in batches]:
            self._leave_out(f"batches {left}: above the engine's max-num-seqs, {largest}")
        expected = await self._alone_seconds()
        share = self._left(CURVE_SHARE) / max(1, len(batches))
        for batch in batches:
            if LEAST_ROUNDS * expected > self._left(CURVE_SHARE):
                seconds = LEAST_ROUNDS * expected
                self._leave_out(f"batch {batch} and above: some {seconds:.0f} s each, no time left for the curve")
                break
            rounds = min(MOST_ROUNDS, max(LEAST_ROUNDS, int(share / expected)))
            point = await self._point(batch, max(LEAST_REQUESTS, batch * rounds))
            if point is None:
                break
            self.profile.curve.append(point)
            expected = point.figures.end_to_end.mean * GROWTH
        self._conclude()

    def _conclude(self) -> None:
        """Find knee and sweet spot. Raises BenchError where there is no curve to find them in."""
        if not self.profile.curve:
            raise BenchError(Reason.DEADLINE, "; ".join(self.profile.left_out) or "no batch was measured")
        points = [one.point for one in self.profile.curve]
        self.profile.knee = knee(points)
        self.profile.limit_seconds = self.request.inter_token_limit_seconds
        if self.request.inter_token_limit_seconds is not None:
            self.profile.sweet_spot = sweet_spot(points, self.request.inter_token_limit_seconds)

    async def _alone_seconds(self) -> float:
        """Return how long one request takes that is alone in the engine."""
        answers = await self._in_time(self.client.closed([self._ask()], 1))
        return load.figures(answers or []).end_to_end.mean or 1.0

    async def _point(self, batch: int, count: int) -> BatchPoint | None:
        """Measure a batch size."""
        before = await self.look.page()
        measured = await self._in_time(self._at_once(count, batch))
        if measured is None:
            self._leave_out(f"batch {batch}: called off, it did not end in time")
            return None
        if not measured.completed:
            raise BenchError(
                Reason.NO_ANSWER, f"all {count} requests failed at batch {batch}: the engine's log says why"
            )
        steps = _steps(before, await self.look.page(), batch)
        return BatchPoint(batch, measured, steps.batch, steps.step_seconds)

    async def _at_once(self, count: int, batch: int) -> Figures:
        ask = self._ask()
        if self.bench is not None:
            return await self.bench.at_once(count, ask.prompt_tokens, ask.output_tokens, batch)
        return load.figures(await self.client.closed([ask] * count, batch))

    async def _streams(self) -> None:
        rates: tuple[float | None, ...] = self.request.rates or self._rates_by_knee()
        if self.request.trace is not None and not self.request.rates:
            rates = (None,)
        for place, rate in enumerate(rates):
            seconds = min(STREAM_SECONDS, self._left() / (len(rates) - place) / 2)
            if seconds < 1:
                self._leave_out(f"a stream of {rate or 'a trace'}: no time left")
                continue
            measured = await self._in_time(self._stream(rate, seconds))
            if measured is None:
                self._leave_out(f"a stream of {rate or 'a trace'}: called off, it did not end in time")
            else:
                self.profile.streams.append({"arrivals": self._arrivals(), **_at(rate), **measured.to_json()})

    def _rates_by_knee(self) -> tuple[float, ...]:
        found = self.profile.knee
        rates = [one.figures.requests_per_second for one in self.profile.curve if found and one.batch == found.batch]
        if not rates:
            self._leave_out("streams: without a curve, --rates must say how many requests a second")
        return tuple(rounded(share * rate) for rate in rates for share in RATE_SHARES)

    async def _stream(self, rate: float | None, seconds: float) -> Figures:
        lengths = (self.request.prompt_tokens, self.request.output_tokens)
        if self.request.trace is not None:
            try:
                trace = read_trace(self.request.trace, self.engine.longest_tokens)
            except TraceFileError as error:
                raise BenchError(Reason.BAD_ARGUMENTS, f"--arrivals trace: {error}") from error
            return load.figures(await self.client.stream(at_rate(trace, rate, seconds)[:MOST_STREAM_REQUESTS]))
        per_second = rate or 1.0
        count = min(MOST_STREAM_REQUESTS, max(LEAST_REQUESTS, round(per_second * seconds)))
        if self.bench is not None:
            return await self.bench.stream(count, *lengths, per_second, self.request.variation)
        return load.figures(
            await self.client.stream(stream(count, per_second, self.request.variation, lengths, self.random))
        )

    def _arrivals(self) -> str:
        if self.request.trace is not None:
            return f"trace {self.request.trace.name}"
        return "poisson" if self.request.variation == 1 else f"gamma {self.request.variation:g}"

    async def _static(self) -> None:
        """Answer the same requests twice: batch after batch, and with the next one in as soon as one is done."""
        batch = self.request.static_batch or (self.profile.knee.batch if self.profile.knee else None)
        if batch is None:
            self._leave_out("static batches: without a curve, --static-batch must say how large")
            return
        shortest, longest = self.request.static_output_tokens
        longest = min(longest, (self.engine.longest_tokens or longest) - self.request.prompt_tokens)
        one_batch = await self._wait_seconds(batch) * longest + 1.0
        share = CURVE_SHARE + STATIC_SHARE if "stream" in self.request.parts else 1.0
        batches = min(MOST_STATIC_BATCHES, int(self._left(share) / (2 * one_batch)))
        if batches < LEAST_STATIC_BATCHES:
            self._leave_out(f"static batches of {batch}: some {one_batch:.0f} s each, no time left")
            return
        asks = mixed(batch * batches, self.request.prompt_tokens, shortest, longest, self.random)
        by_hand = await self._in_time(self.client.batches(asks, batch))
        continuous = await self._in_time(self.client.closed(asks, batch))
        if by_hand is None or continuous is None:
            self._leave_out("static batches: called off, they did not end in time")
            return
        self.profile.static = _compared(
            batch, batches, (shortest, longest), load.figures(by_hand), load.figures(continuous)
        )

    async def _wait_seconds(self, batch: int) -> float:
        """Return the mean time between two tokens at a batch size, of the curve or tried now."""
        known = [one.figures.per_token.mean for one in self.profile.curve if one.batch >= batch]
        if known:
            return known[0]
        answers = await self._in_time(self.client.closed([Ask(self.request.prompt_tokens, 16)] * batch, batch))
        return load.figures(answers or []).per_token.mean or 0.1

    async def _in_time(self, measurement: Awaitable[Measured]) -> Measured | None:
        """Return what is measured; None where it does not end some seconds after the budget."""
        try:
            async with asyncio.timeout(max(self._left(), 0.0) + min(GRACE_SECONDS, self.request.budget_seconds)):
                return await measurement
        except TimeoutError:
            return None

    def _ask(self) -> Ask:
        return Ask(self.request.prompt_tokens, self.request.output_tokens)

    def _flag(self, name: str) -> int | None:
        return flag_of(self.request.engine_arguments, name)

    def _leave_out(self, words: str) -> None:
        self.profile.left_out.append(words)


def _steps(before: Page, after: Page, batch: int) -> StepSums:
    """Return the decoding steps of about this batch size that were taken in between."""
    label = BATCH_LABEL_VALUES[batch_bucket(batch)] if batch <= BATCH_SIZES[-1] else "+Inf"
    return after.decode_steps.get(label, StepSums()).since(before.decode_steps.get(label, StepSums()))


def _at(rate: float | None) -> dict[str, float]:
    return {} if rate is None else {"askedRequestsPerSecond": rate}


def _compared(
    batch: int, batches: int, lengths: tuple[int, int], by_hand: Figures, continuous: Figures
) -> dict[str, Any]:
    return {
        "batch": batch,
        "batches": batches,
        "outputTokens": list(lengths),
        "ratio": rounded(continuous.output_tokens_per_second / by_hand.output_tokens_per_second),
        "static": by_hand.to_json(),
        "continuous": continuous.to_json(),
    }
