"""docs/dialects.md, made from the dialects themselves: what is sent, told, left out or refused, by trying it.

    python tests/matrix/dialect_table.py --write

A request with one feature is encoded beside the same request without it.  The bodies differ: the feature is *sent*.
They do not: it is *left out*.  InvalidRequest: it is *refused*.  The same is done with events and the clients' streams.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.anthropic import AnthropicDownstream
from hoosh.dialects.contract import DownstreamDialect, Stamp, UpstreamDialect
from hoosh.dialects.ollama import OllamaDownstream
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.registry import upstream_dialect
from hoosh.dialects.responses import ResponsesDownstream, ResponseStore
from hoosh.errors import InvalidRequest
from hoosh.values import (
    Annotation,
    AudioPart,
    CacheMark,
    Call,
    CallKind,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingRequest,
    FilePart,
    FileSource,
    Finished,
    FinishReason,
    ImagePart,
    JsonFormat,
    MediaOutput,
    Message,
    OpaqueOutput,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningPart,
    ReasoningSealed,
    RefusalDelta,
    ReplyEvent,
    ReplyStarted,
    Role,
    SchemaFormat,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
    Usage,
    UsageReported,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "dialects.md"

UPSTREAMS = {
    "OpenAI": ("openai", "gpt-5"),
    "Mistral": ("mistral", "mistral-large-latest"),
    "DeepSeek": ("deepseek", "deepseek-chat"),
    "Anthropic": ("anthropic", "claude-sonnet-4-5"),
    "Gemini": ("google", "gemini-2.5-flash"),
    "Ollama": ("ollama", "qwen3"),
    "Synapse": ("synapse", "any"),
}
"""Heading: provider type, a model of its."""
CLIENTS: dict[str, DownstreamDialect] = {
    "OpenAI chat": OpenAIDownstream(),
    "Responses": ResponsesDownstream(ResponseStore()).for_caller("table"),
    "Messages": AnthropicDownstream(),
    "Ollama": OllamaDownstream(),
}

# -- requests ----------------------------------------------------------------------------------------------------

SCHEMA = Raw(
    b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'
)
PNG = DataSource("image/png", "iVBORw0KGgo=")
PDF = DataSource("application/pdf", "JVBERi0xLjQ=")
HELLO = Message(Role.USER, (TextPart("Salam"),))
BASE = ChatRequest("m", (HELLO,))
WITH_TOOL = replace(BASE, tools=(Tool("weather", "The weather.", SCHEMA), Tool("time")))
CALLED = (HELLO, Message(Role.ASSISTANT, (ToolCallPart("call_1", "weather", '{"city":"Rasht"}'),)))

Pair = tuple[ChatRequest, ChatRequest]
"""A request without the feature, and one with it."""


def said(*parts: Part) -> ChatRequest:
    return replace(BASE, messages=(Message(Role.USER, (TextPart("Salam"), *parts)),))


def set_to(**sampling: object) -> Pair:
    return BASE, replace(BASE, sampling=replace(BASE.sampling, **sampling))


def answered(result: ToolResultPart, *, call: ToolCallPart | None = None) -> ChatRequest:
    called = Message(Role.ASSISTANT, (call or ToolCallPart("call_1", "weather", '{"city":"Rasht"}'),))
    return replace(WITH_TOOL, messages=(HELLO, called, Message(Role.TOOL, (result,))))


def thought(part: ReasoningPart) -> Pair:
    def turn(*parts: Part) -> ChatRequest:
        call = ToolCallPart("call_1", "weather", '{"city":"Rasht"}')
        result = Message(Role.TOOL, (ToolResultPart("call_1", (TextPart("21"),)),))
        return replace(WITH_TOOL, messages=(HELLO, Message(Role.ASSISTANT, (*parts, call)), result))

    return turn(), turn(part)


RESULT = ToolResultPart("call_1", (TextPart("21"),))
REQUEST_FEATURES: dict[str, Pair] = {
    "streaming": (BASE, replace(BASE, stream=True)),
    "system message": (BASE, replace(BASE, messages=(Message(Role.SYSTEM, (TextPart("Be brief."),)), HELLO))),
    "developer message": (BASE, replace(BASE, messages=(Message(Role.DEVELOPER, (TextPart("Be brief."),)), HELLO))),
    "trailing assistant message (prefill)": (
        BASE,
        replace(BASE, messages=(HELLO, Message(Role.ASSISTANT, (TextPart("Sal"),)))),
    ),
    "image, data": (BASE, said(ImagePart(PNG))),
    "image, URL": (BASE, said(ImagePart(UrlSource("https://example.com/a.png")))),
    "image detail": (said(ImagePart(PNG)), said(ImagePart(PNG, detail="high"))),
    "audio in": (BASE, said(AudioPart("UklGRg==", "wav"))),
    "document, data": (BASE, said(FilePart(PDF, "a.pdf"))),
    "file kept at a provider": (BASE, said(FilePart(FileSource("file-1")))),
    "prompt cache mark": (BASE, replace(BASE, messages=(Message(Role.USER, (TextPart("Salam", CacheMark()),)),))),
    "tools": (BASE, WITH_TOOL),
    "strict tool schema": (
        WITH_TOOL,
        replace(WITH_TOOL, tools=(replace(WITH_TOOL.tools[0], strict=True), WITH_TOOL.tools[1])),
    ),
    "tool_choice required": (WITH_TOOL, replace(WITH_TOOL, tool_choice=ToolChoice(ToolMode.REQUIRED))),
    "tool_choice named": (WITH_TOOL, replace(WITH_TOOL, tool_choice=ToolChoice(ToolMode.NAMED, "weather"))),
    "tool_choice none": (WITH_TOOL, replace(WITH_TOOL, tool_choice=ToolChoice(ToolMode.NONE))),
    "allowed tools": (
        WITH_TOOL,
        replace(WITH_TOOL, tool_choice=ToolChoice(ToolMode.AUTO, allowed=("weather",))),
    ),
    "parallel_tool_calls off": (WITH_TOOL, replace(WITH_TOOL, parallel_tool_calls=False)),
    "tool call and result": (WITH_TOOL, answered(RESULT)),
    "tool result, error": (answered(RESULT), answered(replace(RESULT, is_error=True))),
    "tool result, image": (answered(RESULT), answered(replace(RESULT, parts=(TextPart("21"), ImagePart(PNG))))),
    "Gemini's signature on a call": (
        answered(RESULT),
        answered(RESULT, call=ToolCallPart("call_1", "weather", '{"city":"Rasht"}', "c2ln")),
    ),
    "JSON object": (BASE, replace(BASE, reply_format=JsonFormat())),
    "JSON schema": (BASE, replace(BASE, reply_format=SchemaFormat(SCHEMA, "city", strict=True))),
    "reasoning effort": (BASE, replace(BASE, reasoning=Reasoning(effort=Effort.HIGH))),
    "reasoning off": (BASE, replace(BASE, reasoning=Reasoning(effort=Effort.NONE))),
    "reasoning budget": (BASE, replace(BASE, reasoning=Reasoning(budget_tokens=2048))),
    "earlier reasoning, plain": thought(ReasoningPart("Hm.")),
    "earlier reasoning, signed by Anthropic": thought(ReasoningPart("Hm.", "c2ln", origin="anthropic")),
    "earlier reasoning, signed by Gemini": thought(ReasoningPart("", "c2ln", origin="gemini")),
    "max_tokens": set_to(max_tokens=64),
    "temperature": set_to(temperature=0.5),
    "top_p": set_to(top_p=0.9),
    "top_k": set_to(top_k=40),
    "min_p": set_to(min_p=0.1),
    "seed": set_to(seed=7),
    "stop": set_to(stop=("END",)),
    "presence_penalty": set_to(presence_penalty=0.5),
    "frequency_penalty": set_to(frequency_penalty=0.5),
    "n > 1": set_to(n=2),
    "logprobs": set_to(logprobs=True, top_logprobs=2),
    "user": (BASE, replace(BASE, user="reza")),
}

FETCHED = "fetched"


def how_asked(dialect: UpstreamDialect, model: str, feature: str) -> str:
    """`sent`, `left out`, `refused`, or `fetched` (the gateway puts the bytes in place of the URL)."""
    without, with_it = REQUEST_FEATURES[feature]
    if feature == "image, URL" and not dialect.fetches_media:
        return FETCHED
    try:
        plain = dialect.encode_chat(without, model=model)
    except InvalidRequest:
        return "refused"
    try:
        outgoing = dialect.encode_chat(with_it, model=model)
    except InvalidRequest:
        return "refused"
    return "left out" if (outgoing.path, outgoing.body) == (plain.path, plain.body) else "sent"


def how_embedded(dialect: UpstreamDialect, request: EmbeddingRequest) -> str:
    try:
        dialect.encode_embeddings(request, model="m")
    except InvalidRequest:
        return "refused"
    return "sent"


EMBEDDINGS = {
    "embeddings, one text": EmbeddingRequest("m", ("one",)),
    "embeddings, several texts": EmbeddingRequest("m", ("one", "two")),
    "embeddings, token lists": EmbeddingRequest("m", ((1, 2),)),
}

# -- replies -----------------------------------------------------------------------------------------------------

START, TEXT, END = ReplyStarted("1", "m"), TextDelta("Salam"), Finished(FinishReason.STOP)
CALL = (ToolCallStarted(0, "call_1", "weather"), ToolCallDelta(0, '{"city":"Rasht"}'))
REPLY_FEATURES: dict[str, tuple[list[ReplyEvent], list[ReplyEvent]]] = {
    "text": ([START, END], [START, TEXT, END]),
    "reasoning": ([START, TEXT, END], [START, ReasoningDelta("Hm."), TEXT, END]),
    "reasoning, signature": (
        [START, ReasoningDelta("Hm."), TEXT, END],
        [START, ReasoningDelta("Hm."), ReasoningSealed("anthropic", "c2ln"), TEXT, END],
    ),
    "reasoning, encrypted": (
        [START, TEXT, END],
        [START, ReasoningSealed("anthropic", data="c2ln"), TEXT, END],
    ),
    "tool call": ([START, END], [START, *CALL, Finished(FinishReason.TOOL_CALLS)]),
    "tool call, Gemini's signature": (
        [START, *CALL, Finished(FinishReason.TOOL_CALLS)],
        [START, ToolCallStarted(0, "call_1", "weather", "c2ln"), CALL[1], Finished(FinishReason.TOOL_CALLS)],
    ),
    "refusal": ([START, END], [START, RefusalDelta("No."), END]),
    "citation": ([START, TEXT, END], [START, TEXT, Annotation("https://example.com", "A page", 0, 5), END]),
    "image made": ([START, TEXT, END], [START, TEXT, MediaOutput("image/png", "iVBORw0KGgo="), END]),
    "block of another dialect": (
        [START, TEXT, END],
        [START, TEXT, OpaqueOutput("elsewhere", "thing", Raw(b"{}")), END],
    ),
    "finish: length": ([START, TEXT, END], [START, TEXT, Finished(FinishReason.LENGTH)]),
    "finish: content filter": ([START, TEXT, END], [START, TEXT, Finished(FinishReason.CONTENT_FILTER)]),
    "finish: which stop sequence": ([START, TEXT, END], [START, TEXT, Finished(FinishReason.STOP, "", "END")]),
    "usage": ([START, TEXT, END], [START, TEXT, END, UsageReported(Usage(9, 4))]),
    "usage: cached": (
        [START, TEXT, END, UsageReported(Usage(9, 4))],
        [START, TEXT, END, UsageReported(Usage(9, 4, cached_tokens=3))],
    ),
    "usage: reasoning": (
        [START, TEXT, END, UsageReported(Usage(9, 4))],
        [START, TEXT, END, UsageReported(Usage(9, 4, reasoning_tokens=2))],
    ),
}


def how_told(dialect: DownstreamDialect, feature: str) -> str:
    def stream(events: Iterable[ReplyEvent]) -> bytes:
        call = Call(CallKind.CHAT, "m", {}, stream=True, include_usage=True, language=dialect.name)
        encoder = dialect.chat_encoder(call, Stamp("1", "m", 0))
        return encoder.encode(tuple(events)) + encoder.finish()

    without, with_it = REPLY_FEATURES[feature]
    return "left out" if stream(without) == stream(with_it) else "told"


# -- the document ------------------------------------------------------------------------------------------------

INTRO = """\
# Who can say what to whom

