"""A conversation written in OpenAI's language goes out in another, is read back, and is written in OpenAI's again.

    OpenAI body ─▶ values ─▶ Anthropic | Gemini | Ollama body ─▶ values ─▶ OpenAI body

What is kept: texts, tools (names, descriptions, schemas), calls (ids, names, arguments), results, images, and the order
of all.  Anthropic's and Ollama's bodies are read by our own downstream halves, Gemini's by a naive reader below.
Settings are no part of this: most have no counterpart everywhere, and each dialect's own tests say what it maps.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from itertools import groupby
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, Struct
from msgspec.structs import replace

from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicUpstream
from hoosh.dialects.contract import UpstreamDialect
from hoosh.dialects.gemini import GeminiUpstream
from hoosh.dialects.ollama import OllamaDownstream, OllamaUpstream
from hoosh.dialects.openai import OpenAIDownstream, OpenAIUpstream
from hoosh.testing.chats import chat_requests, openai_bodies, texts
from hoosh.values import (
    CallKind,
    ChatRequest,
    DataSource,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

OPENAI, OPENAI_UPSTREAM = OpenAIDownstream(), OpenAIUpstream()
ANTHROPIC, OLLAMA = AnthropicDownstream(), OllamaDownstream()
FETCHED = DataSource("image/png", b64encode(b"\x89PNG\r\n\x1a\n").decode())
"""What the gateway has fetched for an upstream that takes no URLs."""

Said = tuple[Any, ...]
"""One thing said: (role, kind, what)."""


class Middle(Struct, frozen=True):
    upstream: UpstreamDialect
    model: str
    read: Callable[[bytes], ChatRequest]
    forgets: Callable[[list[Said]], list[Said]]
    """What is said, without what this language has no place for."""


# -- Gemini, read naively ----------------------------------------------------------------------------------------


def read_gemini(body: bytes) -> ChatRequest:
    told = json.loads(body)
    system = told.get("systemInstruction", {"parts": []})["parts"]
    messages = [Message(Role.SYSTEM, tuple(TextPart(part["text"]) for part in system))] if system else []
    for content in told["contents"]:
        parts = [_gemini_part(part) for part in content["parts"]]
        results = tuple(part for part in parts if isinstance(part, ToolResultPart))
        others = tuple(part for part in parts if not isinstance(part, ToolResultPart))
        assert not results or parts[: len(results)] == list(results), "results come before what else the user says"
        messages += [Message(Role.TOOL, results)] if results else []
        role = Role.ASSISTANT if content["role"] == "model" else Role.USER
        messages += [Message(role, others)] if others else []
    declared = [one for tool in told.get("tools", ()) for one in tool["functionDeclarations"]]
    return ChatRequest("m", tuple(messages), tools=tuple(_gemini_tool(one) for one in declared))


def _gemini_part(part: dict[str, Any]) -> Part:
    if "functionCall" in part:
        call = part["functionCall"]
        return ToolCallPart(call["id"], call["name"], json.dumps(call["args"]))
    if "functionResponse" in part:
        answer = part["functionResponse"]
        response = answer["response"]
        text = response["result"] if list(response) == ["result"] else json.dumps(response)
        return ToolResultPart(answer["id"], (TextPart(text),), answer["name"])
    if "inlineData" in part:
        return ImagePart(DataSource(part["inlineData"]["mimeType"], part["inlineData"]["data"]))
    return TextPart(part["text"])


def _gemini_tool(declared: dict[str, Any]) -> Tool:
    schema = declared.get("parametersJsonSchema")
    return Tool(declared["name"], declared.get("description"), Raw(json.dumps(schema).encode()) if schema else None)


# -- what is said ------------------------------------------------------------------------------------------------


def said_in(body: dict[str, Any]) -> list[Said]:
    """Everything said in an OpenAI body, in its order.  Where a message ends is no part of it: languages differ."""
    return [thing for message in body["messages"] for thing in _said_by(message)]


def _said_by(message: dict[str, Any]) -> list[Said]:
    role = "system" if message["role"] == "developer" else message["role"]
    content = message.get("content") or []
    pieces: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if role == "tool":
        return [(role, message["tool_call_id"], parsed("".join(piece["text"] for piece in pieces)))]
    things: list[Said] = [
        (role, "text", piece["text"]) if piece["type"] == "text" else (role, "image", piece["image_url"]["url"])
        for piece in pieces
    ]
    calls = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
    return things + [(role, own, (function["name"], json.loads(function["arguments"]))) for own, function in calls]


def parsed(text: str) -> Any:
    """A result that is an object travels as one: its blanks are not kept."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def tools_in(body: dict[str, Any]) -> list[tuple[str, str | None, Any]]:
    """Names, descriptions and schemas.  A tool that takes nothing may say so, or say nothing."""
    found = []
    for tool in body.get("tools") or ():
        function = tool["function"]
        schema = function.get("parameters") or {"type": "object", "properties": {}}
        schema = {name: value for name, value in schema.items() if name != "additionalProperties"}
        found.append((function["name"], function.get("description"), schema))  # Anthropic closes strict schemas
    return found


