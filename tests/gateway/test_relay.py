"""What goes up to the client, whole or not, and what is written down about it."""

from __future__ import annotations

import json

import pytest
import trio
from gateway_house import (
    ASK,
    CHAT,
    STREAM,
    Alias,
    FakeUpstream,
    Key,
    Secret,
    Server,
    Timeouts,
    config,
    events_of,
    house_with,
    records_of,
    text_of,
)

from hoosh.config import Budget
from hoosh.errors import TransportError
from hoosh.testing.upstream import (
    Body,
    Cut,
    End,
    Hang,
    Head,
    Pause,
    Reset,
    error_reply,
    json_reply,
    sse_chat,
    with_pauses,
)
from hoosh.values import Outcome, Usage

SSE = Head(200, [(b"content-type", b"text/event-stream")])
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "fake",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    "novelty": {"kept": [1, 2.50, None]},
}


@pytest.fixture(params=[False, True], ids=["h1", "h2"])
def http2(request) -> bool:
    return request.param


async def broken_stream(house, body=STREAM) -> bytes:
    """What came of a stream that must not end well."""
    got = b""
    async with house.exchange(CHAT, body) as response:
        assert response.status == 200
        try:
            while piece := await response.receive():
                got += piece
        except TransportError:
            return got
    pytest.fail(f"a whole response: {got!r}")


async def test_a_whole_reply_goes_through_byte_for_byte(http2):
    reply = json_reply(ANSWER)
    async with house_with(FakeUpstream(reply), http2=http2) as house:
        records = records_of(house)
        status, headers, body = await house.post(CHAT, ASK)
    assert status == 200
    assert body == reply[1].data
    assert headers.get(b"x-hoosh-provider") == b"mock"
    assert headers.get(b"x-hoosh-model") == b"m"
    (record,) = records
    assert headers.text(b"x-request-id") == record.request_id
    assert (record.outcome, record.usage.total_tokens, record.attempts) == (Outcome.OK, 4, 1)


async def test_a_stream_goes_through_event_by_event_and_is_terminated(http2, autojump_clock):
    async with house_with(FakeUpstream(with_pauses(sse_chat("sa", "lam"), 1)), http2=http2) as house:
        records = records_of(house)
        status, headers, body = await house.post(CHAT, STREAM)
    assert status == 200
    assert headers.get(b"content-type") == b"text/event-stream; charset=utf-8"
    assert headers.get(b"x-accel-buffering") == b"no"
    assert text_of(body) == "salam"
    assert events_of(body)[-1] == "[DONE]"
    (record,) = records
    assert (record.outcome, record.usage.completion_tokens, record.stream) == (Outcome.OK, 2, True)


@pytest.mark.parametrize(("usage", "soonest_s"), [(True, 0.5), (False, 2.0)], ids=["counted", "not counted"])
async def test_a_terminator_that_does_not_come_is_not_waited_for(http2, usage, soonest_s, autojump_clock):
    upstream = FakeUpstream([*sse_chat("sa", "lam", usage=usage, done=False)[:-1], Hang()])
    async with house_with(upstream, http2=http2) as house:
        records = records_of(house)
        began = trio.current_time()
        _, _, body = await house.post(CHAT, STREAM)
        assert soonest_s <= trio.current_time() - began <= soonest_s + 0.3  # on the mock clock
        assert text_of(body) == "salam"
        assert events_of(body)[-1] == "[DONE]"
        await upstream.wait_cancelled()
    (record,) = records
    assert record.outcome is Outcome.OK
    assert (record.usage == Usage(1, 2)) is usage, "a guess, where it was not counted"


