"""Whether the model that a start asks for is there, and may be had."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from batchedllm_engine.inspect import source
from batchedllm_engine.inspect.classification import classify
from batchedllm_engine.inspect.failures import InspectionError
from batchedllm_engine.inspect.failures import Reason as ModelReason
from batchedllm_engine.inspect.request import Request
from batchedllm_engine.start.failures import PreflightError, Reason, from_inspection
from batchedllm_engine.start.request import StartRequest

WEIGHTS: Final = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")
"""Of which a model's folder has at least one."""
_ORDINARY_FORMATS: Final = frozenset({"auto", "hf", "safetensors", "pt"})
"""Load formats that read weights from the model's folder by these names."""
_CERTAIN: Final = frozenset(
    {ModelReason.GATED_MODEL, ModelReason.NO_SUCH_MODEL, ModelReason.NO_SUCH_REVISION, ModelReason.NO_NETWORK}
)
"""What ends vLLM's start as surely; the rest, as a missing config.json, some of its loaders can do without."""


def model_failure(request: StartRequest, environment: Mapping[str, str]) -> PreflightError | None:
    """Return why the model cannot be had. Of a hub, only config.json is fetched, which vLLM wants anyway."""
    token = token_failure(environment)
    if token is not None:
        return token
    if request.model is None or not _is_checked(request.model, environment):
        return None
    try:
        found = source.locate(Request(request.model, request.revision))
    except Exception as error:  # noqa: BLE001 - whatever the hub's client raises is sorted here
        return _failure(classify(error, request.model, request.revision))
    return weights_failure(found.folder, request) if Path(request.model).is_dir() else None


def token_failure(environment: Mapping[str, str]) -> PreflightError | None:
    """A file that is to hold the hub's token must hold one."""
    named = environment.get("HF_TOKEN_PATH")
    if not named or environment.get("HF_TOKEN"):
        return None
    try:
        if Path(named).read_text(encoding="utf-8").strip():
            return None
        trouble = "is empty"
    except (OSError, ValueError) as error:
        trouble = f"cannot be read ({error.__class__.__name__})"
    return PreflightError(
        Reason.NO_TOKEN,
        f"the token file {named} (HF_TOKEN_PATH) {trouble}: check the secret and the key in "
        "model.source.huggingFace.tokenSecretRef",
    )


def weights_failure(folder: Path, request: StartRequest) -> PreflightError | None:
    """A folder without any weights cannot be loaded, unless they are made up (`dummy`) or come from elsewhere."""
    if request.load_format not in _ORDINARY_FORMATS or request.config:
        return None
    if any(next(folder.glob(pattern), None) is not None for pattern in WEIGHTS):
        return None
    return PreflightError(
        Reason.NO_WEIGHTS,
        f"{folder} has no weights ({', '.join(WEIGHTS)}): check what the volume holds, and that it is complete",
    )


def _failure(error: InspectionError) -> PreflightError | None:
    return from_inspection(error) if error.reason in _CERTAIN else None


def _is_checked(model: str, environment: Mapping[str, str]) -> bool:
    """Whether it is a folder or a repository of the Hugging Face hub; vLLM can load from more places than those."""
    elsewhere = environment.get("VLLM_USE_MODELSCOPE", "").strip().lower() in {"1", "true"}
    return not elsewhere and ":" not in model and not model.endswith(".gguf") and not Path(model).is_file()
