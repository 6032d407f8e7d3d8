"""What one engine step was like, from what vLLM tells its stat loggers after it. Pure.

vLLM calls neither class a stable interface; versions 0.26 to 0.32 have all that is used here (v1/metrics/stats.py).
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from batchedllm_engine.foreign import Foreign
from batchedllm_engine.stat_logger.definitions import BATCH_SIZES

BATCH_LABEL_VALUES: Final = (*(str(size) for size in BATCH_SIZES), "+Inf")
_MILLISECONDS: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Step:
    """One engine step."""

    batch: int
    """Requests that it worked on."""
    seconds: float | None
    """Since the result of the step before; None where no request saw both."""
    prefill_tokens: int | None
    """Tokens of prompts; None where they are not known."""
    decode_tokens: int | None
    """Tokens of answers that were under way before; None where they are not known."""
    only_decodes: bool
    """Whether it is known that no prompt was read."""


def batch_bucket(batch: int) -> int:
    """Return the place in `BATCH_LABEL_VALUES` of a batch of this size."""
    return bisect_left(BATCH_SIZES, batch)


def step_of(scheduler: Foreign, iteration: Foreign, *, detailed: bool, sole_front_end: bool) -> Step | None:
    """Return the step that vLLM's SchedulerStats and IterationStats (each may be None) tell of; None if they tell none.

    `detailed` is whether the engine runs with --enable-logging-iteration-details and so tells of every step itself;
    `sole_front_end` whether all requests' outputs pass here, which is not so with several API servers: there an
    iteration has this server's requests only, while of each step one server gets the scheduler's numbers.
    """
    if scheduler is None:
        return None
    if detailed:
        return _from_details(getattr(scheduler, "iteration_details", None), iteration)
    if sole_front_end:
        return _from_outputs(scheduler, iteration)
    return _from_scheduler(scheduler, iteration)


def _from_details(details: Foreign, iteration: Foreign) -> Step | None:
    """Take the engine's word; with speculative decoding its decode tokens are those tried, not those accepted."""
    if details is None or details.is_dummy:
        return None
    seconds = _seconds_between_results(iteration)
    return Step(
        batch=details.num_ctx_requests + details.num_generation_requests,
        seconds=details.elapsed_ms * _MILLISECONDS if seconds is None else seconds,
        prefill_tokens=details.num_ctx_tokens,
        decode_tokens=details.num_generation_tokens,
        only_decodes=details.num_ctx_requests == 0,
    )


def _from_outputs(scheduler: Foreign, iteration: Foreign) -> Step | None:
    """Count the requests that got a token. A prompt read in part gets none: its tokens count once all of it is read.

    The scheduler's count is taken after the step, and with asynchronous scheduling after the next one has been filled;
    so it only tells, where it is larger, that the step may also have read a prompt in part.
    """
    if iteration is None:
        running = scheduler.num_running_reqs
        return Step(running, None, 0, 0, only_decodes=False) if running else None
    first_tokens = len(iteration.time_to_first_tokens_iter)
    decoded = len(iteration.inter_token_latencies_iter)
    if not first_tokens + decoded:
        return None
    in_step_or_next = scheduler.num_running_reqs + len(iteration.finished_requests)
    return Step(
        batch=first_tokens + decoded,
        seconds=_seconds_between_results(iteration),
        prefill_tokens=iteration.prompt_token_stats.computed,
        decode_tokens=iteration.num_generation_tokens - first_tokens,
        only_decodes=not first_tokens and in_step_or_next <= decoded,
    )


def _from_scheduler(scheduler: Foreign, iteration: Foreign) -> Step | None:
    """Take the batch from the scheduler, which knows all requests; this server sees but a part of the tokens."""
    running = scheduler.num_running_reqs
    if not running:
        return None
    return Step(running, _seconds_between_results(iteration), None, None, only_decodes=False)


def _seconds_between_results(iteration: Foreign) -> float | None:
    """Return the shortest wait of any request for its next token.

    Timed in the engine's process. Requests that were in the step before waited just this long; only those that had been
    preempted waited longer.
    """
    waits = getattr(iteration, "inter_token_latencies_iter", None)
    return max(0.0, min(waits)) if waits else None


def free_blocks(scheduler: Foreign, blocks: int) -> int | None:
    """Return how many of an engine's `blocks` usable KV cache blocks are free; None where it is not told."""
    usage = getattr(scheduler, "kv_cache_usage", None)
    return None if usage is None else round((1 - usage) * blocks)