@pytest.mark.parametrize("pause_s", [0.3, 1.5])
async def test_usage_that_is_late_is_waited_for(pause_s, autojump_clock):
    *said, usage, done, end = sse_chat("sa", "lam")
    async with house_with(FakeUpstream([*said, Pause(pause_s), usage, Pause(0.4), done, end])) as house:
        records = records_of(house)
        _, _, body = await house.post(CHAT, {**STREAM, "stream_options": {"include_usage": True}})
    assert events_of(body)[-2]["usage"]["completion_tokens"] == 2
    (record,) = records
    assert record.usage == Usage(1, 2)


async def test_a_stream_that_is_silent_before_its_end_goes_on(autojump_clock):
    async with house_with(FakeUpstream(with_pauses(sse_chat("sa", "lam", done=False), 20))) as house:
        _, _, body = await house.post(CHAT, STREAM)
    assert text_of(body) == "salam"
    assert events_of(body)[-1] == "[DONE]"
    assert sum(line.startswith(b":") for line in body.splitlines()) == 3, "one in each wait, and none behind the end"


async def test_usage_is_always_asked_for_and_shown_only_to_those_who_asked():
    upstream = FakeUpstream(sse_chat("salam"))
    async with house_with(upstream) as house:
        _, _, plain = await house.post(CHAT, STREAM)
        _, _, asked = await house.post(CHAT, {**STREAM, "stream_options": {"include_usage": True}})
    assert [json.loads(r.body)["stream_options"]["include_usage"] for r in upstream.requests] == [True, True]
    assert not any(isinstance(e, dict) and e.get("usage") for e in events_of(plain))
    assert any(isinstance(e, dict) and e.get("usage") for e in events_of(asked))


async def test_the_upstream_gets_the_clients_own_fields_and_the_providers_key():
    upstream = FakeUpstream(json_reply(ANSWER))
    body = b'{"model": "m", "messages": [{"role":"user","content":"\xd8\xb3"}], "seed": 1.0e2, "new": [ ], "pool": "p"}'
    budgets = (Budget(name="p", capacity=10_000),)
    async with house_with(upstream, config(provider={"api_key": Secret("sk-up")}, budgets=budgets)) as house:
        await house.post(CHAT, body, headers=[(b"traceparent", b"00-aa-bb-01"), (b"x-private", b"mine")])
    (request,) = upstream.requests
    assert request.body == b'{"model":"m","messages":[{"role":"user","content":"\xd8\xb3"}],"seed":1.0e2,"new":[ ]}'
    assert request.target == CHAT
    assert request.headers.get(b"authorization") == b"Bearer sk-up"
    assert request.headers.get(b"traceparent") == b"00-aa-bb-01"
    assert request.headers.get(b"x-private") is None


async def test_an_alias_rewrites_only_the_model():
    upstream = FakeUpstream(json_reply(ANSWER))
    async with house_with(upstream, config(models=(Alias(name="best", targets=("mock/real",)),))) as house:
        status, headers, _ = await house.post(CHAT, {**ASK, "model": "best"})
    assert status == 200
    assert json.loads(upstream.requests[0].body) == {**ASK, "model": "real"}
    assert headers.get(b"x-hoosh-model") == b"real"


async def test_a_token_limit_holds_for_those_who_name_none_and_those_who_name_too_many():
    upstream = FakeUpstream(json_reply(ANSWER))
    async with house_with(upstream, config(provider={"max_tokens_limit": 50})) as house:
        for asked in ({}, {"max_tokens": 900}, {"max_completion_tokens": 900}, {"max_tokens": 7}):
            await house.post(CHAT, {**ASK, **asked})
    got = [json.loads(r.body) for r in upstream.requests]
    assert [g.get("max_tokens") or g.get("max_completion_tokens") for g in got] == [50, 50, 50, 7]


# -- streams that fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [Cut(), Reset()], ids=["FIN", "RST"])
async def test_a_stream_that_dies_ends_in_an_error_event_and_without_done(http2, end):
    script = [*sse_chat("sa", "lam")[:3], end]
    async with house_with(FakeUpstream(script), http2=http2) as house:
        records = records_of(house)
        got = await broken_stream(house)
    events = events_of(got)
    if not isinstance(end, Reset):  # an RST may overtake what was sent before it
        assert text_of(got) == "salam"
        assert events[-1]["error"]["code"] == "upstream_error"
    assert "[DONE]" not in events
    assert [r.outcome for r in records] in ([Outcome.CUT], [Outcome.ERROR])


