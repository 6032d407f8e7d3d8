"""The requests that write one token per engine step, kept as sums so that a step costs the same for 1 or 1,000.

A member's progress follows from the number of steps since it joined. It starts a new KV block at every `block_size`-th
step, at a residue fixed when it joins; counting members per residue tells how many blocks the next step takes.
"""

import heapq

from batchedllm.sim.sequences import Sequence


class DecodeBatch:
    """Members, their summed context and their next finish. Blocks are accounted for by the engine."""

    __slots__ = (
        *("_block_size", "_finishes", "_joins", "_members_by_residue", "_steps"),
        *("context_tokens", "members"),
    )

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._members_by_residue = [0] * block_size
        self._finishes: list[tuple[int, int, Sequence]] = []
        self._joins = 0
        self._steps = 0
        self.members = 0
        self.context_tokens = 0

    def __len__(self) -> int:
        """Return the number of members."""
        return self.members

    def __contains__(self, sequence: Sequence) -> bool:
        """Return whether the request is a member."""
        return sequence.joined_at_step >= 0

    def join(self, sequence: Sequence) -> None:
        """Take in a request whose known tokens are all computed but the last one it generated."""
        sequence.joined_at_step = self._steps
        sequence.residue = (sequence.computed_tokens - self._steps) % self._block_size
        self._members_by_residue[sequence.residue] += 1
        self.members += 1
        self.context_tokens += sequence.computed_tokens
        self._joins += 1
        finish_step = self._steps + sequence.target_tokens - sequence.generated_tokens
        heapq.heappush(self._finishes, (finish_step, self._joins, sequence))

    def leave(self, sequence: Sequence) -> None:
        """Let a member go, with its progress written to its record."""
        self._members_by_residue[sequence.residue] -= 1
        self.members -= 1
        progress = self._steps - sequence.joined_at_step
        sequence.computed_tokens += progress
        sequence.generated_tokens += progress
        sequence.joined_at_step = -1
        self.context_tokens -= sequence.computed_tokens

    def generated_tokens(self, sequence: Sequence) -> int:
        """Return how many tokens of the answer a member has written."""
        return sequence.generated_tokens + self._steps - sequence.joined_at_step

    def new_blocks(self) -> int:
        """Return how many KV blocks the next step takes."""
        return self._members_by_residue[-self._steps % self._block_size]

    def steps_to_finish(self) -> int:
        """Return after how many steps the next member finishes, 0 without members."""
        while self._finishes:
            finish_step, _, sequence = self._finishes[0]
            joined = sequence.joined_at_step
            if joined >= 0 and finish_step == joined + sequence.target_tokens - sequence.generated_tokens:
                return finish_step - self._steps
            heapq.heappop(self._finishes)
        return 0

    def steps_within(self, free_blocks: int, steps: int) -> tuple[int, int]:
        """Return how many of so many steps the free KV blocks allow, and how many blocks these take."""
        size, by_residue = self._block_size, self._members_by_residue
        cycles = min(steps, size * (free_blocks // self.members)) // size
        done, taken = cycles * size, cycles * self.members
        residue = -(self._steps + done) % size
        while done < steps:
            blocks = taken + by_residue[residue]
            if blocks > free_blocks:
                break
            taken = blocks
            done += 1
            residue = residue - 1 if residue else size - 1
        return done, taken

    def advance(self, steps: int) -> None:
        """Let every member write so many tokens; none may finish before the last of them."""
        self._steps += steps
        self.context_tokens += steps * self.members

    def pop_finished(self) -> list[Sequence]:
        """Let those go that have written all they had to."""
        finished: list[Sequence] = []
        while self.members and self.steps_to_finish() == 0:
            sequence = heapq.heappop(self._finishes)[2]
            self.leave(sequence)
            finished.append(sequence)
        return finished
