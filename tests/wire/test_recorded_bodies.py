"""Recorded requests go through and keep every field; recorded errors and replies are read for what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recordings import Recording, pick

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.contract import Stamp
from hoosh.dialects.openai import FAMILY, OpenAIUpstream, read_chat, read_completion, read_embedding
from hoosh.dialects.openai.history import upstream_id
from hoosh.dialects.openai.passage import OpenAIPassage
from hoosh.errors import InvalidRequest
from hoosh.values import Call, CallKind

READ = {"chat": read_chat, "completions": read_completion, "embeddings": read_embedding}
KIND = {"chat": CallKind.CHAT, "completions": CallKind.COMPLETION, "embeddings": CallKind.EMBEDDING}

# What we refuse ourselves: an empty list in OpenAI's words, `max_tokens: 0` before a reasoning model refuses the name.
EMPTY_MESSAGES = "fixtures/openai/chat-envoy-no-messages"
NO_TOKENS = "fixtures/openai/chat-envoy-bad-request"

STAMP = Stamp("r", "m", 1)

REQUESTS = pick(lambda recording: recording.request is not None and recording.name not in (EMPTY_MESSAGES, NO_TOKENS))
ERRORS = pick(lambda recording: recording.status >= 400 and recording.response is not None)
REPLIES = pick(lambda recording: recording.status == 200 and not recording.streaming and recording.response is not None)


def passage_of(call: Call, provider: str = "openai") -> OpenAIPassage:
    passage = OpenAIUpstream(FAMILY.get(provider, FAMILY["openai"])).passage(call)
    assert passage is not None
    return passage


def by_name(recording: Recording) -> str:
    return recording.name


def with_short_ids(sent: dict[str, Any]) -> None:
    """Some ids were blotted out of the recording: no longer such as Mistral gives and takes."""
    for message in sent.get("messages", ()):
        for holder, name in [(message, "tool_call_id"), *((call, "id") for call in message.get("tool_calls") or ())]:
            if name in holder:
                holder[name] = upstream_id(holder[name], FAMILY["mistral"])
                assert len(holder[name]) == 9


@pytest.mark.parametrize("recording", REQUESTS, ids=by_name)
def test_a_recorded_request_keeps_every_field(recording: Recording):
    assert recording.request is not None
    sent = json.loads(recording.request)
    call = READ[recording.kind](recording.request)
    assert call.model == sent["model"]
    assert call.stream is bool(sent.get("stream"))

    encoded = json.loads(passage_of(call, recording.provider).outgoing(call, model="another").body)
    assert encoded.pop("model") == "another"
    options = encoded.pop("stream_options", None)
    given = sent.pop("stream_options", None)
    if recording.provider == "mistral":
        with_short_ids(sent)
    sent.pop("models", None)  # whom to ask next is ours to see to, as it is OpenRouter's for its own clients
    assert encoded == {name: value for name, value in sent.items() if name != "model"}
    if call.stream and recording.provider != "mistral":
        assert options == {**(given or {}), "include_usage": True}


@pytest.mark.parametrize("recording", pick(lambda recording: recording.name == EMPTY_MESSAGES), ids=by_name)
def test_what_we_refuse_ourselves_we_refuse_in_openais_words(recording: Recording):
    with pytest.raises(InvalidRequest) as caught:
        read_chat(recording.request or b"")
    error = recording.reply["error"]
    assert (str(caught.value), caught.value.param, caught.value.code) == (
        error["message"],
        error["param"],
        error["code"],
    )


@pytest.mark.parametrize("recording", pick(lambda recording: recording.name == NO_TOKENS), ids=by_name)
def test_a_request_for_no_tokens_is_refused_as_it_was_recorded(recording: Recording):
    with pytest.raises(InvalidRequest) as caught:
        read_chat(recording.request or b"")
    assert caught.value.param == recording.reply["error"]["param"] == "max_tokens"


@pytest.mark.parametrize("recording", ERRORS, ids=by_name)
def test_a_recorded_error_is_read_for_what_it_says(recording: Recording):
    assert recording.response is not None
    error = OpenAIUpstream().decode_error(
        recording.status, recording.headers.get("retry-after"), recording.response, provider="p"
    )
    said: dict[str, Any]
    try:
        said = json.loads(recording.response)
    except ValueError:
        said = {"message": recording.response.decode()}
    inner = said.get("error", said)
    inner = {"message": inner} if isinstance(inner, str) else inner
    code = inner.get("code")
    assert error.status == recording.status
    assert str(error) == inner["message"]
    assert error.kind == inner.get("type")
    assert error.param == inner.get("param")
    too_long = "exceed" in inner["message"] and "context" in inner["message"]
    own = code if isinstance(code, str) else inner.get("status")
    assert error.code == ("context_length_exceeded" if too_long else own)
    if "retry-after" in recording.headers:
        assert error.retry_after_s == float(recording.headers["retry-after"])


@pytest.mark.parametrize("recording", REPLIES, ids=by_name)
def test_a_recorded_reply_is_counted(recording: Recording):
    reply = recording.reply
    call = Call(KIND[recording.kind], "m", {})
    facts = passage_of(call).read_reply(call, recording.response or b"", STAMP, provider="p")
    assert facts.model == reply.get("model")
    usage = reply.get("usage")
    if usage is None:
        assert facts.usage is None
    else:
        assert facts.usage is not None
        assert facts.usage.total_tokens == usage["total_tokens"]
    if "choices" in reply:
        assert facts.finish_reason == reply["choices"][0]["finish_reason"]


@pytest.mark.parametrize(
    "recording", [recording for recording in REPLIES if recording.kind != "embeddings"], ids=by_name
)
def test_a_whole_reply_can_be_told_as_a_stream(recording: Recording):
    reply = recording.reply
    call = Call(KIND[recording.kind], "m", {}, stream=True, include_usage=True)
    passage = passage_of(call)
    told_whole = passage.as_stream(call, recording.response or b"", STAMP, provider="p")
    wire = told_whole.body
    chunks = [json.loads(event.data) for event in SseDecoder().feed(wire)]

    tap = passage.tap(call, STAMP, provider="p")
    assert tap.feed(wire) == wire
    assert tap.close()[1] == "complete"
    assert tap.usage == told_whole.usage
    for choice in reply["choices"]:
        mine = [piece for chunk in chunks for piece in chunk["choices"] if piece["index"] == choice["index"]]
        assert mine[-1]["finish_reason"] == choice["finish_reason"]
        if recording.kind == "completions":
            assert "".join(piece["text"] for piece in mine) == choice["text"]
            continue
        told: dict[str, Any] = {}
        for piece in mine:
            told.update({name: value for name, value in piece["delta"].items() if value or name not in told})
        for call_told in told.get("tool_calls") or ():
            call_told.pop("index")
        expected = {name: value for name, value in choice["message"].items() if value not in (None, "", [])}
        for call_said in expected.get("tool_calls") or ():
            call_said.pop("index", None)
        assert {name: value for name, value in told.items() if value not in (None, "")} == expected