async def test_a_stream_that_goes_silent_is_ended_by_the_idle_deadline(http2, autojump_clock):
    script = [*sse_chat("sa", "lam")[:2], Hang()]
    upstream = FakeUpstream(script)
    async with house_with(upstream, http2=http2) as house:
        got = await broken_stream(house)
        await upstream.wait_cancelled()
    assert events_of(got)[-1]["error"]["code"] == "upstream_timeout"
    assert "[DONE]" not in events_of(got)


async def test_a_stream_without_its_terminator_but_with_a_finish_is_completed():
    async with house_with(FakeUpstream(sse_chat("salam", done=False))) as house:
        status, _, body = await house.post(CHAT, STREAM)
    assert (status, text_of(body), events_of(body)[-1]) == (200, "salam", "[DONE]")


async def test_an_error_that_comes_first_in_a_stream_is_answered_with_a_status():
    script = [SSE, Body(b'data: {"error":{"message":"overloaded","type":"server_error","code":"busy"}}\n\n'), End()]
    async with house_with(FakeUpstream(script)) as house:
        status, _, body = await house.post(CHAT, STREAM)
    assert status == 502
    assert json.loads(body)["error"]["message"] == "overloaded"


async def test_an_error_in_the_middle_of_a_stream_is_passed_on_as_the_last_event(autojump_clock):
    script = [
        *sse_chat("salam")[:2],
        Pause(1),
        Body(b'data: {"error":{"message":"out of memory"}}\n\ndata: [DONE]\n\n'),
        End(),
    ]
    async with house_with(FakeUpstream(script)) as house:
        got = await broken_stream(house)
    assert text_of(got) == "salam"
    assert events_of(got)[-1]["error"]["message"] == "out of memory"


async def test_a_whole_reply_to_a_stream_request_becomes_a_stream():
    async with house_with(FakeUpstream(json_reply(ANSWER))) as house:
        status, headers, body = await house.post(CHAT, STREAM)
    assert status == 200
    assert headers.get(b"content-type").startswith(b"text/event-stream")
    assert (text_of(body), events_of(body)[-1]) == ("salam", "[DONE]")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ([Head(200, [(b"content-type", b"application/json")]), Body(b"<html>"), End()], 502),
        (json_reply({"hello": "world"}), 502),
        ([Head(200, [(b"content-type", b"application/json"), (b"content-length", b"900")]), Body(b"{"), Cut()], 502),
        ([b"SSH-2.0-OpenSSH\r\n"], 502),
        ([Cut()], 502),
        (error_reply(404, "no such model", code="model_not_found"), 404),
        (error_reply(400, "too long", code="context_length_exceeded"), 400),
        (error_reply(401, "bad key sk-secret"), 502),
        (error_reply(500, "boom"), 502),
        (error_reply(503, "loading"), 503),
        (error_reply(429, "slow down", headers=[(b"retry-after", b"7")]), 429),
    ],
)
async def test_what_an_upstream_does_wrong_gets_the_status_it_deserves(script, status):
    async with house_with(FakeUpstream(script)) as house:
        records = records_of(house)
        got, headers, body = await house.post(CHAT, ASK)
    assert got == status
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "sk-secret" not in error["message"]
    assert headers.get(b"x-request-id")
    if status == 429:
        assert headers.get(b"retry-after") == b"7"
    assert [(r.outcome, r.status) for r in records] == [(Outcome.ERROR, status)]


