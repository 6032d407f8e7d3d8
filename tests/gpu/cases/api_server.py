"""What our additions take of vLLM's API server where that one process, not the GPU, is what is full.

With prompts of 64 tokens an H200 waits for it. With streams of one token a piece it is full; with eight a piece, or
with whole answers, it has some time to spare. Tokens a second are apart by 10 to 20 % between two runs of one engine
there, so no bound of 1 % can be told from chance; what is held against a bound is the processor's time a token.
"""

import contextlib
import time
from itertools import chain, product
from statistics import median

from gpu import host_engine
from gpu.cases import engine_bench, overhead
from gpu.cases.overhead import ANSWERS, EIGHT, Load
from gpu.results import Check
from gpu.scene import Json, Scene, SceneError

LEAST_SECONDS = 250
LOAD = Load(prompt_tokens=64, output_tokens=192, fill_seconds=1.5, count_seconds=3.0)
_PAIRS = 9
_PAIRS_SECONDS = 300.0
"""No pair is begun after that."""
_MOST_PERCENT = 5.0
_MOST_MICROSECONDS = 4.0
"""A tenth of what an H200 takes a token with this batch and these lengths (43 us, by the steps of engine-bench)."""


def run(scene: Scene, measured: Json) -> None:
    """Warm all up, then pairs whose order alternates, with each kind of answers in turns."""
    batch, processes = overhead.sizes(scene)
    measured |= {"batch": batch, "flags": host_engine.flags(host_engine.SMALL_CACHE), **LOAD.told()}
    begin = time.monotonic()
    overhead.start_next(scene)
    intervals = (1, EIGHT) if scene.gpu else (1,)  # the stand-in of a rehearsal knows no pieces
    with host_engine.pairs(scene, host_engine.SMALL_CACHE, *intervals) as pairs:
        measured["allReadySeconds"] = time.monotonic() - begin
        by_interval = dict(zip(intervals, pairs, strict=True))
        with overhead.clients(processes) as pool:
            for one in chain(*pairs):
                overhead.counted(pool, one, batch, LOAD._replace(count_seconds=0.5), stream=True)
            begin = time.monotonic()
            for number, answers in product(range(_PAIRS if scene.gpu else 2), ANSWERS):
                engines = by_interval.get(ANSWERS[answers].interval)
                if engines and time.monotonic() - begin < _PAIRS_SECONDS:
                    overhead.pair(pool, engines, batch, measured, answers, load=LOAD, swapped=number % 2 == 1)
        if engine_bench.is_there(scene) and "engine-bench" in scene.wanted:
            with contextlib.suppress(SceneError):
                engine_bench.measure(scene, by_interval[1][1].address)


def judge(measured: Json) -> list[Check]:
    """Bound the time a token where the API server has some to spare, and the median of tokens a second of all pairs."""
    percents = overhead.percents([pair for answers in ANSWERS for pair in measured.get(answers, ())])
    fewer = median(percents) if percents else None
    words = f"fewer tokens a second, median of all {len(percents)} pairs, %"
    to_spare = [answers for answers in ANSWERS if answers in measured and answers != "streamed"]
    more = [ours - bare for answers in to_spare for bare, ours in measured[overhead.frontend_key(answers)]]
    return [
        Check(words, fewer, f"below {_MOST_PERCENT}", fewer is not None and fewer < _MOST_PERCENT),
        *overhead.below("more of the API server's time a token where it is not full, us", more, _MOST_MICROSECONDS),
    ]
