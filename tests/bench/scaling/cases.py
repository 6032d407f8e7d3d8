"""The judge's traffic and fleets."""

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from batchedllm.sim.engine_settings import EngineSettings
from batchedllm.sim.fleet.settings import FleetSettings
from batchedllm.sim.memory import KV_BYTES_PER_TOKEN, available_kv_bytes
from batchedllm.sim.randomness import Randomness
from batchedllm.sim.traces.generators import generated
from batchedllm.sim.traces.readers import read_trace
from batchedllm.sim.traces.scaling import at_rate_scale, halves, what_fits
from batchedllm.sim.traces.trace import Trace

ENGINE = EngineSettings(
    max_model_len=131_072, num_gpu_blocks=available_kv_bytes("H200", 0.92, 8192) // (KV_BYTES_PER_TOKEN * 16)
)
SETTINGS = FleetSettings(ENGINE, max_replicas=64)

CODE, CONV, MOONCAKE = (
    *("AzureLLMInferenceTrace_code.csv", "AzureLLMInferenceTrace_conv.csv"),
    "mooncake_synthetic.jsonl",
)
RECORDED = {
    "conv x6": (CONV, "azure", 6),
    "code x6": (CODE, "azure", 6),
    "code x8": (CODE, "azure", 8),
    "mooncake_synthetic": (MOONCAKE, "mooncake", 1),
}
GENERATED = ("synthetic:step", "synthetic:ramp", "synthetic:burst", "synthetic:diurnal")
TITLES = (*RECORDED, *GENERATED)
REQUIRED = TITLES[:6]
STARTUPS = (30, 60, 120, 240)

Window = Literal["first", "second", "whole"]


@dataclass(frozen=True, slots=True)
class World:
    """Some traffic, and a fleet that is to serve it."""

    title: str
    window: Window = "second"
    startup_seconds: int = 120
    seed: int = 1
    scrape_seconds: float = 2.0
    scrape_loss: float = 0.0

    @property
    def name(self) -> str:
        """All of it, in one line."""
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())

    @property
    def settings(self) -> FleetSettings:
        """The fleet, without its start."""
        return replace(
            SETTINGS,
            startup_seconds=float(self.startup_seconds),
            scrape_interval_seconds=self.scrape_seconds,
            scrape_loss=self.scrape_loss,
        )


@lru_cache(maxsize=2)
def _recorded(folder: Path, title: str) -> Trace:
    name, form, _ = RECORDED[title]
    with (folder / name).open(encoding="utf-8") as lines:
        return what_fits(read_trace(lines, form, name), ENGINE)


@lru_cache(maxsize=2)
def _whole(folder: Path, title: str, seed: int) -> Trace:
    """Return an hour of recorded traffic, or the generated one twice: an hour to tune with and an hour to score."""
    if title in RECORDED:
        return at_rate_scale(_recorded(folder, title), RECORDED[title][2], Randomness(seed))
    shape = title.removeprefix("synthetic:")
    return generated(f"{shape},{shape}", Randomness(seed))


@lru_cache(maxsize=2)
def _halves(folder: Path, title: str, seed: int) -> tuple[Trace, Trace]:
    return halves(_whole(folder, title, seed))


def traffic(folder: Path, world: World) -> Trace:
    """Return the requests; the copies of a scaled trace and the generated arrivals differ by seed."""
    if world.window == "whole":
        return _whole(folder, world.title, world.seed)
    return _halves(folder, world.title, world.seed)[world.window == "second"]
