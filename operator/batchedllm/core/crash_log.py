"""What the last lines of an engine's log say about its end: a table of known causes, and the line that matters.

The texts are those of vLLM 0.32 (and PyTorch, the Hugging Face Hub, the kernel). A cause names what to change.
"""

import re
from dataclasses import dataclass
from typing import Final

from batchedllm.api.conditions import Reason


@dataclass(frozen=True, slots=True)
class KnownCause:
    """A text in a log that tells why the engine ended. Groups of the pattern fill the braces of the advice."""

    pattern: re.Pattern[str]
    reason: Reason
    advice: str


def _cause(pattern: str, reason: Reason, advice: str) -> KnownCause:
    return KnownCause(re.compile(pattern), reason, advice)


CAUSES: Final = (
    _cause(
        r"estimated maximum model length is (\d+)",
        Reason.KV_CACHE_TOO_SMALL,
        "the KV cache cannot hold one request of batching.maxModelLen; the engine estimates that {0} tokens fit. "
        "Lower maxModelLen to that, set it to auto, or raise memory.gpuUtilization or gpu.perReplica",
    ),
    _cause(
        r"No available memory for the cache blocks|Cannot auto-fit max_model_len",
        Reason.KV_CACHE_TOO_SMALL,
        "the weights leave no memory for the KV cache. Raise memory.gpuUtilization or gpu.perReplica, "
        "or serve a smaller or quantized model",
    ),
    _cause(
        r"Free memory on device \S+ \(([^)]*)\) on startup is less than desired GPU memory utilization \(([^)]*)\)",
        Reason.OUT_OF_GPU_MEMORY,
        "the GPU has too little free memory ({0} free, {1} wanted): something else uses it. "
        "Give the engine a GPU of its own, or lower memory.gpuUtilization",
    ),
    _cause(
        r"(?:OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|HIP out of memory)(.*)",
        Reason.OUT_OF_GPU_MEMORY,
        "the GPU's memory ran out beside the KV cache{0} Lower memory.gpuUtilization, batching.maxNumBatchedTokens or "
        "batching.maxNumSeqs",
    ),
    _cause(
        r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len \((.*?)(?: or|\))",
        Reason.CONFIGURATION,
        "batching.maxModelLen ({0}) is longer than the model was made for ({1}). Lower it",
    ),
    _cause(
        r"Insufficient space in /dev/shm[^:]*: (.*?)(?:\.|$)",
        Reason.CONFIGURATION,
        "shared memory is too small ({0}). Raise engine.sharedMemory",
    ),
    _cause(
        r"GatedRepoError|Access to model (\S+) is restricted|401 Client Error",
        Reason.CONFIGURATION,
        "the model is gated. Accept its licence on the Hugging Face Hub, and name a Secret with an access token in "
        "model.source.huggingFace.tokenSecretRef",
    ),
    _cause(
        r"(?:RepositoryNotFoundError|(\S+) is not a local folder and is not a valid model identifier)",
        Reason.CONFIGURATION,
        "the model is neither on the Hugging Face Hub nor in the image. Check model.id, and the token if it is private",
    ),
    _cause(
        r"RevisionNotFoundError",
        Reason.CONFIGURATION,
        "the model has no such version. Check model.revision",
    ),
    _cause(
        r"set the option `?trust_remote_code=True`?",
        Reason.CONFIGURATION,
        "the model comes with its own Python code. Read it, pin model.revision, then set model.trustRemoteCode",
    ),
    _cause(
        r"No module named '(batchedllm_engine)",
        Reason.CONFIGURATION,
        "the image has no {0}, whose middleware was to admit requests. Use an engine image of the project, or set "
        "admission.mode: engine and leave out the limits that only the middleware can hold",
    ),
    _cause(
        r"error: unrecognized arguments: (.*)",
        Reason.CONFIGURATION,
        "the image does not know these arguments: {0}. Check engine.arguments against the image's version",
    ),
    _cause(
        r"error: argument (.*)",
        Reason.CONFIGURATION,
        "the image does not take an argument: {0}",
    ),
    _cause(
        r"No space left on device|OSError: \[Errno 28\]",
        Reason.CONFIGURATION,
        "the disk is full. Raise engine.cache.sizeLimit, or use a claim (engine.cache.claimName)",
    ),
    _cause(
        r"The NVIDIA driver on your system is too old[^.]*|CUDA driver version is insufficient",
        Reason.CONFIGURATION,
        "the node's NVIDIA driver is too old for the image. vLLM 0.32 needs R580 or newer",
    ),
    _cause(
        r"No CUDA GPUs are available|Failed to infer device type|no NVIDIA GPU detected",
        Reason.CONFIGURATION,
        "the engine sees no GPU. Check gpu.resource, the device plugin and pod.runtimeClassName, "
        "or use an image for the CPU",
    ),
)
"""Most telling first: an engine that dies of one of them often logs the later ones too."""

_SECRET: Final = re.compile(
    r"(?i)\b(hf_|sk-)[A-Za-z0-9_-]{8,}|(bearer|api[_-]?key|token)([ =:'\"]+)[A-Za-z0-9._~+/=-]{8,}"
)
_PREFIX: Final = re.compile(
    r"^(?:\([\w :=.-]*pid=\d+\) ?)?(?:(?:ERROR|CRITICAL|WARNING|INFO)\s+[\d-]+ [\d:.,]+ \[[^\]]*\] ?)?"
)
"""What stands before a line. The indentation after it stays: it tells the source lines of a traceback."""
_NOISE: Final = re.compile(r'^(?:\s*$|\s*File "|Traceback|During handling|The above exception|\s*[\^~]+\s*$|\s{2,})')
_ERROR: Final = re.compile(r"\b\w*(?:Error|Exception|Killed|Fault)\b|\b(?:error|fatal|panic)\b:?", re.IGNORECASE)
_CONSEQUENCE: Final = re.compile(
    r"See root cause above|Engine core initialization failed|EngineDeadError|leaked \w+ objects"
)


def known_cause(log: str) -> tuple[Reason, str] | None:
    """Why the engine ended and what to change; None if the log shows nothing that is known."""
    for cause in CAUSES:
        match = cause.pattern.search(log)
        if match is not None:
            groups = [(group or "").strip() for group in match.groups()]
            return cause.reason, redacted(cause.advice.format(*groups))
    return None


def line_that_matters(log: str) -> str:
    """Return the last line that names an error and is not merely a consequence of one; else the last line at all.

    Tracebacks are skipped, and so is what the logger puts before a line.
    """
    bare = (_PREFIX.sub("", line, count=1) if _PREFIX.match(line) else line for line in log.splitlines())
    lines = [line.strip() for line in bare if not _NOISE.match(line)]
    errors = [line for line in lines if _ERROR.search(line)]
    causes = [line for line in errors if not _CONSEQUENCE.search(line)]
    return redacted(next(reversed(causes or errors or lines), ""))


def redacted(text: str) -> str:
    """Blot out what looks like a token: a log may hold one, and the status is read by many."""
    return _SECRET.sub(lambda match: f"{match[1] or (match[2] + match[3])}***", text)
