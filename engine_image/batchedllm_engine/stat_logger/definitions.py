"""The metrics of the stat logger plugin."""

from typing import Final

from batchedllm_engine.metric_definitions import ENGINE_LABELS, PREFIX, MetricDefinition

BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds of the batch sizes that are told apart."""
STEP_SECONDS: Final = (
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05),
    *(0.065, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Apart by at most a half where steps of GPUs lie (3 to 100 ms), so that a quantile is known to a quarter there."""
STEP_TOKENS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)

BATCH_LABELS: Final = (*ENGINE_LABELS, "batch_le")
"""`batch_le`: the smallest of the batch sizes above that the step's batch is not larger than, or +Inf."""
PHASES: Final = ("prefill", "decode")

BATCH_SIZE: Final = MetricDefinition(
    f"{PREFIX}batch_size",
    "histogram",
    "Requests that one engine step worked on.",
    ENGINE_LABELS,
    BATCH_SIZES,
)
STEP_DURATION: Final = MetricDefinition(
    f"{PREFIX}step_seconds",
    "histogram",
    "Seconds between the result of one engine step and that of the step before, by the step's batch size: the latency "
    "of a token at that batch size.",
    BATCH_LABELS,
    STEP_SECONDS,
)
STEP_TOKEN_COUNT: Final = MetricDefinition(
    f"{PREFIX}step_tokens",
    "histogram",
    "Tokens of one engine step, of prompts (prefill) or of answers under way (decode); steps without any do not count.",
    (*ENGINE_LABELS, "phase"),
    STEP_TOKENS,
)
PREEMPTIONS: Final = MetricDefinition(
    f"{PREFIX}preemptions",
    "counter",
    "Requests that lost their KV cache blocks to others and were put back into the queue.",
    ENGINE_LABELS,
)
KV_BLOCKS: Final = MetricDefinition(
    f"{PREFIX}kv_blocks", "gauge", "KV cache blocks that requests can use.", ENGINE_LABELS
)
KV_BLOCKS_FREE: Final = MetricDefinition(
    f"{PREFIX}kv_blocks_free", "gauge", "KV cache blocks that no request holds.", ENGINE_LABELS
)
DECODE_STEPS: Final = MetricDefinition(
    f"{PREFIX}decode_steps",
    "counter",
    "Engine steps that only decoded: no prompt was read, so their time is that of the batch and of its contexts.",
    BATCH_LABELS,
)
DECODE_SECONDS: Final = MetricDefinition(
    f"{PREFIX}decode_step_seconds", "counter", "Seconds that these steps took.", BATCH_LABELS
)
DECODE_REQUESTS: Final = MetricDefinition(
    f"{PREFIX}decode_step_requests", "counter", "Batch sizes of these steps, summed up.", BATCH_LABELS
)
DECODE_TOKENS: Final = MetricDefinition(
    f"{PREFIX}decode_step_tokens", "counter", "Tokens that these steps brought.", BATCH_LABELS
)
ERRORS: Final = MetricDefinition(
    f"{PREFIX}stat_logger_errors",
    "counter",
    "Times that the plugin failed to take a step down; the engine went on, and the first reason is in its log.",
)

STEP_METRICS: Final = (
    BATCH_SIZE,
    STEP_DURATION,
    STEP_TOKEN_COUNT,
    PREEMPTIONS,
    KV_BLOCKS,
    KV_BLOCKS_FREE,
    DECODE_STEPS,
    DECODE_SECONDS,
    DECODE_REQUESTS,
    DECODE_TOKENS,
)
"""What an engine's steps tell."""
OWN_METRICS: Final = (ERRORS,)
"""What the plugin tells of itself."""
