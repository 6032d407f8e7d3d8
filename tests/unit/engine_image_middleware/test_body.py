"""Bodies: what is refused, what is changed, and that no client's priority survives."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchedllm_engine.middleware.body import changed_fields, parse_body, rewritten, withheld_fields
from batchedllm_engine.middleware.configuration import Configuration, Limits, ServiceClass
from batchedllm_engine.middleware.cost import OUTPUT_FIELDS, Cost, cost_of, tokens_of
from batchedllm_engine.middleware.endpoints import ENDPOINTS, Inference
from batchedllm_engine.middleware.judgement import prepare
from batchedllm_engine.middleware.refusal import Refused

COMPLETIONS = ENDPOINTS["POST", "/v1/completions"]
MESSAGES = ENDPOINTS["POST", "/v1/messages"]
CHAT = ENDPOINTS["POST", "/v1/chat/completions"]
INFERENCE = [endpoint for endpoint in ENDPOINTS.values() if isinstance(endpoint, Inference)]
LOW = ServiceClass(name="low", rank=7, default=True, limits=Limits(output_tokens=100))
ONE = Configuration(classes=(LOW,))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def prepared(body: object, endpoint: Inference = COMPLETIONS) -> dict[str, object]:
    return json.loads(prepare(json.dumps(body).encode(), endpoint, LOW, ONE).body)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1} x', "not JSON"),
        (b"[]", "must be a JSON object, not list"),
        (b"null", "must be a JSON object, not NoneType"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        (b'{"max_tokens": NaN}', "NaN is no number"),
        (b'{"temperature": Infinity}', "Infinity is no number"),
        (b'{"max_tokens": "9999"}', "max_tokens: str: expected a whole number"),
        (b'{"max_tokens": 9.0}', "max_tokens: 9.0: expected a whole number"),
        (b'{"max_tokens": true}', "max_tokens: True: expected a whole number"),
        (b'{"max_tokens": 0}', "max_tokens: 0: expected a whole number from 1"),
        (b'{"max_completion_tokens": -5}', "max_completion_tokens: -5: expected"),
        (b'{"n": 1e99}', "n: 1e+99: expected a whole number"),
        (b'{"n": []}', "n: list: expected a whole number"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"n": ' + b"9" * 400 + b"}", "n: 9999"),
        (b'{"a": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"background": true}', "background"),
    ],
)
def test_what_is_no_request_is_refused_with_a_word(raw, words):
    with pytest.raises(Refused) as told:
        parse_body(raw)
    assert words in told.value.refusal.message
    assert len(told.value.refusal.message) < 200


def test_the_priority_is_the_class_s_and_the_rest_stays_byte_by_byte():
    raw = b' \n{ "prompt": "caf\\u00e9 \xe2\x82\xac", "temperature": 1.50 }'
    assert prepare(raw, COMPLETIONS, LOW, ONE).body == (
        b'{"priority":7, "prompt": "caf\\u00e9 \xe2\x82\xac", "temperature": 1.50 }'
    )


@pytest.mark.parametrize("sent", [-1000, 99, "-1000", None, [], True, 1e300])
def test_a_priority_that_the_client_sends_is_overwritten(sent):
    assert prepared({"prompt": "a", "priority": sent})["priority"] == 7


def test_a_priority_that_is_sent_twice_is_overwritten_wherever_it_stands():
    raw = b'{"priority": -1, "prompt": "a", "prio\\u0072ity": -2}'
    assert prepare(raw, COMPLETIONS, LOW, ONE).body == b'{"priority": 7, "prompt": "a"}'


@given(st.dictionaries(st.text() | st.sampled_from(["priority", "n", "max_tokens", "prompt"]), JSON, max_size=6))
def test_whatever_the_body_the_engine_gets_our_priority_once_and_the_rest_as_it_was(body):
    ours = {"priority", *OUTPUT_FIELDS}
    for endpoint in INFERENCE:
        try:
            sent = prepare(json.dumps(body).encode(), endpoint, LOW, ONE).body
        except Refused:
            continue
        pairs = json.loads(sent, object_pairs_hook=tuple)
        ours_alone = [7] if endpoint.takes_priority else []
        assert [value for name, value in pairs if name == "priority"] == ours_alone
        kept = {name: value for name, value in json.loads(sent).items() if name not in ours}
        assert kept == {name: value for name, value in body.items() if name not in ours}


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(raw):
    with suppress(Refused):
        assert isinstance(parse_body(raw), dict)


@pytest.mark.parametrize(
    ("endpoint", "body", "sent"),
    [
        (COMPLETIONS, {}, None),  # vLLM's default of 16 is lower
        (COMPLETIONS, {"max_tokens": None}, 100),
        (COMPLETIONS, {"max_tokens": 100}, 100),
        (CHAT, {}, 100),
        (CHAT, {"max_tokens": 50}, 50),
        (CHAT, {"max_completion_tokens": None, "max_tokens": None}, 100),
    ],
)
def test_who_names_no_number_of_output_tokens_gets_the_limit(endpoint, body, sent):
    read = prepared(body, endpoint)
    assert {read[name] for name in OUTPUT_FIELDS if read.get(name) is not None} == ({sent} if sent else set())


@pytest.mark.parametrize("body", [{"max_tokens": 101}, {"max_tokens": 1, "max_completion_tokens": 101}])
def test_more_output_than_the_class_may_have_is_refused(body):
    with pytest.raises(Refused, match="101 output tokens; requests of class 'low' can have at most 100"):
        prepared(body, CHAT)


def test_no_limit_changes_nothing_but_the_priority():
    assert changed_fields({"prompt": "a"}, CHAT, 3, None) == {"priority": 3}
    assert rewritten(b"{}", {}, {"priority": 3}, frozenset()) == b'{"priority":3}'


def test_a_priority_does_not_reach_an_endpoint_that_does_not_read_it():
    withheld = withheld_fields(MESSAGES)

    assert rewritten(b'{"priority": -5, "a": 1}', {"priority": -5, "a": 1}, {}, withheld) == b'{"a": 1}'
    assert rewritten(b'{"a":  1}', {"a": 1}, {}, withheld) == b'{"a":  1}', "what has none stays as it was"
    assert withheld_fields(CHAT) == frozenset()


def test_the_cost_counts_answers_prompts_and_tokens():
    assert cost_of({"prompt": "x" * 41}, 10) == Cost(requests=1, prompt_tokens=11, output_tokens=10)
    assert cost_of({"prompt": [1, 2, 3], "n": 2}, 10) == Cost(requests=2, prompt_tokens=6, output_tokens=20)
    assert cost_of({"prompt": [[1, 2], [3]], "n": 2}, None) == Cost(requests=4, prompt_tokens=6, output_tokens=0)
    assert cost_of({"prompt": ["abcd", "efgh"]}, None).requests == 2
    assert cost_of({"messages": [{"role": "user", "content": "x" * 36}]}, 1).prompt_tokens == 10
    assert cost_of({}, None) == Cost(1, 0, 0)


def test_pictures_in_data_urls_count_no_text():
    parts = [{"type": "text", "text": "abcd"}, {"image_url": {"url": "data:image/png;base64," + "A" * 10_000}}]
    assert tokens_of(parts) == 2
    assert tokens_of({"data": "A" * 10_000, "format": "wav"}) == 1


def test_text_counts_by_its_bytes():
    assert tokens_of("日本語") == 3
    assert tokens_of("\ud800") == 1
