"""Hypothesis strategies that make chats: requests and replies in our own words, bodies as OpenAI's clients write them.

    chat_requests()     ChatRequest: a conversation that a provider would take, from the first message to the settings
    chat_replies()      ChatReply: thoughts, then text, then calls, as a model answers
    openai_bodies()     the JSON object of a POST to /v1/chat/completions, the sloppy ways of writing it among them

Conversations are well-formed: a call is of a tool that was offered, its result follows at once, ids are unique.  Texts
are any Unicode that JSON can carry, and odd signs often.

For tests only: needs `hypothesis`, which the extra `dev` brings (`pip install "hoosh-trio[dev]"`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from typing import Any

from hypothesis import strategies as st
from msgspec import Raw

from hoosh.values import (
    Annotation,
    CallSaid,
    ChatReply,
    ChatRequest,
    DataSource,
    Effort,
    Finished,
    FinishReason,
    ImagePart,
    JsonFormat,
    Message,
    Part,
    Reasoning,
    ReasoningPart,
    ReasoningSaid,
    RefusalSaid,
    ReplyPart,
    Role,
    Sampling,
    SchemaFormat,
    TextPart,
    TextSaid,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
    Usage,
)

__all__ = ["chat_replies", "chat_requests", "json_objects", "openai_bodies", "texts"]

ODD_TEXTS: tuple[str, ...] = (
    "\x00",
    "\u2028\u2029",
    "\ufeff",
    "\U0001f469\u200d\U0001f467",
    "\U0010ffff",
    "e\u0301",
    "\r\n\r\n",
)
ODD_TEXTS += ("data: [DONE]\n\n", '"}]}', "%d %s", "<think>", "\\")
ORIGINS = ("anthropic", "gemini", "openai", "xai")
SCHEMAS = (
    b'{"type":"object","properties":{}}',
    b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}',
    b'{"type":"object","properties":{"n":{"type":["integer","null"],"maximum":1e3}}}',
)

_names = st.from_regex(r"[a-z][a-zA-Z0-9_-]{0,15}", fullmatch=True)
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
_urls = st.sampled_from(["https://example.org/a.png", "http://example.org/é?b=c&d=%20"])
_data = st.binary(min_size=1, max_size=12).map(lambda data: b64encode(data).decode())


@cache  # drawing from a strategy is quick, making one is not
def texts(*, min_size: int = 1) -> st.SearchStrategy[str]:
    """Unicode without surrogates."""
    plain = st.text(st.characters(codec="utf-8"), min_size=min_size, max_size=20)
    return plain | st.builds("".join, st.lists(st.sampled_from(ODD_TEXTS), min_size=1, max_size=3))


@cache
def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.text(max_size=6), _json_values, max_size=3)


# -- requests ----------------------------------------------------------------------------------------------------


@st.composite
def chat_requests(draw: st.DrawFn, *, images: bool = True, reasoning: bool = True) -> ChatRequest:
    tools = draw(_tools())
    messages: list[Message] = []
    if draw(st.booleans()):
        role = draw(st.sampled_from([Role.SYSTEM, Role.DEVELOPER]))
        messages.append(Message(role, (TextPart(draw(texts())),)))
    for turn in range(draw(st.integers(1, 3))):
        messages.append(Message(Role.USER, draw(_questions(images=images))))
        messages += draw(_turns(tools, turn, reasoning=reasoning))
    if messages[-1].role is not Role.TOOL:
        messages.append(Message(Role.USER, (TextPart(draw(texts())),)))
    return ChatRequest(
        "model-x",
        tuple(messages),
        stream=draw(st.booleans()),
        tools=tools,
        tool_choice=draw(st.none() | _choices(tools)) if tools else None,
        parallel_tool_calls=draw(st.none() | st.booleans()) if tools else None,
        reply_format=draw(st.none() | _formats()),
        reasoning=draw(st.none() | st.builds(Reasoning, st.sampled_from(Effort))) if reasoning else None,
        sampling=draw(_samplings()),
        user=draw(st.none() | _names),
    )


@st.composite
def _tools(draw: st.DrawFn) -> tuple[Tool, ...]:
    names = draw(st.lists(_names, max_size=3, unique=True))
    about, schema = st.none() | texts(), st.sampled_from(SCHEMAS).map(Raw)
    return tuple([Tool(name, draw(about), draw(schema), draw(st.none() | st.booleans())) for name in names])


@st.composite
def _questions(draw: st.DrawFn, *, images: bool) -> tuple[Part, ...]:
    parts: st.SearchStrategy[Part] = st.builds(TextPart, texts())
    if images:
        parts |= st.builds(ImagePart, _sources(), st.none() | st.sampled_from(["low", "high", "auto"]))
    return tuple(draw(st.lists(parts, min_size=1, max_size=3)))


@cache
def _sources() -> st.SearchStrategy[UrlSource | DataSource]:
    return st.builds(UrlSource, _urls) | st.builds(DataSource, st.sampled_from(["image/png", "image/jpeg"]), _data)


@st.composite
def _turns(draw: st.DrawFn, tools: tuple[Tool, ...], turn: int, *, reasoning: bool) -> list[Message]:
    """What the assistant answers, and the results of the tools that it calls."""
    parts: list[Part] = list(draw(st.lists(_thoughts(), max_size=2))) if reasoning else []
    parts += draw(st.lists(st.builds(TextPart, texts()), max_size=1))
    names = draw(st.lists(st.sampled_from([tool.name for tool in tools]), max_size=3)) if tools else []
    calls = [
        ToolCallPart(f"call_{turn}_{n}", name, draw(json_objects().map(json.dumps))) for n, name in enumerate(names)
    ]
    if not parts and not calls:
        return []
    answers = [Message(Role.TOOL, (ToolResultPart(call.id, (TextPart(draw(texts())),)),)) for call in calls]
    return [Message(Role.ASSISTANT, (*parts, *calls)), *answers]


@cache
@st.composite
def _thoughts(draw: st.DrawFn) -> ReasoningPart:
    """Signed, all of them: two unsigned thoughts in a row are one."""
    origin = draw(st.sampled_from(ORIGINS))
    if draw(st.booleans()):
        return ReasoningPart(draw(texts()), signature=draw(_data), origin=origin)
    return ReasoningPart(data=draw(_data), origin=origin)


def _choices(tools: tuple[Tool, ...]) -> st.SearchStrategy[ToolChoice]:
    names = st.sampled_from([tool.name for tool in tools])
    free = st.sampled_from([ToolMode.AUTO, ToolMode.REQUIRED, ToolMode.NONE])
    return (
        st.builds(ToolChoice, free)
        | st.builds(ToolChoice, st.just(ToolMode.NAMED), names)
        | st.builds(
            ToolChoice,
            st.sampled_from([ToolMode.AUTO, ToolMode.REQUIRED]),
            allowed=st.lists(names, min_size=1, max_size=2, unique=True).map(tuple),
        )
    )


@cache
def _formats() -> st.SearchStrategy[JsonFormat | SchemaFormat]:
    strict = st.none() | st.booleans()
    return st.just(JsonFormat()) | st.builds(SchemaFormat, st.sampled_from(SCHEMAS).map(Raw), _names, st.none(), strict)


@cache
def _samplings() -> st.SearchStrategy[Sampling]:
    return st.builds(
        Sampling,
        temperature=st.none() | st.floats(0, 1),
        top_p=st.none() | st.floats(0.01, 1),
        seed=st.none() | st.integers(0, 2**31),
        stop=st.lists(texts(), max_size=2).map(tuple),
        max_tokens=st.none() | st.integers(1, 4096),
    )


# -- replies -----------------------------------------------------------------------------------------------------


@st.composite
def chat_replies(draw: st.DrawFn) -> ChatReply:
    parts: list[ReplyPart] = draw(st.lists(_thoughts_said(), max_size=2)) or draw(
        st.lists(st.builds(ReasoningSaid, texts()), max_size=1)
    )
    notes = st.lists(_annotations(), max_size=2).map(tuple)
    text = st.builds(TextSaid, texts(), notes) | st.builds(RefusalSaid, texts())
    parts += draw(st.lists(text, max_size=1))
    count = draw(st.integers(0, 3))
    parts += [CallSaid(f"call_{n}", draw(_names), draw(json_objects().map(json.dumps))) for n in range(count)]
    ends = [FinishReason.TOOL_CALLS] if count else [FinishReason.STOP, FinishReason.CONTENT_FILTER]
    reason = draw(st.sampled_from([*ends, FinishReason.LENGTH]))
    return ChatReply(tuple(parts), Finished(reason, reason.value), draw(st.none() | _usages()), model="model-y")


@cache
@st.composite
def _thoughts_said(draw: st.DrawFn) -> ReasoningSaid:
    part = draw(_thoughts())
    return ReasoningSaid(part.text, part.signature, part.data, part.origin)


@cache
def _annotations() -> st.SearchStrategy[Annotation]:
    offsets = st.integers(0, 1000)
    return st.builds(Annotation, _urls, texts(min_size=0), offsets, offsets, texts(min_size=0))


@cache
@st.composite
def _usages(draw: st.DrawFn) -> Usage:
    prompt, completion = draw(st.integers(1, 10**6)), draw(st.integers(1, 10**6))
    return Usage(prompt, completion, draw(st.integers(0, prompt)), draw(st.integers(0, completion)))


# -- bodies ------------------------------------------------------------------------------------------------------


@st.composite
def openai_bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A body as a client may write it: content as a string or parts, older names, nulls, fields nobody knows."""
    names = draw(st.lists(_names, max_size=2, unique=True))
    messages = [{"role": draw(st.sampled_from(["system", "developer", "user"])), "content": draw(_contents())}]
    for turn in range(draw(st.integers(0, 2))):
        messages += draw(_exchanges(names, turn))
        messages.append({"role": "user", "content": draw(_contents())})
    body: dict[str, Any] = {"model": "model-x", "messages": messages}
    if names:
        body["tools"] = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in names]
        body |= draw(_optional("tool_choice", st.sampled_from(["auto", "none", "required"])))
    body |= draw(_optional("stop", texts() | st.lists(texts(), min_size=1, max_size=2)))
    body |= draw(_optional("temperature", st.floats(0, 2) | st.integers(0, 2)))
    body |= draw(_optional("response_format", st.sampled_from([{"type": "text"}, {"type": "json_object"}])))
    body |= draw(_optional("reasoning_effort", st.sampled_from([effort.value for effort in Effort])))
    body |= draw(_optional("x_unknown", _json_values))
    return body


def _optional(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The field, the field as null, or nothing."""
    return st.just({}) | st.fixed_dictionaries({name: st.none() | values})


@cache
def _contents() -> st.SearchStrategy[Any]:
    text = st.fixed_dictionaries({"type": st.just("text"), "text": texts()})
    data = st.builds("data:image/png;base64,{}".format, _data)
    image = st.fixed_dictionaries(
        {"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": _urls | data})}
    )
    return texts() | st.lists(text | image, min_size=1, max_size=3)


@st.composite
def _exchanges(draw: st.DrawFn, names: list[str], turn: int) -> list[dict[str, Any]]:
    """An answer with calls and their results, or plain text."""
    called = draw(st.lists(st.sampled_from(names), max_size=2)) if names else []
    if not called:
        return [{"role": "assistant", "content": draw(texts())}]
    calls = []
    for n, name in enumerate(called):
        function = {"name": name, "arguments": draw(json_objects().map(json.dumps))}
        calls.append({"id": f"call_{turn}_{n}", "function": function} | draw(_optional("type", st.just("function"))))
    said = {"role": "assistant", "tool_calls": calls} | draw(_optional("content", texts()))
    results = [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts())} for call in calls]
    return [said, *results]
