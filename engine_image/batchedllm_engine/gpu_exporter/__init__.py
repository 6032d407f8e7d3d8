"""The GPUs of this process as metrics: named as NVIDIA's DCGM exporter names them, read by NVML, in vLLM's `/metrics`.

What a GPU does not tell has no series, and a GPU that cannot be read has none at all: nothing is ever 0 because it was
not there.
"""
