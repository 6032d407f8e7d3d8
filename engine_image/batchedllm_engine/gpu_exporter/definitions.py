"""The metrics of the GPU exporter. All are gauges: as counters, names that are DCGM's would get a `_total` appended."""

from typing import Final

from batchedllm_engine.metric_definitions import PREFIX, MetricDefinition

GPU_LABELS: Final = ("gpu", "UUID", "modelName", "GPU_I_PROFILE", "GPU_I_ID")
"""DCGM exporter's names: index, UUID and product of the GPU; profile and id of a MIG instance, else empty."""


def _gpu_gauge(name: str, text: str) -> MetricDefinition:
    return MetricDefinition(name, "gauge", text, GPU_LABELS)


UTILIZATION: Final = _gpu_gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).")
COPY_UTILIZATION: Final = _gpu_gauge("DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).")
MEMORY_USED: Final = _gpu_gauge("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).")
MEMORY_FREE: Final = _gpu_gauge("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).")
POWER: Final = _gpu_gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).")
ENERGY: Final = _gpu_gauge(
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "Total energy consumption since the driver was loaded (in mJ)."
)
TEMPERATURE: Final = _gpu_gauge("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).")
SM_CLOCK: Final = _gpu_gauge("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).")
MEMORY_CLOCK: Final = _gpu_gauge("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).")
CORRECTED_ERRORS: Final = _gpu_gauge(
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "Single-bit ECC errors, corrected, since the driver was loaded."
)
UNCORRECTED_ERRORS: Final = _gpu_gauge(
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "Double-bit ECC errors, not corrected, since the driver was loaded."
)
XID: Final = _gpu_gauge("DCGM_FI_DEV_XID_ERRORS", "The last XID error that came while the exporter ran, 0 if none has.")
CLOCK_EVENTS: Final = _gpu_gauge(
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "Why the clocks are not at their highest, as NVML's bit mask."
)
THROTTLED: Final = MetricDefinition(
    f"{PREFIX}gpu_throttled",
    "gauge",
    "1 while the GPU's clocks are held down for this reason, else 0; the bits of the mask that cost speed.",
    (*GPU_LABELS, "reason"),
)
UP: Final = MetricDefinition(
    f"{PREFIX}gpu_exporter_up",
    "gauge",
    "1 if the last look at the GPUs found and read at least one, else 0; then there are no series of GPUs.",
)

THROTTLE_REASONS: Final = {
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sync_boost": 0x10,
    "sw_thermal": 0x20,
    "hw_thermal": 0x40,
    "hw_power_brake": 0x80,
}
"""Bits of NVML's mask (nvmlClocksEventReason…). Idle and settings of the user's own are no throttling."""

GPU_METRICS: Final = (
    UTILIZATION,
    COPY_UTILIZATION,
    MEMORY_USED,
    MEMORY_FREE,
    POWER,
    ENERGY,
    TEMPERATURE,
    SM_CLOCK,
    MEMORY_CLOCK,
    CORRECTED_ERRORS,
    UNCORRECTED_ERRORS,
    XID,
    CLOCK_EVENTS,
    THROTTLED,
)
"""What a GPU tells."""
EXPORTER_METRICS: Final = (*GPU_METRICS, UP)
