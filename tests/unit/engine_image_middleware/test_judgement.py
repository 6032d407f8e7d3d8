"""What the head of a request decides: endpoint, key, class, patience."""

import math

import pytest

from batchedllm_engine.middleware.configuration import ApiKeys, Configuration, Limits, ServiceClass
from batchedllm_engine.middleware.endpoints import Inference, Plain
from batchedllm_engine.middleware.headers import for_engine, request_id
from batchedllm_engine.middleware.judgement import judge_head, patience_for
from batchedllm_engine.middleware.keys import parse_keys
from batchedllm_engine.middleware.refusal import Refused
from batchedllm_engine.middleware.settings import Settings

COMPLETIONS = ("POST", "/v1/completions")
OPEN = Configuration(
    classes=(
        ServiceClass(name="high", rank=-10, key_only=True),
        ServiceClass(name="normal", rank=0, default=True),
        ServiceClass(name="low", rank=10, limits=Limits(request_seconds=5)),
    ),
    limits=Limits(request_seconds=60),
    extra_endpoints=("POST /tokenize",),
)
KEYS = b"""keys:
  - {name: a, key: key-of-normal, class: normal}
  - {name: b, key: key-of-high, class: high}
"""


def with_keys(*, required: bool) -> Settings:
    configuration = OPEN.model_copy(update={"api_keys": ApiKeys(file="keys", required=required)})
    return Settings(configuration, parse_keys(KEYS, "keys", configuration))


def headers(**values: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]


def class_of(settings=None, **values: str) -> str:
    return judge_head(*COMPLETIONS, headers(**values), settings or Settings(OPEN))[1].name


def refused(*request, settings=None):
    with pytest.raises(Refused) as told:
        judge_head(*request, settings or Settings(OPEN))
    return told.value.refusal


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/invocations", 404),
        ("GET", "/version", 404),
        ("POST", "/v1/completions/", 404),
        ("POST", "//v1/completions", 404),
        ("POST", "/V1/completions", 404),
        ("POST", "/v1/../collective_rpc", 404),
        ("GET", "/openapi.json", 404),
        ("POST", "/v1/load_lora_adapter", 404),
        ("GET", "/v1/completions", 405),
        ("HEAD", "/health", 405),
        ("DELETE", "/v1/models", 405),
    ],
)
def test_only_known_endpoints_are_there(method, path, status):
    refusal = refused(method, path, [])
    assert refusal.status == status
    if status == 405:
        assert refusal.headers[0][0] == b"allow"


def test_known_endpoints_run_the_model_or_are_let_through():
    assert isinstance(judge_head(*COMPLETIONS, [], Settings(OPEN))[0], Inference)
    for plain in (("GET", "/health"), ("GET", "/v1/models"), ("POST", "/tokenize"), ("OPTIONS", "/v1/completions")):
        assert isinstance(judge_head(*plain, [], Settings(OPEN))[0], Plain)


def test_the_class_is_the_header_s_else_the_default():
    assert class_of() == "normal"
    assert class_of(x_batchedllm_priority="low") == "low"


@pytest.mark.parametrize("name", ["HIGH", "top", "", "-10", "a" * 10_000, "\xe9"])
def test_an_unknown_class_is_refused_with_the_names_of_those_there_are(name):
    refusal = refused(*COMPLETIONS, headers(x_batchedllm_priority=name))
    assert refusal.status == 400
    assert "expected one of: high, normal, low" in refusal.message
    assert len(refusal.message) < 200


def test_without_a_key_nobody_is_of_a_class_that_is_for_keys():
    refusal = refused(*COMPLETIONS, headers(x_batchedllm_priority="high"))
    assert (refusal.status, refusal.message) == (400, "Class 'high' cannot be asked for without a key.")


def test_a_key_gives_its_class_and_the_header_can_lower_but_not_raise_it():
    both = with_keys(required=True)
    assert class_of(both, authorization="Bearer key-of-high") == "high"
    assert class_of(both, authorization="bearer  key-of-normal ") == "normal"
    assert class_of(both, x_api_key="key-of-high", x_batchedllm_priority="low") == "low"
    raised = headers(authorization="Bearer key-of-normal", x_batchedllm_priority="high")
    assert "with a key of class 'normal'" in refused(*COMPLETIONS, raised, settings=both).message


@pytest.mark.parametrize(
    "sent",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic key-of-high"}, {"authorization": "Bearer "}],
)
def test_a_wrong_key_is_401_and_no_key_only_where_one_is_needed(sent):
    refusal = refused(*COMPLETIONS, headers(**sent), settings=with_keys(required=True))
    assert (refusal.status, refusal.headers) == (401, ((b"www-authenticate", b"Bearer"),))
    assert "wrong" not in refusal.message
    if not sent:
        assert class_of(with_keys(required=False)) == "normal"
    elif sent["authorization"] == "Bearer wrong":
        assert refused(*COMPLETIONS, headers(**sent), settings=with_keys(required=False)).status == 401


def test_health_and_metrics_need_no_key_and_models_do():
    for path in ("/health", "/metrics"):
        judge_head("GET", path, [], with_keys(required=True))
    assert refused("GET", "/v1/models", [], settings=with_keys(required=True)).status == 401
    assert refused("POST", "/tokenize", [], settings=with_keys(required=True)).status == 401


def test_headers_that_contradict_each_other_or_flood_are_refused():
    twice = headers(x_batchedllm_priority="low") + headers(x_batchedllm_priority="normal")
    assert "2 different values" in refused(*COMPLETIONS, twice).message
    assert "101 headers; at most 100" in refused(*COMPLETIONS, [(b"a", b"b")] * 101).message


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e9", "soon", "", "9" * 10_000])
def test_a_deadline_that_is_none_is_refused(value):
    with pytest.raises(Refused, match="expected seconds above 0"):
        patience_for(headers(x_batchedllm_deadline_seconds=value), OPEN.default_class, OPEN)


def test_the_shortest_of_class_whole_and_deadline_holds():
    low, normal = OPEN.find_class("low"), OPEN.default_class
    assert patience_for([], normal, OPEN).seconds == 60
    assert patience_for([], low, OPEN).seconds == 5
    short = patience_for(headers(x_batchedllm_deadline_seconds="2.5"), low, OPEN)
    assert (short.seconds, short.refusal.status) == (2.5, 504)
    assert patience_for([], normal, Configuration()).seconds == math.inf


def test_the_engine_gets_our_priority_and_length_and_no_client_s():
    sent = headers(x_vllm_priority="-9", content_length="5", transfer_encoding="chunked", accept="*/*")
    assert for_engine([*sent, (b"x-vllm-priority", b"-8")], b"id", 10, 7) == [
        (b"accept", b"*/*"),
        (b"x-request-id", b"id"),
        (b"x-vllm-priority", b"10"),
        (b"content-length", b"7"),
    ]


def test_a_request_id_is_kept_if_it_can_be_written_anywhere():
    assert request_id(headers(x_request_id="abc-1.2:3_4")) == b"abc-1.2:3_4"
    for bad in ("", "a b", "a\nb", "x" * 129, "\xe9"):
        assert len(request_id(headers(x_request_id=bad))) == 32
