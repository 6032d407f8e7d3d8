"""The configuration file: what can stand in it, and how what cannot is told."""

import json

import pytest

from batchedllm_engine.middleware.configuration import MAX_FILE_BYTES, Configuration, ConfigurationError
from batchedllm_engine.middleware.configuration import parse_configuration as parse

THREE = """
classes:
  - {name: high, rank: -10, keyOnly: true, limits: {queueSeconds: 5}}
  - {name: normal, rank: 0, default: true}
  - {name: low, rank: 10, limits: {runningRequests: 4, requestsPerMinute: 60}}
limits: {runningRequests: 128, queuedRequests: 256, queuedTokens: 200000, requestSeconds: 120}
drain: {seconds: 60}
apiKeys: {file: /etc/batchedllm/keys.yaml}
extraEndpoints: ["POST /tokenize"]
"""


def test_an_empty_object_is_one_default_class_without_limits():
    configuration = parse(b"{}", "file")
    assert configuration == Configuration()
    assert configuration.default_class.name == "default"
    assert configuration.limits.running_requests is None


def test_yaml_and_json_say_the_same():
    read = parse(THREE.encode(), "file")
    assert [one.name for one in read.classes] == ["high", "normal", "low"]
    assert read.classes[2].limits.requests_per_minute == 60
    assert parse(json.dumps(read.model_dump(mode="json", by_alias=True)).encode(), "file") == read


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"limits: {runningRequests: -1}", "limits.runningRequests -1: Input should be greater than or equal to 1"),
        (b"limits: {runningRequests: '8'}", "limits.runningRequests '8': Input should be a valid integer"),
        (b"limits: {runningRequest: 8}", "limits.runningRequest 8: Extra inputs are not permitted"),
        (b"limits: {queueSeconds: .inf}", "limits.queueSeconds inf: Input should be"),
        (b"limits: {queueSeconds: .nan}", "limits.queueSeconds nan: Input should be"),
        (b"limits: {queueSeconds: 0}", "limits.queueSeconds 0: Input should be greater than 0"),
        (b"classes: []", "classes: Tuple should have at least 1 item"),
        (b"classes: [{name: A B, rank: 0}]", "classes.0.name 'A B': String should match pattern"),
        (b"classes: [{name: a, rank: 0}]", "classes: 0 have default: true; exactly one must"),
        (b"classes: [{name: a, rank: 0, default: true}, {name: a, rank: 1}]", "2 have the name a; each needs one"),
        (b"classes: [{name: a, rank: 0, default: true}, {name: b, rank: 0}]", "2 have the rank 0; each needs one"),
        (b"classes: [{name: a, rank: 0, default: true, keyOnly: true}]", "a is the default and keyOnly"),
        (b"classes: [{name: a, rank: 99999, default: true}]", "classes.0.rank 99999: Input should be less than"),
        (b"extraEndpoints: [/tokenize]", "extraEndpoints.0 '/tokenize': String should match pattern"),
        (b"[]", "expected an object with fields, found list"),
        (b"", "expected an object with fields, found NoneType"),
        (b"a: [", "expected JSON or YAML in UTF-8"),
        (b"\xff", "expected JSON or YAML in UTF-8"),
        (b"[" * 100_000, "expected JSON or YAML in UTF-8"),
        (b" " * (MAX_FILE_BYTES + 1), f"expected at most {MAX_FILE_BYTES}"),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_what_was_expected(content, words):
    with pytest.raises(ConfigurationError) as told:
        parse(content, "/etc/admission.yaml")
    assert str(told.value).startswith("/etc/admission.yaml: ")
    assert words in str(told.value)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfigurationError, match=r"limits\.queuedTokens 0: .*; drain\.seconds -1: "):
        parse(b"drain: {seconds: -1}\nlimits: {queuedTokens: 0}", "file")