Made by `python tests/matrix/dialect_table.py --write`, which tries it; a test keeps it true.

Where client and upstream speak the same language, the client's own bytes go through and nothing of this applies.

## What is asked of an upstream of another language

*sent*: in the upstream's own words. *left out*: there is no such thing there, and the answer's meaning does not hang
on it. *refused*: 400 with the field's name, before any upstream is asked. *fetched*: the gateway gets the bytes (from
public addresses only) and sends them in place of the URL.

"""
REPLIES = """
## What a client is told of an upstream's answer

"""


def document() -> str:
    dialects = {heading: (upstream_dialect(kind), model) for heading, (kind, model) in UPSTREAMS.items()}
    asked = {feature: [how_asked(*one, feature) for one in dialects.values()] for feature in REQUEST_FEATURES}
    asked |= {
        name: [how_embedded(one, request) for one, _ in dialects.values()] for name, request in EMBEDDINGS.items()
    }
    told = {feature: [how_told(client, feature) for client in CLIENTS.values()] for feature in REPLY_FEATURES}
    models = "\n".join(
        f"* {heading}: type `{kind}`, tried with `{model}`" for heading, (kind, model) in UPSTREAMS.items()
    )
    return f"{INTRO}{models}\n\n{_table(dialects, asked)}{REPLIES}{_table(CLIENTS, told)}"


def _table(headings: Iterable[str], rows: dict[str, list[str]]) -> str:
    head = ["", *headings]
    lines = [head, ["---"] * len(head), *([name, *cells] for name, cells in rows.items())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    make: Callable[[], str] = document
    if "--write" in sys.argv:
        DOCUMENT.write_text(make())
    else:
        print(make())
