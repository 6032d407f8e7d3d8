"""API keys: known by their digest alone, tied to classes, never repeated."""

import hashlib

import pytest

from batchedllm_engine.middleware.configuration import Configuration, ConfigurationError, ServiceClass
from batchedllm_engine.middleware.keys import KeyFile, KeyRing, parse_keys

TWO = Configuration(
    classes=(ServiceClass(name="normal", rank=0, default=True), ServiceClass(name="high", rank=-10)),
)
SECRET = "sk-very-secret-words"


def ring(text: str) -> KeyRing:
    return parse_keys(text.encode(), "keys.yaml", TWO)


def test_a_key_is_found_whether_the_file_has_it_in_clear_or_its_digest():
    digest = hashlib.sha256(b"another-key").hexdigest()
    keys = ring(f"keys: [{{name: a, key: {SECRET}, class: high}}, {{name: b, sha256: '{digest}', class: normal}}]")
    assert keys.find(SECRET.encode()).service_class == "high"
    assert keys.find(b"another-key").service_class == "normal"


@pytest.mark.parametrize("wrong", [b"", SECRET[:-1].encode(), SECRET.upper().encode(), b"\xff\xfe", b"x" * 100_000])
def test_anything_else_is_not_found(wrong):
    assert ring(f"keys: [{{name: a, key: {SECRET}, class: high}}]").find(wrong) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("keys: []", "keys: Tuple should have at least 1 item"),
        ("keys: [{name: a, key: short, class: high}]", "keys.0.key: Value should have at least 8 items"),
        ("keys: [{name: a, class: high}]", "keys.0: needs either key or sha256"),
        (f"keys: [{{name: a, key: {SECRET}, class: top}}]", "the key of a is of class 'top'; expected one of normal"),
        (
            f"keys: [{{name: a, key: {SECRET}, class: high}}, {{name: b, key: {SECRET}, class: high}}]",
            "a key stands there twice",
        ),
        (f"keys: [{{name: a, keys: {SECRET}, class: high}}]", "keys.0.keys: Extra inputs are not permitted"),
        (f"{SECRET}: 1", "Extra inputs"),
    ],
)
def test_what_is_wrong_is_told_without_the_key(text, words):
    with pytest.raises(ConfigurationError) as told:
        ring(text)
    assert words in str(told.value)
    assert SECRET not in str(told.value).replace(f"{SECRET}: Extra", "").replace(f"{SECRET} 1: Extra", "")


def test_a_key_does_not_show_when_what_holds_it_is_printed():
    read = KeyFile.model_validate({"keys": [{"name": "a", "key": SECRET, "class": "high"}]})
    assert SECRET not in f"{read!r} {read}"
    assert SECRET not in repr(ring(f"keys: [{{name: a, key: {SECRET}, class: high}}]"))
