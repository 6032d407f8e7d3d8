"""The simulated engine: vLLM's continuous batching, step by step, on a clock that the caller turns.

Each step first gives every running request its next tokens (preempting some if the KV cache is full), then admits
waiting ones while token budget, seats and KV blocks last; nobody overtakes the head of the line. Steps in which nothing
changes but the length of the contexts are taken many at once.

Follows vLLM 0.32.0 (vllm/v1/core/sched/scheduler.py) without prefix caching, speculative decoding and asynchronous
scheduling.
"""

from dataclasses import dataclass, field
from math import sqrt

from batchedllm.sim.decode_batch import DecodeBatch
from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.events import EngineEvent, EngineRequest, Finished, FinishReason, FirstToken, QueueLimitReached
from batchedllm.sim.gpu_meter import GpuMeter
from batchedllm.sim.running_step import schedule_with_preemption
from batchedllm.sim.sequences import Sequence
from batchedllm.sim.statistics import EngineStatistics, FinishedTimings
from batchedllm.sim.step_times import GpuLoad, StepTimes, StepWork
from batchedllm.sim.waiting_queue import waiting_queue


@dataclass(slots=True)
class _Step:
    """The step under way: prefill chunks, and the decoding requests it had to leave out."""

    start: float
    seconds: float = 0.0
    work: StepWork = field(default_factory=StepWork)
    chunks: list[tuple[Sequence, int]] = field(default_factory=list)
    left_out: list[Sequence] = field(default_factory=list)

    @property
    def end(self) -> float:
        return self.start + self.seconds


