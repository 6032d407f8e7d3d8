"""The metrics of a start."""

from typing import Final

from batchedllm_engine.metric_definitions import PREFIX, MetricDefinition

PHASES: Final = {
    "preflight": "checks before vLLM, where `batchedllm_engine serve` starts it",
    "import": "from the process's begin until vLLM has read its arguments",
    "engine": "from then until the engine is up, with all of the following in it",
    "load_weights": "reading the weights onto the device",
    "compile": "torch.compile",
    "warmup": "the first run, by which memory is measured",
    "capture_graphs": "capturing CUDA graphs",
    "initialize": "measuring memory, making the KV cache and warming up, as vLLM counts them together",
    "total": "from the process's begin until the engine is up",
}
"""What a start is made of."""
TERMS: Final = {
    "total": "the device's memory",
    "requested": "what of it vLLM may use",
    "weights": "the weights",
    "activation": "the peak of a step's intermediate results",
    "non_torch": "what is not PyTorch's, as communication buffers (as vLLM 0.26 tells it)",
    "consumed": "weights and non_torch in one (as vLLM 0.32 tells it)",
    "cuda_graphs_estimate": "CUDA graphs, as estimated before the KV cache was sized",
    "cuda_graphs": "CUDA graphs, as captured",
    "kv_cache": "what was left for the KV cache",
}
"""What memory goes to; where ranks differ, the largest, and of the KV cache the smallest."""

STARTUP_SECONDS: Final = MetricDefinition(
    f"{PREFIX}startup_seconds",
    "gauge",
    f"Seconds that a phase of the start took: {', '.join(PHASES)}. Those of several ranks are the slowest rank's.",
    ("phase",),
)
MEMORY_BYTES: Final = MetricDefinition(
    f"{PREFIX}memory_bytes",
    "gauge",
    f"Bytes per GPU that the engine reported at its start, to 0.01 GiB, by term: {', '.join(TERMS)}.",
    ("term",),
)
START_METRICS: Final = (STARTUP_SECONDS, MEMORY_BYTES)
