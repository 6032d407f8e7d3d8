"""Where the model's config is: a folder of the pod, or a repository of the hub, whose few small files are fetched."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchedllm_engine.foreign import module
from batchedllm_engine.inspect.classification import ADVICE
from batchedllm_engine.inspect.failures import InspectionError, Reason
from batchedllm_engine.inspect.request import Request

CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
_FETCHED: Final = (CONFIG, INDEX, "generation_config.json")
"""Of a hub's repository: no weights, no tokenizer."""
_CODE: Final = "*.py"
_ETAG_SECONDS: Final = 10
"""For one answer of the hub; its client tries again by itself."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder with a config.json."""

    folder: Path
    config: dict[str, Any]
    commit: str | None
    """Of the hub's repository, as the revision resolved."""
    checkpoint_bytes: int | None
    """What the safetensors index says that the weights take as stored."""


def locate(request: Request) -> Source:
    """Return where the model's config is, fetching it from the hub where the model is no folder."""
    folder = Path(request.model)
    if folder.is_dir():
        return _source(folder, request, commit=None)
    if _is_path(request.model):
        raise InspectionError(
            Reason.NO_SUCH_MODEL,
            f"there is no folder {request.model} in the pod: check spec.model.id against what the volume of "
            "spec.model.source.pvc holds",
        )
    folder = _fetch(request)
    return _source(folder, request, commit=folder.name)


def _is_path(model: str) -> bool:
    return model.startswith(("/", "./", "../", "~"))


def _fetch(request: Request) -> Path:
    patterns = [*_FETCHED, _CODE] if request.trust_remote_code else [*_FETCHED]
    hub = module("huggingface_hub")
    found = hub.snapshot_download(
        request.model, revision=request.revision, allow_patterns=patterns, etag_timeout=_ETAG_SECONDS
    )
    return Path(found)


def _source(folder: Path, request: Request, commit: str | None) -> Source:
    config = _read(folder / CONFIG, request.model)
    return Source(folder, config, commit, _checkpoint_bytes(folder / INDEX))


def _read(path: Path, model: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InspectionError(Reason.NO_CONFIG, f"{ADVICE[Reason.NO_CONFIG].format(model=model)} ({error})") from error
    if not isinstance(document, dict):
        raise InspectionError(Reason.NO_CONFIG, f"{path} holds no object: it is no model's config.json")
    return document


def _checkpoint_bytes(index: Path) -> int | None:
    """Read the safetensors index; a model in one file has none, and a broken one is no reason to give up."""
    try:
        total = json.loads(index.read_text(encoding="utf-8"))["metadata"]["total_size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return int(total) if isinstance(total, int | float) and total > 0 else None


def keep_offline() -> None:
    """Let nothing be asked of a hub any more: all that is needed is in the folder."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
