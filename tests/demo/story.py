"""What the demo serves, and how hard it is driven: the simulated engine, or a real vLLM on the CPU."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.trace import Arrival


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to run the demo."""

    name: str
    """Of the BatchedLLM in `example`."""
    model: str
    """What clients ask for."""
    image: str
    """Of the testbed's images."""
    example: str
    """Path of the manifest below the repository's root."""
    density: float | None
    """How many times faster than it was recorded the trace is played; None: as fast as one replica cannot serve."""
    burst_seconds: float
    calm_seconds: float
    """Longest wait for the replicas to go down."""
    ready_seconds: float
    shorten: Callable[[Arrival], Arrival] = lambda arrival: arrival

    def manifest(self, root: Path) -> str:
        """The example's text."""
        return (root / self.example).read_text()


def _for_a_cpu(arrival: Arrival) -> Arrival:
    return Arrival(arrival.at_seconds, min(arrival.prompt_tokens, 256), min(arrival.output_tokens, 64))


ENGINES = {
    "sim": Engine(
        name="llama-8b",
        model="meta-llama/Llama-3.1-8B-Instruct",
        image="engine-sim",
        example="examples/simulated.yaml",
        density=4,
        burst_seconds=45,
        calm_seconds=100,
        ready_seconds=120,
    ),
    "vllm": Engine(
        name="tiny",
        model="/models/tiny",
        image="engine-cpu",
        example="examples/cpu.yaml",
        density=None,
        burst_seconds=60,
        calm_seconds=240,
        ready_seconds=400,
        shorten=_for_a_cpu,
    ),
}
"""By the value of ENGINE."""
