"""What our additions cost where the GPU is what is full: 256 streams with prompts of a usual length, bare and ours.

Each step reads prompts for those that have ended, so it takes the GPU several times as long as one of `overhead`. The
answers come eight tokens a piece: with one, the API server is full here too (some 7,000 pieces a second on an H200's
host).
"""

import time

from gpu import host_engine
from gpu.cases import overhead
from gpu.cases.overhead import Load
from gpu.results import Check
from gpu.scene import Json, Scene

LEAST_SECONDS = 300
LOAD = Load(prompt_tokens=512, output_tokens=192, fill_seconds=5.0, count_seconds=8.0)
ANSWERS = "streamedByEight"
_CACHE = "25G"
"""256 x 704 tokens need 23.6 GB."""
_PAIRS_SECONDS = 330.0
_LEFT_SECONDS = 40.0
"""No pair is begun after the first, nor when less than the second is left."""


def run(scene: Scene, measured: Json) -> None:
    """Warm both up, then pairs whose order alternates."""
    batch, processes = (overhead.BATCH, overhead.PROCESSES) if scene.gpu else (32, 2)
    measured |= {"batch": batch, "flags": host_engine.flags(_CACHE), **LOAD.told()}
    begin = time.monotonic()
    overhead.start_next(scene)
    interval = overhead.ANSWERS[ANSWERS].interval if scene.gpu else 1  # the stand-in of a rehearsal knows no pieces
    with host_engine.pairs(scene, _CACHE, interval) as [engines], overhead.clients(processes) as pool:
        measured["allReadySeconds"] = time.monotonic() - begin
        for one in engines:
            overhead.counted(pool, one, batch, LOAD._replace(count_seconds=2.0), stream=True)
        begin, number = time.monotonic(), 0
        while time.monotonic() - begin < (_PAIRS_SECONDS if scene.gpu else 30) and (
            scene.budget.left_seconds > _LEFT_SECONDS
        ):
            overhead.pair(pool, engines, batch, measured, ANSWERS, load=LOAD, swapped=number % 2 == 1)
            number += 1


def judge(measured: Json) -> list[Check]:
    """The bound of `overhead`."""
    return overhead.judge(measured)