def forgets_nothing(things: list[Said]) -> list[Said]:
    return things


def forgets_places(things: list[Said]) -> list[Said]:
    """Ollama: a message is one string and its images.  So texts that follow each other become one, joined by blank
    lines, and whether an image came before or after them is not said.  An image is bare bytes."""
    kept: list[Said] = []
    for (role, is_spoken), run in groupby(things, lambda thing: (thing[0], thing[1] in ("text", "image"))):
        if is_spoken:
            spoken = list(run)
            text = "".join([what for _, kind, what in spoken if kind == "text"])
            images = [what.rpartition(",")[2] for _, kind, what in spoken if kind == "image"]
            kept.append((role, text.replace("\n", ""), images))
        else:
            kept += run
    return kept


MIDDLES = {
    "anthropic": Middle(
        AnthropicUpstream(),
        "claude-sonnet-4-5",
        lambda body: ANTHROPIC.chat_request(ANTHROPIC.read(CallKind.CHAT, body)),
        forgets_nothing,
    ),
    "gemini": Middle(GeminiUpstream(), "gemini-2.5-flash", read_gemini, forgets_nothing),
    "gemini 3": Middle(GeminiUpstream(), "gemini-3-flash", read_gemini, forgets_nothing),
    "ollama": Middle(
        OllamaUpstream(),
        "llama3",
        lambda body: OLLAMA.chat_request(OLLAMA.read(CallKind.CHAT, body)),
        forgets_places,
    ),
}


# -- the conversations -------------------------------------------------------------------------------------------


def written(request: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(OPENAI_UPSTREAM.encode_chat(request, model="m").body)
    return body


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """Bodies as clients write them, and others with richer tools.

    Instructions hold text only: a picture among them is refused by all three.  Somebody asks something: instructions
    alone are no conversation to Google, who gets them as the question.
    """
    body: dict[str, Any] = draw(openai_bodies() | chat_requests(reasoning=False).map(written))
    first = body["messages"][0]
    if first["role"] in ("system", "developer"):
        first["content"] = draw(texts())
    body["messages"].append({"role": "user", "content": draw(texts())})
    return body


def as_fetched(request: ChatRequest) -> ChatRequest:
    """With the bytes in the place of URLs, as the gateway hands it to an upstream that fetches nothing."""

    def fetched(part: Part) -> Part:
        is_url = isinstance(part, ImagePart) and isinstance(part.source, UrlSource)
        return ImagePart(FETCHED) if is_url else part

    messages = [replace(message, parts=tuple(map(fetched, message.parts))) for message in request.messages]
    return replace(request, messages=tuple(messages))


def sent(middle: Middle, request: ChatRequest) -> bytes:
    return middle.upstream.encode_chat(request, model=middle.model).body


def without_settings(request: ChatRequest) -> ChatRequest:
    return replace(
        request,
        tool_choice=None,
        parallel_tool_calls=None,
        reply_format=None,
        reasoning=None,
        sampling=Sampling(),
        extensions=(),
    )


few = settings(max_examples=60)
"""Drawing a conversation costs more than all that is done with it, so each goes all ways."""


@few
@given(body=conversations())
def test_a_conversation_comes_back_from_every_other_language_as_it_was(body: dict[str, Any]):
    read = without_settings(OPENAI.chat_request(OPENAI.read(CallKind.CHAT, json.dumps(body).encode())))
    for name, middle in MIDDLES.items():
        request = read if middle.upstream.fetches_media else as_fetched(read)
        expected = written(request)
        once = without_settings(middle.read(sent(middle, request)))
        again = written(once)
        assert (name, middle.forgets(said_in(again))) == (name, middle.forgets(said_in(expected)))
        assert (name, tools_in(again)) == (name, tools_in(body))
        twice = middle.read(sent(middle, once))
        assert (name, twice.messages, twice.tools) == (name, once.messages, once.tools)  # nothing wears off by turns


@few
@given(chat_requests(images=False))
def test_thoughts_keep_their_signatures_where_their_own_provider_is_asked(request: ChatRequest):
    """Others' and unsigned thoughts are left out of Anthropic's history: the API takes its own only.  An assistant's
    turn of which nothing is left then goes too."""
    read = MIDDLES["anthropic"].read(sent(MIDDLES["anthropic"], without_settings(request)))
    assert thoughts_of(read) == [part for part in thoughts_of(request) if part.origin == "anthropic"]


def thoughts_of(request: ChatRequest) -> list[ReasoningPart]:
    return [part for message in request.messages for part in message.parts if isinstance(part, ReasoningPart)]