class SimulatedEngine:
    """One engine replica. Times given must never go back; results come out of `advance`."""

    def __init__(self, settings: EngineSettings, step_times: StepTimes, load: GpuLoad, *, start: float = 0.0) -> None:
        self.settings = settings
        self.statistics = EngineStatistics(settings.max_model_len)
        self._times = step_times
        self._meter = GpuMeter(load)
        self._clock = start
        self._step: _Step | None = None
        self._decoding = DecodeBatch(settings.block_size)
        self._waiting = waiting_queue(settings.scheduling_policy)
        self._running: list[Sequence] = []
        self._partial: Sequence | None = None
        self._sequences: dict[str, Sequence] = {}
        self._prefilling_tokens = 0
        self._free_blocks = settings.usable_blocks
        self._events: list[EngineEvent] = []

    @property
    def running(self) -> int:
        """Requests in the batch: vLLM's num_requests_running."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests in the line: vLLM's num_requests_waiting."""
        return len(self._waiting)

    @property
    def kv_cache_usage(self) -> float:
        """Fraction of the KV cache that is held."""
        return 1 - self._free_blocks / self.settings.usable_blocks

    def next_step_end(self) -> float | None:
        """Return when something can happen next: the end of the step under way; None when there is no work."""
        if self._step is not None:
            return self._step.end
        return self._clock if self._sequences else None

    def generated_tokens(self, request_id: str) -> int:
        """Return how many tokens of the answer are out. Raise KeyError for a request that is not in the engine."""
        sequence = self._sequences[request_id]
        if sequence in self._decoding:
            return self._decoding.generated_tokens(sequence)
        return sequence.generated_tokens

    def gpu_integrals(self, now: float) -> tuple[float, float]:
        """Return percent-seconds of GPU utilization and joules above idle power since the start."""
        if self._step is None:
            return self._meter.plus(1, 0.0)
        elapsed = max(0.0, min(now, self._step.end) - self._step.start)
        return self._meter.plus(self._step.work.tokens, elapsed)

    def submit(self, request: EngineRequest, now: float) -> None:
        """Take a request in. Raise QueueLimitReached where vLLM answers 503, ValueError for a too long prompt."""
        room = self.settings.max_model_len - request.prompt_tokens
        if room < 1:
            raise ValueError(
                f"prompt_tokens={request.prompt_tokens} of request {request.request_id}: expected less than "
                f"max_model_len={self.settings.max_model_len}"
            )
        if request.request_id in self._sequences:
            raise ValueError(f"request_id={request.request_id}: is in the engine already; ids must differ")
        self._run_until(now)
        self._check_queue_limits()
        if not self._sequences and self._step is None:
            self._clock = max(self._clock, now)
        limit = min(room, request.max_tokens or room)
        reason: FinishReason = "length" if request.output_tokens >= limit else "stop"
        sequence = Sequence(request, now, min(request.output_tokens, limit), reason)
        self._sequences[request.request_id] = sequence
        self._prefilling_tokens += request.prompt_tokens
        self._waiting.add(sequence)

    def abort(self, request_id: str, now: float) -> None:
        """Drop a request, as vLLM does when its client has gone. One that has ended before is no error."""
        self._run_until(now)
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return
        if sequence in self._running:
            self._release(sequence)
            self._running.remove(sequence)
            if self._partial is sequence:
                self._partial = None
        else:
            self._waiting.remove(sequence)
        self.statistics.aborted += 1
        self._retire(sequence, now, "abort")

    def advance(self, now: float) -> list[EngineEvent]:
        """Run until `now` and return what happened since the last call, in order."""
        self._run_until(now)
        events, self._events = self._events, []
        return events

    def _check_queue_limits(self) -> None:
        limits = self.settings
        if limits.max_num_queued_reqs is not None and len(self._sequences) >= limits.max_num_queued_reqs:
            self.statistics.admission_rejections["max_num_queued_reqs"] += 1
            raise QueueLimitReached("max_num_queued_reqs")
        if limits.max_num_queued_tokens is not None and self._prefilling_tokens >= limits.max_num_queued_tokens:
            self.statistics.admission_rejections["max_num_queued_tokens"] += 1
            raise QueueLimitReached("max_num_queued_tokens")

    # -- the clock ---------------------------------------------------------------------------------------------------

    def _run_until(self, now: float) -> None:
        """Finish every step that ends by `now`. A step begins only once time has passed its beginning."""
        while self._sequences or self._step is not None:
            if self._step is None:
                if self._clock >= now:
                    return
                self._take_equal_steps(now)
                if self._clock >= now:
                    return
                self._begin_step()
            if self._step is None or self._step.end > now:
                return
            self._end_step(self._step)

    def _take_equal_steps(self, now: float) -> None:
        """Take all steps at once in which the batch stays as it is: none joins, finishes or is preempted."""
        sequences = len(self._decoding)
        to_finish = self._decoding.steps_to_finish()
        if self._partial is not None or to_finish is None or to_finish < 2 or self._admissible() is not None:  # noqa: PLR2004
            return
        work = StepWork(decode_sequences=sequences, decode_context_tokens=self._decoding.context_tokens + sequences)
        first, growth = self._times.seconds(work), self._times.decode_growth_seconds(sequences)
        in_time = _steps_in(now - self._clock, first, growth, most=to_finish - 1)
        steps, blocks = self._decoding.steps_within(self._free_blocks, in_time)
        if steps < 1:
            return
        self._free_blocks -= blocks
        self._decoding.advance(steps)
        self.statistics.record_decode_steps(sequences, steps, first, growth)
        seconds = steps * first + growth * steps * (steps - 1) / 2
        self._meter.add(work.tokens, seconds)
        self._clock = min(now, self._clock + seconds)

    # -- one step ----------------------------------------------------------------------------------------------------

    def _begin_step(self) -> None:
        step = _Step(start=self._clock)
        chunk, blocks = self._partial_chunk()
        if self._decoding.new_blocks() + blocks <= self._free_blocks:
            self._free_blocks -= self._decoding.new_blocks() + blocks
            if self._partial is not None:
                self._partial.blocks += blocks
                step.chunks.append((self._partial, chunk))
            self._admit_waiting(step, self.settings.max_num_batched_tokens - len(self._decoding) - chunk)
        else:
            self._preempt_and_schedule(step)
        step.work = self._step_work(step)
        step.seconds = self._times.seconds(step.work)
        self._step = step

    def _partial_chunk(self) -> tuple[int, int]:
        """Return the tokens and new blocks of the request whose prompt is read in part; at most one is."""
        if self._partial is None:
            return 0, 0
        chunk = min(self._partial.remaining_tokens, self.settings.max_num_batched_tokens - len(self._decoding))
        return chunk, self.settings.blocks_for(self._partial.computed_tokens + chunk) - self._partial.blocks

    def _admissible(self) -> Sequence | None:
        """Return the head of the line if there is a seat and KV space for its whole prompt."""
        if not self._waiting or len(self._running) >= self.settings.running_limit:
            return None
        head = self._waiting.head()
        watermark = self.settings.watermark_blocks if self._running else 0
        return head if self.settings.blocks_for(head.known_tokens) + watermark <= self._free_blocks else None

    def _admit_waiting(self, step: _Step, budget: int) -> None:
        while budget > 0 and (sequence := self._admissible()) is not None:
            self._waiting.pop()
            chunk = min(sequence.known_tokens, budget)
            sequence.blocks = self.settings.blocks_for(chunk)
            self._free_blocks -= sequence.blocks
            budget -= chunk
            if sequence.first_scheduled_at is None:
                sequence.first_scheduled_at = step.start
                self.statistics.prefix_cache_queries += sequence.request.prompt_tokens
            self._running.append(sequence)
            step.chunks.append((sequence, chunk))

    def _preempt_and_schedule(self, step: _Step) -> None:
        """Give running requests blocks one by one, taking them from victims; nobody is admitted in such a step."""
        decoding = [sequence for sequence in self._running if sequence in self._decoding]
        for sequence in decoding:
            self._decoding.leave(sequence)
            sequence.blocks = self.settings.blocks_for(sequence.computed_tokens)
            sequence.last_token_at = step.start
        outcome = schedule_with_preemption(self._running, self._free_blocks, self.settings)
        self._running, self._free_blocks = outcome.running, outcome.free_blocks
        for victim in outcome.preempted:
            victim.preemptions += 1
            victim.computed_tokens = 0
            self._waiting.put_back(victim)
        self.statistics.num_preemptions += len(outcome.preempted)
        if self._partial in outcome.preempted:
            self._partial = None
        step.left_out = [sequence for sequence in outcome.left_out if sequence is not self._partial]
        for sequence, tokens in outcome.scheduled:
            if sequence is self._partial:
                step.chunks.append((sequence, tokens))
            else:
                self._decoding.join(sequence)

    def _step_work(self, step: _Step) -> StepWork:
        decoding = len(self._decoding)
        return StepWork(
            decode_sequences=decoding,
            decode_context_tokens=self._decoding.context_tokens + decoding,
            prefill_tokens=sum(tokens for _, tokens in step.chunks),
            prefill_attention_pairs=sum(
                tokens * sequence.computed_tokens + tokens * (tokens + 1) // 2 for sequence, tokens in step.chunks
            ),
            prefill_sequences=len(step.chunks),
        )

    def _end_step(self, step: _Step) -> None:
        self._step = None
        self._clock = step.end
        decoding = generated = len(self._decoding)
        sequences = decoding + len(step.chunks)
        self.statistics.histograms["inter_token_latency_seconds"].observe(step.seconds, generated)
        self._meter.add(step.work.tokens, step.seconds)
        self._decoding.advance(1)
        for sequence in self._decoding.pop_finished():
            self._free_blocks += self.settings.blocks_for(sequence.computed_tokens)
            self._finish(sequence)
        for sequence in step.left_out:
            if not sequence.finished:
                self._decoding.join(sequence)
        prompt_tokens = 0
        if any(sequence is self._partial for sequence, _ in step.chunks):
            self._partial = None
        for sequence, tokens in step.chunks:
            if sequence.finished:
                continue
            first = sequence.first_token_at is None
            if self._end_chunk(sequence, tokens):
                generated += 1
                prompt_tokens += sequence.request.prompt_tokens if first else 0
        self.statistics.record_step(step.seconds, sequences, decoding, prompt_tokens, generated)

    def _end_chunk(self, sequence: Sequence, tokens: int) -> bool:
        """Book a prefill chunk; return whether it was the last, which brings a token."""
        sequence.computed_tokens += tokens
        if sequence.remaining_tokens:
            self._partial = sequence
            return False
        if sequence.first_token_at is None:
            self._first_token(sequence)
        else:
            waited = self._clock - sequence.last_token_at
            self.statistics.histograms["inter_token_latency_seconds"].observe(waited)
        sequence.generated_tokens += 1
        if sequence.generated_tokens >= sequence.target_tokens:
            self._free_blocks += sequence.blocks
            self._finish(sequence)
        else:
            self._decoding.join(sequence)
        return True

    def _first_token(self, sequence: Sequence) -> None:
        sequence.first_token_at = self._clock
        self._prefilling_tokens -= sequence.request.prompt_tokens
        waited = self._clock - sequence.arrived_at
        self.statistics.histograms["time_to_first_token_seconds"].observe(waited)
        self._events.append(FirstToken(self._clock, sequence.request.request_id, waited))

    # -- endings -----------------------------------------------------------------------------------------------------

    def _release(self, sequence: Sequence) -> None:
        """Give back the blocks of a running request; a decoding one has those of the step under way as well."""
        if sequence in self._decoding:
            self._decoding.leave(sequence)
            sequence.blocks = self.settings.blocks_for(sequence.computed_tokens + (self._step is not None))
        self._free_blocks += sequence.blocks

    def _finish(self, sequence: Sequence) -> None:
        self._running.remove(sequence)
        first_token_at = self._clock if sequence.first_token_at is None else sequence.first_token_at
        scheduled_at = sequence.arrived_at if sequence.first_scheduled_at is None else sequence.first_scheduled_at
        self.statistics.record_success(
            sequence.finish_reason,
            FinishedTimings(
                e2e_seconds=self._clock - sequence.arrived_at,
                queue_seconds=scheduled_at - sequence.arrived_at,
                prefill_seconds=first_token_at - scheduled_at,
                decode_seconds=self._clock - first_token_at,
            ),
            prompt_tokens=sequence.request.prompt_tokens,
            generated_tokens=sequence.generated_tokens,
            max_tokens=sequence.request.max_tokens,
            preemptions=sequence.preemptions,
        )
        self._retire(sequence, self._clock, sequence.finish_reason)

    def _retire(self, sequence: Sequence, at: float, reason: FinishReason) -> None:
        sequence.finished = True
        if sequence.first_token_at is None:
            self._prefilling_tokens -= sequence.request.prompt_tokens
        del self._sequences[sequence.request.request_id]
        self._events.append(
            Finished(
                at=at,
                request_id=sequence.request.request_id,
                reason=reason,
                prompt_tokens=sequence.request.prompt_tokens,
                generated_tokens=sequence.generated_tokens,
                preemptions=sequence.preemptions,
                arrived_at=sequence.arrived_at,
                first_scheduled_at=sequence.first_scheduled_at,
                first_token_at=sequence.first_token_at,
            )
        )


def _steps_in(seconds: float, first: float, growth: float, *, most: int) -> int:
    """Return how many steps fit if the first takes `first` and each `growth` more than the one before."""
    if most * first + growth * most * (most - 1) / 2 <= seconds:
        return most
    if growth <= 0:
        return int(seconds / first)
    half = first - growth / 2
    steps = int((sqrt(half * half + 2 * growth * seconds) - half) / growth)
    while steps > 0 and steps * first + growth * steps * (steps - 1) / 2 > seconds:
        steps -= 1
    return steps
