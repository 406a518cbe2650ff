"""Anthropic's own SDK against what we answer, without a network: whole, streamed, with tools and thoughts, failing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.dialects.anthropic import AnthropicDownstream
from hoosh.dialects.contract import ErrorFacts, Stamp
from hoosh.dialects.replies import unfold
from hoosh.values import (
    Annotation,
    CallKind,
    CallSaid,
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    OpaqueOutput,
    ReasoningSaid,
    RefusalSaid,
    ReplyPart,
    Role,
    TextSaid,
    Usage,
)

anthropic = pytest.importorskip("anthropic")
httpx = pytest.importorskip("httpx2")
types = pytest.importorskip("anthropic.types")

DOWN = AnthropicDownstream()
ASK = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"name": "weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}


class Gateway:
    """As much of a gateway as the SDK sees: one reply for all."""

    def __init__(self, *parts: ReplyPart, reason: FinishReason = FinishReason.STOP, fails: ErrorFacts | None = None):
        self.reply = ChatReply(parts, Finished(reason), Usage(9, 3, 2, 1, 1), "x", "true")
        self.fails = fails
        self.requests: list[ChatRequest] = []

    def client(self) -> Any:
        transport = httpx.MockTransport(self.answer)
        return anthropic.Anthropic(
            base_url="http://hoosh", api_key="k", max_retries=0, http_client=httpx.Client(transport=transport)
        )

    def answer(self, request: Any) -> Any:
        kind = CallKind.TOKEN_COUNT if request.url.path.endswith("count_tokens") else CallKind.CHAT
        call = DOWN.read(kind, request.read())
        self.requests.append(DOWN.chat_request(call))
        stamp = Stamp("r1", "m", 1700000000)
        if kind is CallKind.TOKEN_COUNT:
            return httpx.Response(200, content=DOWN.encode_token_count(42))
        if not call.stream and self.fails:
            return httpx.Response(DOWN.error_status(self.fails), content=DOWN.error_body(self.fails))
        if not call.stream:
            return httpx.Response(200, content=DOWN.encode_reply(call, self.reply, stamp))
        encoder = DOWN.chat_encoder(call, stamp)
        wire = DOWN.keep_alive(call) + encoder.encode(tuple(unfold(self.reply)))
        wire += DOWN.error_event(self.fails) if self.fails else encoder.finish() + DOWN.terminator
        return httpx.Response(200, content=wire, headers={"content-type": DOWN.stream_type.decode()})


PARTS: dict[str, tuple[tuple[ReplyPart, ...], FinishReason]] = {
    "text": ((TextSaid("Salam, dünya 🌍"),), FinishReason.STOP),
    "cited": ((TextSaid("Sun.", (Annotation("https://a.example", "A", 0, 4, "sun"),)),), FinishReason.STOP),
    "thoughts": (
        (ReasoningSaid("hm", "sig==", origin="anthropic"), TextSaid("yes")),
        FinishReason.STOP,
    ),
    "foreign thoughts": ((ReasoningSaid("hm", "AQ==", origin="gemini"), TextSaid("yes")), FinishReason.STOP),
    "hidden thoughts": ((ReasoningSaid(data="enc", origin="openai", id="rs_1"), TextSaid("y")), FinishReason.LENGTH),
    "calls": (
        (TextSaid("well"), CallSaid("c1", "weather", '{"city":"Bam"}'), CallSaid("c2", "now", "{}")),
        FinishReason.TOOL_CALLS,
    ),
    "refusal": ((RefusalSaid("No."),), FinishReason.STOP),
    "nothing": ((), FinishReason.CONTENT_FILTER),
}


@pytest.mark.parametrize("name", PARTS)
def test_whole_and_streamed_messages_are_the_same_to_the_sdk(name: str):
    parts, reason = PARTS[name]
    client = Gateway(*parts, reason=reason).client()
    whole = client.messages.create(**ASK)
    with client.messages.stream(**ASK) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert streamed.to_dict() == whole.to_dict()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    validated = types.Message.model_validate(whole.to_dict())
    assert (validated.id, validated.model, validated.usage.input_tokens) == ("msg_r1", "true", 6)
    assert (validated.usage.cache_read_input_tokens, validated.usage.cache_creation_input_tokens) == (2, 1)
    beta = client.beta.messages.create(**ASK)
    assert pytest.importorskip("anthropic.types.beta").BetaMessage.model_validate(beta.to_dict())


def test_what_the_sdk_reads_is_what_was_said():
    client = Gateway(*PARTS["calls"][0], reason=FinishReason.TOOL_CALLS).client()
    with client.messages.stream(**ASK, tools=[TOOL]) as stream:
        message = stream.get_final_message()
    text, first, second = message.content
    assert (text.type, text.text) == ("text", "well")
    assert (first.type, first.id, first.name, first.input) == ("tool_use", "c1", "weather", {"city": "Bam"})
    assert (second.name, second.input) == ("now", {})
    assert message.stop_reason == "tool_use"


def test_the_answer_of_the_sdk_can_be_sent_back():
    """Thoughts of every origin come back as they were."""
    thoughts = (
        ReasoningSaid("hm", "sig==", origin="anthropic"),
        ReasoningSaid(data="red", origin="anthropic"),
        ReasoningSaid("hm", "AQ==", origin="gemini"),
        ReasoningSaid(data="enc", origin="openai", id="rs_1"),
        ReasoningSaid("both", data="enc", origin="openai", id="rs_2"),
    )
    gateway = Gateway(*thoughts, CallSaid("c1", "weather", "{}", "gs"), reason=FinishReason.TOOL_CALLS)
    client = gateway.client()
    with client.messages.stream(**ASK) as stream:
        message = stream.get_final_message()
    turn = {"role": "assistant", "content": message.to_dict()["content"]}
    results = [{"type": "tool_result", "tool_use_id": message.content[-1].id, "content": "21"}]
    messages = [*ASK["messages"], turn, {"role": "user", "content": [*results, {"type": "text", "text": "and?"}]}]
    client.messages.create(**{**ASK, "messages": messages})
    _, assistant, tool, user = gateway.requests[-1].messages
    *reasoning, call = assistant.parts
    told = [(part.text, part.signature, part.data, part.origin, part.id) for part in reasoning]  # type: ignore[union-attr]
    assert told == [(part.text, part.signature, part.data, part.origin, part.id) for part in thoughts]
    assert (call.id, call.name, call.signature) == ("c1", "weather", "gs")  # type: ignore[union-attr]
    assert (tool.role, tool.parts[0].call_id) == (Role.TOOL, "c1")  # type: ignore[union-attr]
    assert user.role is Role.USER


def test_blocks_of_anthropics_own_are_told_whole():
    block = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}
    opaque = OpaqueOutput("anthropic", "server_tool_use", anthropic_raw(block))
    client = Gateway(opaque, TextSaid("y")).client()
    with client.messages.stream(**ASK) as stream:
        message = stream.get_final_message()
    assert message.content[0].input == {"query": "x"}
    assert client.messages.create(**ASK).content[0].to_dict() == block


def anthropic_raw(value: Any) -> Any:
    import msgspec

    return msgspec.Raw(json.dumps(value).encode())


def test_tokens_are_counted():
    ask = {name: value for name, value in ASK.items() if name != "max_tokens"}
    assert Gateway().client().messages.count_tokens(**ask).input_tokens == 42


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "OverloadedError"),
    ],
)
def test_errors_are_raised_as_the_sdk_knows_them(status: int, error: str):
    client = Gateway(fails=ErrorFacts(status, "so it is", "server_error", request_id="r9")).client()
    with pytest.raises(anthropic.APIStatusError, match="so it is") as caught:
        client.messages.create(**ASK)
    assert type(caught.value).__name__ == error
    assert caught.value.body["type"] == "error"
    assert caught.value.body["request_id"] == "r9"


def test_an_error_in_a_stream_is_raised_after_what_was_said():
    client = Gateway(TextSaid("half"), fails=ErrorFacts(529, "Overloaded", "overloaded_error")).client()
    said = []
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"), client.messages.stream(**ASK) as stream:
        said.extend(stream.text_stream)
    assert said == ["half"]
