"""Reading Kubernetes objects from files, standard input, or `kubectl get -o yaml|json`."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from batchedllm.api.names import KIND


class DocumentError(Exception):
    """The input cannot be used; the message tells why and what to do."""


def text_of(path: str) -> str:
    """Return the content of a file, or of standard input for `-`. Raises DocumentError."""
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(f"{path}: cannot be read: {error}") from error


def objects(path: str) -> list[dict[str, Any]]:
    """Return every object in the file, lists unfolded. Raises DocumentError."""
    try:
        documents = list(yaml.safe_load_all(text_of(path)))
    except yaml.YAMLError as error:
        raise DocumentError(f"{path}: is neither YAML nor JSON: {error}") from error
    return [one for document in documents for one in _unfolded(document)]


def resources(path: str) -> list[dict[str, Any]]:
    """Return every BatchedLLM in the file. Raises DocumentError if there is none."""
    return resources_of(objects(path), path)


def resources_of(found_there: Iterable[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Return every BatchedLLM among the objects of a file. Raises DocumentError if there is none."""
    found = [one for one in found_there if one.get("kind") == KIND]
    if not found:
        raise DocumentError(f"{path}: holds no object of kind {KIND}")
    for one in found:
        if not isinstance(one.get("metadata"), dict) or not isinstance(one["metadata"].get("name"), str):
            raise DocumentError(f"{path}: a {KIND} has no metadata.name")
    return found


def _unfolded(document: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - YAML
    """Yield the object itself, or the items of a list of objects."""
    if not isinstance(document, dict):
        return
    if isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _unfolded(item)
    else:
        yield document
