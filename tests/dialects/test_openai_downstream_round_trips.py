"""There and back in OpenAI's language: what one half writes, the other reads as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.openai import FAMILY, OpenAIDownstream, OpenAIUpstream
from hoosh.dialects.replies import fold, unfold
from hoosh.testing.chats import chat_replies, chat_requests, openai_bodies
from hoosh.values import Annotation, Call, CallKind, ChatReply, ChatRequest, Finished, ReplyEvent, Role, TextSaid

OPENAI = OpenAIDownstream()
STAMP = Stamp("r", "m", 1)
UPSTREAMS = {name: OpenAIUpstream(FAMILY[name]) for name in ("openai", "openrouter", "vllm")}


def reread(request: ChatRequest, upstream: OpenAIUpstream) -> ChatRequest:
    sent = upstream.encode_chat(request, model=request.model)
    return OPENAI.chat_request(OPENAI.read(CallKind.CHAT, sent.body))


def call_of(*, include_usage: bool = True) -> Call:
    return Call(CallKind.CHAT, "m", {"reasoning": Raw(b"null")}, stream=True, include_usage=include_usage)


def bare(reply: ChatReply) -> ChatReply:
    """Without what an answer says of itself, which the gateway writes anew."""
    return replace(reply, id="", model="", finish=Finished(reply.finish.reason))


# -- requests ----------------------------------------------------------------------------------------------------


@given(chat_requests(reasoning=False))
@settings(max_examples=40)
def test_a_request_comes_back_from_openais_body_as_it_was(request: ChatRequest):
    assert reread(request, UPSTREAMS["openai"]) == request


@given(chat_requests())
@settings(max_examples=40)
def test_thoughts_come_back_from_openrouters_body_with_their_signatures(request: ChatRequest):
    """OpenRouter knows no developers, and is only offered the tools that are allowed."""
    told = reread(request, UPSTREAMS["openrouter"])
    plain = [replace(m, role=Role.SYSTEM) if m.role is Role.DEVELOPER else m for m in told.messages]
    asked = [replace(m, role=Role.SYSTEM) if m.role is Role.DEVELOPER else m for m in request.messages]
    assert plain == asked
    assert all(tool in request.tools for tool in told.tools)


@pytest.mark.parametrize("name", UPSTREAMS)
@given(body=openai_bodies())
@settings(max_examples=40)
def test_a_clients_body_keeps_its_texts_tools_images_and_their_order(name: str, body: dict[str, Any]):
    request = OPENAI.chat_request(OPENAI.read(CallKind.CHAT, json.dumps(body).encode()))
    sent = json.loads(UPSTREAMS[name].encode_chat(request, model="m").body)
    assert [_flat(message) for message in sent["messages"]] == [_flat(message) for message in body["messages"]]
    assert [tool["function"]["name"] for tool in sent.get("tools", [])] == [
        tool["function"]["name"] for tool in body.get("tools", [])
    ]


def _flat(message: dict[str, Any]) -> list[Any]:
    """What a message says, whichever way it was written."""
    content = message.get("content")
    pieces = [] if content is None else [content] if isinstance(content, str) else content
    said = [piece if isinstance(piece, str) else piece.get("text") or piece["image_url"]["url"] for piece in pieces]
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", [])
    ]
    role = "system" if message["role"] == "developer" else message["role"]
    return [role, *said, *calls, message.get("tool_call_id")]


# -- replies -----------------------------------------------------------------------------------------------------


@given(chat_replies())
def test_a_whole_reply_comes_back_as_it_was(reply: ChatReply):
    body = OPENAI.encode_reply(call_of(), reply, STAMP)
    told = UPSTREAMS["openai"].decode_chat(body, provider="p")
    assert _without_notes(told) == _without_notes(reply)
    assert _notes(told) == _notes(reply)


def _without_notes(reply: ChatReply) -> ChatReply:
    """A message says its citations beside its text, not with it."""
    parts = [replace(part, annotations=()) if isinstance(part, TextSaid) else part for part in reply.parts]
    return replace(bare(reply), parts=tuple([part for part in parts if part != TextSaid("")]))


def _notes(reply: ChatReply) -> list[Annotation]:
    return [note for part in reply.parts if isinstance(part, TextSaid) for note in part.annotations]


@given(chat_replies(), st.booleans(), st.integers(1, 400))
def test_a_streamed_reply_comes_back_as_it_was(reply: ChatReply, include_usage: bool, piece: int):
    encoder = OPENAI.chat_encoder(call_of(include_usage=include_usage), STAMP)
    wire = encoder.encode(list(unfold(reply))) + encoder.finish() + OPENAI.terminator
    decoder = UPSTREAMS["openai"].chat_decoder(provider="p")
    events: list[ReplyEvent] = []
    for start in range(0, len(wire), piece):
        events += decoder.feed(wire[start : start + piece])
    rest, ending = decoder.close()
    assert (ending, decoder.error) == (Ending.COMPLETE, None)
    assert bare(fold([*events, *rest])) == bare(reply if include_usage else replace(reply, usage=None))


@given(chat_replies())
def test_what_a_client_gathers_from_a_stream_it_can_send_back(reply: ChatReply):
    """Texts joined, details in a row, as clients of OpenRouter keep them for the next turn."""
    encoder = OPENAI.chat_encoder(call_of(), STAMP)
    wire = encoder.encode(list(unfold(reply))) + encoder.finish()
    chunks = [json.loads(frame[6:]) for frame in wire.split(b"\n\n")[:-1]]
    found = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    details = [detail for delta in found for detail in delta.get("reasoning_details", [])]
    text = "".join([delta.get("content") or "" for delta in found])
    message = {"role": "assistant", "content": text, "reasoning_details": details}
    body = {"model": "m", "messages": [message, {"role": "user", "content": "go on"}]}
    parts = OPENAI.chat_request(OPENAI.read(CallKind.CHAT, json.dumps(body).encode())).messages[0].parts
    thoughts = [(p.text, p.signature, p.data, p.origin) for p in reply.parts if type(p).__name__ == "ReasoningSaid"]
    assert [(p.text, p.signature, p.data, p.origin) for p in parts if type(p).__name__ == "ReasoningPart"] == thoughts
