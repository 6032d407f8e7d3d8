"""Who is in the batch, who waits, who holds KV blocks: what each engine step works on.

A step first gives every running request its next tokens (preempting some if the KV cache is full), then admits waiting
ones while token budget, seats and KV blocks last; nobody overtakes the head of the line.

Follows vLLM 0.32.0 (vllm/v1/core/sched/scheduler.py) without prefix caching, speculative decoding and asynchronous
scheduling.
"""

from batchedllm.sim.decode_batch import DecodeBatch
from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.running_step import schedule_with_preemption
from batchedllm.sim.sequences import Sequence
from batchedllm.sim.statistics import EngineStatistics
from batchedllm.sim.waiting_queue import waiting_queue


class Step:
    """The step under way: prefill chunks, and decoding requests that it had to leave out. One object for all steps."""

    __slots__ = ("chunks", "end", "left_out", "seconds", "start", "tokens", "under_way")

    def __init__(self) -> None:
        self.under_way = False
        self.start = 0.0
        self.seconds = 0.0
        self.end = 0.0
        self.tokens = 0
        """Tokens that pass through the model."""
        self.chunks: list[tuple[Sequence, int]] = []
        self.left_out: list[Sequence] = []


class Scheduler:
    """The requests of one engine and its KV blocks."""

    __slots__ = (
        *("_batched_tokens", "_block_size", "_partial", "_seats", "_settings", "_statistics", "_waiting", "_watermark"),
        *("decoding", "free_blocks", "running"),
    )

    def __init__(self, settings: EngineSettings, statistics: EngineStatistics) -> None:
        self._settings = settings
        self._statistics = statistics
        self._batched_tokens = settings.max_num_batched_tokens
        self._block_size = settings.block_size
        self._seats = settings.running_limit
        self._watermark = settings.watermark_blocks
        self._waiting = waiting_queue(settings.scheduling_policy)
        self._partial: Sequence | None = None
        """The request whose prompt is read in part; at most one is."""
        self.decoding = DecodeBatch(settings.block_size)
        self.running: dict[Sequence, None] = {}
        """In the order in which they were admitted."""
        self.free_blocks = settings.usable_blocks

    @property
    def waiting(self) -> int:
        """Requests in the line."""
        return len(self._waiting)

    def blocks_for(self, tokens: int) -> int:
        """Return how many KV blocks hold so many tokens."""
        return -(-tokens // self._block_size)

    def add(self, sequence: Sequence) -> None:
        """Put a new request into the line."""
        self._waiting.add(sequence)

    def schedule(self, step: Step) -> None:
        """Put the next step together: its chunks, its decoding requests, and those it leaves out."""
        chunk, blocks = self._partial_chunk()
        blocks_for_all = self.decoding.new_blocks() + blocks
        if blocks_for_all > self.free_blocks:
            self._preempt_and_schedule(step)
            return
        self.free_blocks -= blocks_for_all
        if self._partial is not None:
            self._partial.blocks += blocks
            step.chunks.append((self._partial, chunk))
        self._admit_waiting(step, self._batched_tokens - self.decoding.members - chunk)

    def decode_steps(self) -> int:
        """Return in how many steps from now the batch is not the same any more: somebody joins, or has finished."""
        if self._partial is not None or self._admissible() is not None:
            return 0
        return self.decoding.steps_to_finish()

    def take_decode_steps(self, most: int) -> int:
        """Take as many steps as the KV blocks allow, in which nothing happens but decoding; return how many."""
        steps, blocks = self.decoding.steps_within(self.free_blocks, most)
        self.free_blocks -= blocks
        self.decoding.advance(steps)
        return steps

    def pop_finished(self) -> list[Sequence]:
        """Let those decoding requests go that have written all they had to."""
        finished = self.decoding.pop_finished()
        for sequence in finished:
            self.free_blocks += self.blocks_for(sequence.computed_tokens)
            del self.running[sequence]
        return finished

    def end_chunk(self, sequence: Sequence, tokens: int) -> bool:
        """Count a chunk as computed; return whether the whole prompt is now."""
        sequence.computed_tokens += tokens
        is_whole = sequence.remaining_tokens == 0
        if is_whole and self._partial is sequence:
            self._partial = None
        elif not is_whole:
            self._partial = sequence
        return is_whole

    def take_out(self, sequence: Sequence, *, step_under_way: bool) -> None:
        """Let a request go that is not decoding to its end; a decoding one has the blocks of the step under way."""
        if sequence not in self.running:
            self._waiting.remove(sequence)
            return
        if sequence in self.decoding:
            self.decoding.leave(sequence)
            sequence.blocks = self.blocks_for(sequence.computed_tokens + int(step_under_way))
        self.free_blocks += sequence.blocks
        del self.running[sequence]
        if self._partial is sequence:
            self._partial = None

    def _partial_chunk(self) -> tuple[int, int]:
        """Return the next tokens of the request whose prompt is read in part, and the new blocks they take."""
        partial = self._partial
        if partial is None:
            return 0, 0
        chunk = min(partial.remaining_tokens, self._batched_tokens - self.decoding.members)
        return chunk, self.blocks_for(partial.computed_tokens + chunk) - partial.blocks

    def _admissible(self) -> Sequence | None:
        """Return the head of the line if there is a seat and KV space for its whole prompt."""
        if len(self.running) >= self._seats or not len(self._waiting):
            return None
        head = self._waiting.head()
        watermark = self._watermark if self.running else 0
        return head if self.blocks_for(head.known_tokens) + watermark <= self.free_blocks else None

    def _admit_waiting(self, step: Step, budget: int) -> None:
        while budget > 0:
            sequence = self._admissible()
            if sequence is None:
                return
            self._waiting.pop()
            chunk = min(sequence.known_tokens, budget)
            sequence.blocks = self.blocks_for(chunk)
            self.free_blocks -= sequence.blocks
            budget -= chunk
            if sequence.first_scheduled_at is None:
                sequence.first_scheduled_at = step.start
                self._statistics.prefix_cache_queries += sequence.prompt_tokens
            self.running[sequence] = None
            step.chunks.append((sequence, chunk))

    def _preempt_and_schedule(self, step: Step) -> None:
        """Give running requests blocks one by one, taking them from victims; nobody is admitted in such a step."""
        for sequence in self.running:
            if sequence in self.decoding:
                self.decoding.leave(sequence)
                sequence.blocks = self.blocks_for(sequence.computed_tokens)
                sequence.last_token_at = step.start
        outcome = schedule_with_preemption(list(self.running), self.free_blocks, self._settings)
        self.running, self.free_blocks = dict.fromkeys(outcome.running), outcome.free_blocks
        for victim in outcome.preempted:
            victim.preemptions += 1
            victim.computed_tokens = 0
            self._waiting.put_back(victim)
        self._statistics.num_preemptions += len(outcome.preempted)
        if self._partial in outcome.preempted:
            self._partial = None
        step.left_out = [sequence for sequence in outcome.left_out if sequence is not self._partial]
        for sequence, tokens in outcome.scheduled:
            if sequence is self._partial:
                step.chunks.append((sequence, tokens))
            else:
                self.decoding.join(sequence)
