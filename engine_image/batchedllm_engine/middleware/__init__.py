"""Admission before the engine: classes, limits, keys, drain. An ASGI middleware that patches nothing.

    vllm serve MODEL --scheduling-policy priority --middleware batchedllm_engine.middleware.AdmissionMiddleware

The environment variable BATCHEDLLM_ADMISSION_CONFIG names its configuration, a file that is read again when it changes.
`python -m batchedllm_engine.middleware FILE` checks one. What can stand in it: `configuration.Configuration`, and
`keys.KeyFile` for the file of API keys that it may name.

A request passes these stations, and any of them may refuse it: known endpoint, key, class, body, rates, queue, time.
Only then does the engine see it, with the priority of its class whatever the client sent. Everything before the queue
is decided by functions without state (`judgement`), the queue by a state machine without a clock (`gate`).

With several API server processes (`--api-server-count`) each has its own limits; and vLLM's parent process ends them
without waiting for their drain. One process is what the limits and the drain are made for.
"""

from batchedllm_engine.middleware.asgi import AdmissionMiddleware

__all__ = ["AdmissionMiddleware"]
