"""The simulated engine: vLLM's continuous batching, step by step, on a clock that the caller turns.

`scheduler` says what each step works on, `step_times` how long it takes. Steps in which nothing changes but the length
of the contexts are taken many at once.
"""

from math import sqrt

from batchedllm.sim.batch_steps import BatchSteps
from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.events import EngineEvent, EngineRequest, Finished, FinishReason, FirstToken, QueueLimitReached
from batchedllm.sim.gpu_meter import GpuMeter
from batchedllm.sim.scheduler import Scheduler, Step
from batchedllm.sim.sequences import Sequence
from batchedllm.sim.statistics import EngineStatistics, FinishedRequest
from batchedllm.sim.step_times import GpuLoad, StepTimes


class SimulatedEngine:
    """One engine replica. Times given must never go back; results come out of `advance`."""

    def __init__(
        self,
        settings: EngineSettings,
        step_times: StepTimes,
        load: GpuLoad,
        *,
        start: float = 0.0,
        batch_steps: BatchSteps | None = None,
    ) -> None:
        """`batch_steps` are counted where they are given: a simulated fleet never asks for them."""
        self.settings = settings
        self.batch_steps = batch_steps
        self.statistics = EngineStatistics(settings.max_model_len)
        self._scheduler = Scheduler(settings, self.statistics)
        self._times = step_times
        self._meter = GpuMeter(load)
        self._clock = start
        self._step = Step()
        self._sequences: dict[str, Sequence] = {}
        self._prefilling_tokens = 0
        self._events: list[EngineEvent] = []

    @property
    def running(self) -> int:
        """Requests in the batch: vLLM's num_requests_running."""
        return len(self._scheduler.running)

    @property
    def waiting(self) -> int:
        """Requests in the line: vLLM's num_requests_waiting."""
        return self._scheduler.waiting

    @property
    def kv_cache_usage(self) -> float:
        """Fraction of the KV cache that is held."""
        return 1 - self._scheduler.free_blocks / self.settings.usable_blocks

    def next_step_end(self) -> float | None:
        """Return when something can happen next: the end of the step under way; None when there is no work."""
        if self._step.under_way:
            return self._step.end
        return self._clock if self._sequences else None

    def generated_tokens(self, request_id: str) -> int:
        """Return how many tokens of the answer are out. Raise KeyError for a request that is not in the engine."""
        sequence = self._sequences[request_id]
        decoding = self._scheduler.decoding
        return decoding.generated_tokens(sequence) if sequence in decoding else sequence.generated_tokens

    def gpu_integrals(self, now: float) -> tuple[float, float]:
        """Return percent-seconds of GPU utilization and joules above idle power since the start."""
        step = self._step
        if not step.under_way:
            return self._meter.plus(1, 0.0)
        return self._meter.plus(step.tokens, max(0.0, min(now, step.end) - step.start))

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
        if not self._sequences and not self._step.under_way:
            self._clock = max(self._clock, now)
        limit = min(room, request.max_tokens or room)
        reason: FinishReason = "length" if request.output_tokens >= limit else "stop"
        sequence = Sequence(request, now, min(request.output_tokens, limit), reason)
        self._sequences[request.request_id] = sequence
        self._prefilling_tokens += request.prompt_tokens
        self._scheduler.add(sequence)

    def abort(self, request_id: str, now: float) -> None:
        """Drop a request, as vLLM does when its client has gone. One that has ended before is no error."""
        self._run_until(now)
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return
        self._scheduler.take_out(sequence, step_under_way=self._step.under_way)
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
        step = self._step
        while step.under_way or self._sequences:
            if not step.under_way:
                if self._clock >= now:
                    return
                if self._take_equal_steps(now):
                    continue
                self._begin_step()
            if step.end > now:
                return
            self._end_step()

    def _take_equal_steps(self, now: float) -> bool:
        """Take all steps at once in which the batch stays as it is, up to one that somebody finishes with.

        Return whether there was any. None joins meanwhile, and none is preempted.
        """
        scheduler = self._scheduler
        most = scheduler.decode_steps()
        if most == 0:
            return False
        sequences, context_tokens = scheduler.decoding.members, scheduler.decoding.context_tokens
        first = self._times.seconds(sequences, sequences, context_tokens + sequences, 0)
        growth = self._times.decode_growth_seconds(sequences)
        steps = scheduler.take_decode_steps(_steps_in(now - self._clock, first, growth, most=most))
        if steps == 0:
            return False
        self.statistics.record_decode_steps(sequences, steps, first, growth)
        if self.batch_steps is not None:
            self.batch_steps.record_decoding(sequences, steps, first, growth)
        seconds = steps * first + growth * steps * (steps - 1) / 2
        self._meter.add(sequences, seconds)
        self._clock = min(now, self._clock + seconds)
        if steps == most:
            self._finish_decoded()
        return True

    # -- one step ----------------------------------------------------------------------------------------------------

    def _begin_step(self) -> None:
        step = self._step
        step.under_way = True
        step.start = self._clock
        self._scheduler.schedule(step)
        decoding = self._scheduler.decoding
        prefill_tokens, attention_pairs = 0, 0
        for sequence, tokens in step.chunks:
            prefill_tokens += tokens
            attention_pairs += tokens * sequence.computed_tokens + tokens * (tokens + 1) // 2
        step.tokens = decoding.members + prefill_tokens
        sequences, context_tokens = decoding.members + len(step.chunks), decoding.context_tokens + decoding.members
        step.seconds = self._times.seconds(step.tokens, sequences, context_tokens, attention_pairs)
        step.end = step.start + step.seconds

    def _end_step(self) -> None:
        step, decoding, statistics = self._step, self._scheduler.decoding, self.statistics
        step.under_way = False
        self._clock = step.end
        generated, prompt_tokens = decoding.members, 0
        sequences, chunks, first_tokens = (
            generated + len(step.chunks),
            step.chunks,
            statistics.first_token_seconds.count,
        )
        self._meter.add(step.tokens, step.seconds)
        if generated:
            statistics.inter_token_seconds.observe(step.seconds, generated)
            decoding.advance(1)
            self._finish_decoded()
        if step.left_out:
            self._rejoin(step)
        if step.chunks:
            completed, prompt_tokens = self._end_chunks(step)
            generated += completed
        statistics.record_step(step.seconds, sequences, prompt_tokens, generated)
        if self.batch_steps is not None:
            decoded = generated - (statistics.first_token_seconds.count - first_tokens)
            self.batch_steps.record_step(step.seconds, sequences, prompt_tokens, decoded, has_prefill=bool(chunks))

    def _finish_decoded(self) -> None:
        for sequence in self._scheduler.pop_finished():
            self._finish(sequence)

    def _rejoin(self, step: Step) -> None:
        for sequence in step.left_out:
            if not sequence.finished:
                self._scheduler.decoding.join(sequence)
        step.left_out = []

    def _end_chunks(self, step: Step) -> tuple[int, int]:
        """Book the prefill chunks; return how many brought a token, and the tokens of prompts that are new."""
        generated = prompt_tokens = 0
        chunks, step.chunks = step.chunks, []
        for sequence, tokens in chunks:
            if not sequence.finished and self._scheduler.end_chunk(sequence, tokens):
                generated += 1
                prompt_tokens += sequence.prompt_tokens if sequence.first_token_at is None else 0
                self._token_of_prefill(sequence)
        return generated, prompt_tokens

    def _token_of_prefill(self, sequence: Sequence) -> None:
        """Book the token that the last chunk of a prefill brings."""
        if sequence.first_token_at is None:
            self._first_token(sequence)
        else:
            self.statistics.inter_token_seconds.observe(self._clock - sequence.last_token_at)
        sequence.generated_tokens += 1
        if sequence.generated_tokens < sequence.target_tokens:
            self._scheduler.decoding.join(sequence)
            return
        self._scheduler.take_out(sequence, step_under_way=False)
        self._finish(sequence)

    def _first_token(self, sequence: Sequence) -> None:
        sequence.first_token_at = self._clock
        self._prefilling_tokens -= sequence.prompt_tokens
        waited = self._clock - sequence.arrived_at
        self.statistics.first_token_seconds.observe(waited)
        self._events.append(FirstToken(self._clock, sequence.request.request_id, waited))

    # -- endings -----------------------------------------------------------------------------------------------------

    def _finish(self, sequence: Sequence) -> None:
        now, arrived_at = self._clock, sequence.arrived_at
        first_token_at = now if sequence.first_token_at is None else sequence.first_token_at
        scheduled_at = arrived_at if sequence.first_scheduled_at is None else sequence.first_scheduled_at
        self.statistics.record_success(
            sequence.finish_reason,
            FinishedRequest(
                now - arrived_at,
                scheduled_at - arrived_at,
                first_token_at - scheduled_at,
                now - first_token_at,
                sequence.prompt_tokens,
                sequence.generated_tokens,
                sequence.request.max_tokens,
                sequence.preemptions,
            ),
        )
        self._retire(sequence, now, sequence.finish_reason)

    def _retire(self, sequence: Sequence, at: float, reason: FinishReason) -> None:
        sequence.finished = True
        if sequence.first_token_at is None:
            self._prefilling_tokens -= sequence.prompt_tokens
        request_id = sequence.request.request_id
        del self._sequences[request_id]
        self._events.append(
            Finished(
                at,
                request_id,
                reason,
                sequence.prompt_tokens,
                sequence.generated_tokens,
                sequence.preemptions,
                sequence.arrived_at,
                sequence.first_scheduled_at,
                sequence.first_token_at,
            )
        )


def _steps_in(seconds: float, first: float, growth: float, *, most: int) -> int:
    """Return how many steps fit if the first takes `first` and each `growth` more than the one before."""
    if first > seconds:
        return 0
    if most * first + growth * most * (most - 1) / 2 <= seconds:
        return most
    if growth <= 0:
        return int(seconds / first)
    half = first - growth / 2
    steps = int((sqrt(half * half + 2 * growth * seconds) - half) / growth)
    while steps > 0 and steps * first + growth * steps * (steps - 1) / 2 > seconds:
        steps -= 1
    return steps
