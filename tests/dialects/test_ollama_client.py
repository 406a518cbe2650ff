"""Ollama's own Python client takes what we write, and we take what it writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from msgspec import Raw

from hoosh.dialects.contract import ErrorFacts, Stamp
from hoosh.dialects.ollama import OllamaDownstream
from hoosh.dialects.ollama.listing import ps, show, tags, version
from hoosh.dialects.replies import fold
from hoosh.values import (
    Call,
    CallKind,
    Capability,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    Finished,
    FinishReason,
    ModelCard,
    ModelFacts,
    ReasoningDelta,
    ReplyEvent,
    ReplyStarted,
    Role,
    SchemaFormat,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

ollama = pytest.importorskip("ollama")

OLLAMA = OllamaDownstream(now=lambda: 0.0)
STAMP = Stamp("1", "m", 1_700_000_000)
KINDS = {
    "/api/chat": CallKind.CHAT,
    "/api/generate": CallKind.COMPLETION,
    "/api/embed": CallKind.EMBEDDING,
    "/api/embeddings": CallKind.EMBEDDING,
}
EVENTS: list[ReplyEvent] = [
    ReplyStarted("", "m"),
    ReasoningDelta("hm"),
    TextDelta("he"),
    TextDelta("llo"),
    ToolCallStarted(0, "c", "add"),
    ToolCallDelta(0, '{"x":1}'),
    UsageReported(Usage(3, 2)),
    Finished(FinishReason.TOOL_CALLS),
]
FACTS = ModelFacts(can=frozenset({Capability.CHAT, Capability.TOOLS}), context_tokens=8192, source="provider")
CARDS = [ModelCard("qwen3:4b", "library", 1_700_000_000, FACTS), ModelCard("embedder", "openai")]


class Gateway:
    """Answers as the gateway does, and remembers what it was asked."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.breaks = breaks
        self.calls: list[Call] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        match request.url.path:
            case "/api/tags":
                return httpx.Response(200, json=tags(CARDS))
            case "/api/ps":
                return httpx.Response(200, json=ps())
            case "/api/show":
                return httpx.Response(200, json=show(CARDS[0]))
        call = OLLAMA.read(KINDS[request.url.path], request.content)
        self.calls.append(call)
        if (at_once := OLLAMA.immediate(call)) is not None:
            return httpx.Response(200, content=at_once)
        if call.kind is CallKind.EMBEDDING:
            return httpx.Response(200, content=OLLAMA.encode_embeddings(call, Embeddings(((1.0, 2.0),)), STAMP))
        if call.stream:
            return httpx.Response(200, content=self._stream(call))
        if self.breaks:
            return httpx.Response(503, content=OLLAMA.error_body(ErrorFacts(503, "nobody is there", "server_error")))
        return httpx.Response(200, content=OLLAMA.encode_reply(call, fold(EVENTS), STAMP))

    def _stream(self, call: Call) -> Iterator[bytes]:
        yield OLLAMA.keep_alive(call)
        encoder = OLLAMA.chat_encoder(call, STAMP)
        yield encoder.encode(EVENTS)
        if self.breaks:
            yield OLLAMA.error_event(ErrorFacts(502, "it broke", "server_error"))
        else:
            yield encoder.finish()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def client(gateway: Gateway) -> Any:
    return ollama.Client("http://gateway", transport=httpx.MockTransport(gateway))


def add(x: int, y: int = 2) -> int:
    """Adds two numbers.

    Args:
      x: One.
      y: The other.
    """
    return x + y


def test_a_chat_in_one_piece(gateway: Gateway):
    told = client(gateway).chat(
        "qwen3",
        [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi", "images": [b"\x89PNG\r\n\x1a\n"]}],
        tools=[add],
        think=True,
        format={"type": "object"},
        options={"temperature": 0.5, "num_ctx": 4096, "num_predict": 9},
        keep_alive="5m",
    )
    assert (told.message.content, told.message.thinking, told.done_reason) == ("hello", "hm", "stop")
    assert (told.message.tool_calls[0].function.name, told.message.tool_calls[0].function.arguments) == (
        "add",
        {"x": 1},
    )
    assert (told.prompt_eval_count, told.eval_count, told.total_duration) == (3, 2, 0)
    request: ChatRequest = OLLAMA.chat_request(gateway.calls[0])
    assert (request.tools[0].name, request.sampling.max_tokens, request.stream) == ("add", 9, False)
    assert request.reply_format == SchemaFormat(Raw(b'{"type":"object"}'))
    assert request.messages[1].parts[1].source.media_type == "image/png"  # type: ignore[union-attr]


def test_a_chat_in_pieces(gateway: Gateway):
    parts = list(client(gateway).chat("qwen3", [{"role": "user", "content": "hi"}], stream=True))
    assert "".join(part.message.content for part in parts) == "hello"
    assert "".join(part.message.thinking or "" for part in parts) == "hm"
    assert [call.function.arguments for part in parts for call in part.message.tool_calls or ()] == [{"x": 1}]
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].eval_count == 2


def test_an_answer_goes_back_as_the_client_keeps_it(gateway: Gateway):
    first = client(gateway).chat("qwen3", [{"role": "user", "content": "hi"}], tools=[add])
    result = {"role": "tool", "tool_name": "add", "content": "3"}
    client(gateway).chat("qwen3", [{"role": "user", "content": "hi"}, first.message, result], tools=[add])
    _, said, tool = OLLAMA.chat_request(gateway.calls[1]).messages
    assert (said.role, tool.role) == (Role.ASSISTANT, Role.TOOL)
    assert said.parts[-1].id == tool.parts[0].call_id == "call_1"  # type: ignore[union-attr]  # the client drops ids


def test_generate(gateway: Gateway):
    ours = client(gateway)
    told = ours.generate("qwen3", "hi", system="be kind")
    assert (told.response, told.thinking) == ("hello", "hm")
    assert "".join(part.response for part in ours.generate("qwen3", "hi", stream=True)) == "hello"
    assert OLLAMA.chat_request(gateway.calls[0]).messages[0].parts == (TextPart("be kind"),)
    assert ours.generate("qwen3").done_reason == "load"
    assert ours.chat("qwen3", keep_alive=0).done_reason == "unload"


def test_embeddings(gateway: Gateway):
    ours = client(gateway)
    assert list(ours.embed("e", ["a", "b"], dimensions=2).embeddings[0]) == [1.0, 2.0]
    assert list(ours.embeddings("e", "a").embedding) == [1.0, 2.0]
    asked = [OLLAMA.embedding_request(call) for call in gateway.calls]
    assert asked == [EmbeddingRequest("e", ("a", "b"), 2), EmbeddingRequest("e", ("a",))]


def test_lists(gateway: Gateway):
    ours = client(gateway)
    listed = ours.list().models
    assert [model.model for model in listed] == ["qwen3:4b", "embedder"]
    assert len({model.digest[:12] for model in listed}) == 2
    shown = ours.show("qwen3:4b")
    assert shown.capabilities == ["completion", "tools"]
    assert shown.modelinfo["library.context_length"] == 8192
    assert ours.ps().models == []
    assert json.loads(json.dumps(version("0.1.0"))) == {"version": "0.1.0"}


def test_failures():
    ours = client(Gateway(breaks=True))
    with pytest.raises(ollama.ResponseError) as caught:
        ours.chat("qwen3", [{"role": "user", "content": "hi"}])
    assert (caught.value.error, caught.value.status_code) == ("nobody is there", 503)
    stream = ours.chat("qwen3", [{"role": "user", "content": "hi"}], stream=True)
    with pytest.raises(ollama.ResponseError, match="it broke"):
        list(stream)
