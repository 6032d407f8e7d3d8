"""The reference of files, answers and metrics, written from what defines them."""

from collections.abc import Iterator
from typing import Any, Final

from batchedllm_engine.middleware.configuration import Configuration, Section
from batchedllm_engine.middleware.keys import KeyFile
from batchedllm_engine.middleware.metrics import DEFINITIONS, Outcome
from batchedllm_engine.middleware.refusal import STATUS, Reason

HEAD: Final = """# Admission: fields, answers, metrics

Written by `python -m batchedllm_engine.middleware --reference`; `docs/admission.md` tells how they are used.
"""
BOUNDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above 0",
    "maximum": "at most {}",
    "pattern": "as `{}`",
}


def reference() -> str:
    """Return the page."""
    parts = [
        HEAD,
        "## The configuration\n",
        *_table(("field", "type", "default", "meaning"), _fields(Configuration)),
        "\n## The file of API keys\n",
        *_table(("field", "type", "default", "meaning"), _fields(KeyFile)),
        "\n## Answers in the engine's place\n",
        'The body is OpenAI\'s: `{"error": {"message", "type", "param", "code"}}`; `code` is the metric\'s `reason`.\n',
        *_table(("code", "status"), _answers()),
        "\n## Metrics\n",
        *_table(("metric", "type", "labels", "meaning"), _metrics()),
        f"\nOutcomes: {', '.join(f'`{one}`' for one in Outcome)}.",
    ]
    return "\n".join(parts) + "\n"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _fields(model: type[Section]) -> Iterator[tuple[str, str, str, str]]:
    schema = model.model_json_schema(mode="validation")
    yield from _rows(schema, schema.get("$defs", {}), "")


def _rows(schema: dict[str, Any], definitions: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row a field. What stands at the top as well is described there alone."""
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        inner, is_list = _inner(field, definitions)
        path = f"{prefix}{name}{'[]' if is_list else ''}"
        default = "required" if name in required else _default(field, inner)
        meaning = field.get("description") or (inner or {}).get("description", "")
        is_elsewhere = bool(prefix) and name == "limits"
        yield f"`{path}`", _type(field), default, " ".join(meaning.split()) + (" As `limits`." if is_elsewhere else "")
        if inner is not None and not is_elsewhere:
            yield from _rows(inner, definitions, f"{path}.")


def _inner(field: dict[str, Any], definitions: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    is_list = field.get("type") == "array"
    candidates = [field.get("items", {}) if is_list else field, *field.get("anyOf", [])]
    for one in candidates:
        if "$ref" in one:
            return definitions[one["$ref"].rpartition("/")[2]], is_list
    return None, is_list


def _type(field: dict[str, Any]) -> str:
    one = next((one for one in field.get("anyOf", [field]) if one.get("type") != "null"), field)
    if one.get("type") == "array":
        return "list"
    bounds = [text.format(one[name]) for name, text in BOUNDS.items() if name in one]
    return ", ".join([one.get("type", "object"), *bounds])


def _default(field: dict[str, Any], inner: dict[str, Any] | None) -> str:
    default = field.get("default")
    if default is None or inner is not None:
        return ""
    return f"`{default}`".lower() if isinstance(default, bool) else f"`{default}`"


def _answers() -> Iterator[tuple[str, str]]:
    for reason in Reason:
        status = STATUS.get(reason)
        yield f"`{reason}`", f"{status} {status.phrase}" if status else "none: the connection is closed"


def _metrics() -> Iterator[tuple[str, str, str, str]]:
    for one in DEFINITIONS:
        yield f"`{one.full_name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.text