async def test_nobody_listening_is_a_502_and_silence_a_504(autojump_clock):
    async with house_with(FakeUpstream([Hang()])) as house:
        silent = await house.post(CHAT, ASK)
        house.network.stop("mock:80")
        await trio.sleep(120)  # the kept connection is gone by now
        refused = await house.post(CHAT, ASK)
    assert (silent[0], refused[0]) == (504, 502)
    assert b"first_byte" in silent[2]


# -- silence -----------------------------------------------------------------------------------------------------


async def test_a_silent_stream_is_kept_alive_by_comments(http2, autojump_clock):
    words = sse_chat("sa", "lam")
    script = [*words[:2], Pause(29), *words[2:3], Pause(29), *words[3:]]
    async with house_with(FakeUpstream(script), http2=http2) as house:
        status, _, body = await house.post(CHAT, STREAM)
    assert status == 200
    assert body.count(b": keep-alive\n\n") == 2
    assert (text_of(body), events_of(body)[-1]) == ("salam", "[DONE]")


@pytest.mark.parametrize("pause", [15, 16, 17, 32])
async def test_data_that_comes_in_the_very_moment_of_a_comment_is_not_lost(http2, autojump_clock, pause):
    words = sse_chat(*"salam donya")
    script = [step for word in words for step in (Pause(pause), word)]
    settings = config(provider={"timeouts": Timeouts(first_byte_s=100, idle_s=100, total_s=3600)})
    async with house_with(FakeUpstream(script), settings, http2=http2) as house:
        status, _, body = await house.post(CHAT, STREAM)
    assert status == 200
    assert (text_of(body), events_of(body)[-1]) == ("salam donya", "[DONE]")
    if pause > 16:
        assert body.count(b": keep-alive") >= len("salam donya")


# -- slow clients ------------------------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_stops_the_reading_upstream(http2, autojump_clock):
    chunk = sse_chat("x" * 1000)[1]
    upstream = FakeUpstream([SSE, *[chunk] * 3000, *sse_chat()[1:]])
    async with house_with(upstream, http2=http2) as house:
        async with house.exchange(CHAT, STREAM) as response:
            first = await response.receive()
            await trio.sleep(5)
            assert first
            assert not upstream.requests[0].answered, "3 MB went somewhere while nobody read"
            got = len(first)
            while piece := await response.receive():
                got += len(piece)
        assert got > 3_000_000


# -- errors of the caller ----------------------------------------------------------------------------------------


async def test_what_the_caller_does_wrong_costs_no_upstream_call(http2):
    upstream = FakeUpstream(json_reply(ANSWER))
    settings = config(
        provider={"models": ("m*",)}, server=Server(max_body_bytes=1000), keys=(Key(name="k", key=Secret("sk-right")),)
    )
    key = [(b"authorization", b"Bearer sk-right")]
    cases = [
        (ASK, [], 401, "invalid_api_key"),
        (ASK, [(b"authorization", b"Bearer sk-wrong")], 401, "invalid_api_key"),
        ({**ASK, "model": "other"}, key, 404, "model_not_found"),
        (b"{nonsense", key, 400, None),
        ({"messages": []}, key, 400, None),
        ({**ASK, "messages": [{"role": "user", "content": "x" * 2000}]}, key, 413, "request_too_large"),
    ]
    async with house_with(upstream, settings, http2=http2) as house:
        for body, headers, expected, code in cases:
            status, answered, text = await house.post(CHAT, body, headers=headers)
            assert (status, json.loads(text)["error"]["code"]) == (expected, code) or code is None
            assert status == expected
            assert answered.get(b"x-request-id")
            assert b"sk-wrong" not in text
        status, _, _ = await house.post(CHAT, ASK, headers=key)
        assert status == 200
    assert len(upstream.requests) == 1


async def test_json_must_call_itself_json():
    upstream = FakeUpstream(json_reply(ANSWER))
    form = [(b"content-type", b"text/plain")]
    async with house_with(upstream) as house, house.exchange(CHAT, b"", headers=form) as response:
        assert response.status == 415
    assert not upstream.requests
