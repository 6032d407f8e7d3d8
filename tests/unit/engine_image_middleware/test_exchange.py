"""One request and its answer: what passes, and what becomes of both when the request is cut."""

import asyncio

import pytest

from batchedllm_engine.middleware.configuration import Bodies
from batchedllm_engine.middleware.exchange import ClientGoneError, Exchange
from batchedllm_engine.middleware.refusal import Reason, Refusal, Refused

OVER = Refusal(Reason.REQUEST_TIME, "Its time is over.")
SCOPE = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}


async def silence():
    await asyncio.Event().wait()


def exchange(receive=silence, send=None) -> Exchange:
    async def dropped(_message):
        pass

    return Exchange(SCOPE, receive, send or dropped, b"an-id")


def held(_size: int) -> None:
    """Bound nothing."""


async def test_a_request_that_is_cut_while_its_body_arrives_is_told_why():
    one = exchange()
    reading = asyncio.create_task(one.read_body(Bodies(), held))
    await asyncio.sleep(0)
    one.cut(OVER)

    with pytest.raises(Refused) as refused:
        await reading
    assert refused.value.refusal is OVER


async def test_a_cut_in_the_very_turn_in_which_the_body_is_too_late_is_told_and_breaks_nothing():
    one = exchange()
    reading = asyncio.create_task(one.read_body(Bodies.model_construct(seconds=0.0), held))
    await asyncio.sleep(0)  # it listens
    await asyncio.sleep(0)  # and its time is over, which it does not know yet
    one.cut(OVER)

    with pytest.raises(Refused) as refused:
        await reading
    assert refused.value.refusal is OVER


async def test_one_that_was_cut_before_is_not_read_at_all():
    async def never():
        raise AssertionError("nothing is to be read")

    one = exchange(receive=never)
    one.cut(OVER)

    with pytest.raises(Refused) as refused:
        await one.read_body(Bodies(), held)
    assert refused.value.refusal is OVER


async def test_a_client_that_goes_before_its_body_is_whole_is_gone():
    async def gone():
        return {"type": "http.disconnect"}

    one = exchange(receive=gone)
    with pytest.raises(ClientGoneError):
        await one.read_body(Bodies(), held)
    assert one.client_gone


async def test_the_pieces_of_an_answer_pass_as_they_are_and_none_after_a_cut():
    sent = []

    async def send(message):
        sent.append(message)

    one = exchange(send=send)
    pieces = [{"type": "http.response.body", "body": bytes([number]), "more_body": True} for number in range(3)]

    async def application(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send(pieces[0])
        await send(pieces[1])
        one.cut(OVER)
        await send(pieces[2])

    await one.run(application, SCOPE, b"{}")

    assert [message for message in sent if message["type"] == "http.response.body"] == pieces[:2]
    assert not one.is_complete
