"""ConfigMap of the middleware: classes, limits, keys and drain. Its content is in no pod: a change restarts nothing.

The fields are those of the file that the engine image reads (docs/admission-reference.md).
"""

import json
from typing import Any, Final

from batchedllm.api.admission import PriorityClass, RateLimit
from batchedllm.api.names import ADMISSION_FILE, API_KEYS_FILE, API_KEYS_FOLDER
from batchedllm.api.spec import BatchedLLMSpec
from batchedllm.core.admission_queue import queues_before_engine, running_requests
from batchedllm.core.manifests.identity import Owner, child, only_set

EXIT_SECONDS: Final = 15
"""Time for the engine to end after its drain: vLLM takes 7 s, 12 s on busy cores. Less than `TEARDOWN_SECONDS`, so that
it ends by itself."""


def config_map_name(owner_name: str) -> str:
    """Return the ConfigMap's name."""
    return f"{owner_name}-admission"


def admission_config(owner: Owner, spec: BatchedLLMSpec) -> dict[str, Any]:
    """Return the ConfigMap. Its file is JSON, which is YAML as well, with one field a line for those who look."""
    text = json.dumps(configuration(spec), indent=1) + "\n"
    manifest = child("v1", "ConfigMap", owner, data={ADMISSION_FILE: text})
    return {**manifest, "metadata": {**manifest["metadata"], "name": config_map_name(owner.name)}}


def configuration(spec: BatchedLLMSpec) -> dict[str, Any]:
    """Return what the file holds."""
    keys = spec.admission.api_keys
    return only_set(
        classes=[_class(one) for one in spec.priority.classes],
        limits=_limits(spec),
        drain={"seconds": spec.rollout.drain_seconds, "exitSeconds": EXIT_SECONDS},
        apiKeys=None if keys is None else {"file": f"{API_KEYS_FOLDER}/{API_KEYS_FILE}", "required": keys.required},
    )


def _class(one: PriorityClass) -> dict[str, Any]:
    limits = only_set(
        runningRequests=one.max_running_requests,
        queueSeconds=one.max_queue_seconds,
        **_rates(one.rate_limit),
    )
    named = {"name": one.name, "rank": one.rank}
    return {**named, **only_set(default=one.default, keyOnly=one.key_only, limits=limits)}


def _limits(spec: BatchedLLMSpec) -> dict[str, Any]:
    """Return the limits of all requests. Those of the queue are the engine's where it keeps the queue."""
    asked, keeps_queue = spec.admission, queues_before_engine(spec)
    return only_set(
        runningRequests=running_requests(spec),
        queuedRequests=asked.max_queued_requests if keeps_queue else None,
        queuedTokens=asked.max_queued_tokens if keeps_queue else None,
        queueSeconds=asked.max_queue_seconds,
        requestSeconds=asked.request_timeout_seconds,
        outputTokens=asked.max_output_tokens,
        **_rates(asked.rate_limit),
    )


def _rates(rate: RateLimit | None) -> dict[str, Any]:
    """Return the rates, named alike in the resource and in the file."""
    return {} if rate is None else rate.model_dump(by_alias=True, exclude_none=True)
