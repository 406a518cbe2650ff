"""Questions to a model: chats, completions, embeddings.  What the gateway adds to OpenAI's API is an argument here.

Arguments of every question in this module:

    pool, provider, models       who pays; who is asked directly; models that stand in, in their order
    priority, cache, privacy     headers of the gateway: `low`; `no-store`; `local`
    max_price_usd                of a million tokens of reply
    timeout_s                    of everything together; the gateway is told it, too

Source: product section 4; OpenAI's API reference; docs/client.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

import msgspec

from hoosh.client.inference import (
    Embeddings,
    InferenceRequest,
    InferenceResponse,
    Message,
    ToolChoice,
    ToolDefinition,
    ToolResult,
    choice_json,
    message_json,
    tool_json,
)
from hoosh.client.question import Question, as_json
from hoosh.client.replies import read_chat, read_completion, read_embeddings, read_nothing
from hoosh.values.caller import Priority

__all__ = [
    "ChatOptions",
    "Conversation",
    "EmbedOptions",
    "TextOptions",
    "Wishes",
    "chat",
    "complete",
    "embed",
    "infer",
    "infer_stream",
    "stream",
    "stream_complete",
    "take_wishes",
]

Conversation = str | Sequence[Message | ToolResult | Mapping[str, Any]]
"""A text is what the user says."""


class Wishes(TypedDict, total=False):
    """Of the gateway."""

    pool: str
    provider: str
    models: Sequence[str]
    priority: Priority
    cache: str
    privacy: Literal["local", "any"]
    max_price_usd: float
    timeout_s: float


class TextOptions(Wishes, total=False):
    max_tokens: int
    temperature: float
    top_p: float
    stop: str | Sequence[str]
    seed: int
    extra: Mapping[str, Any]
    """Any other field of the body, as the API has it."""


class ChatOptions(TextOptions, total=False):
    system: str
    tools: Sequence[ToolDefinition | Mapping[str, Any]]
    tool_choice: ToolChoice | str | Mapping[str, Any]
    response_format: Mapping[str, Any]


class EmbedOptions(Wishes, total=False):
    dimensions: int
    extra: Mapping[str, Any]


def chat(messages: Conversation, *, model: str, **options: Unpack[ChatOptions]) -> Question[InferenceResponse]:
    """Ask a model, and wait for the whole answer."""
    return _question("/v1/chat/completions", _chat_body(messages, model, options), options, read_chat)


def stream(messages: Conversation, *, model: str, **options: Unpack[ChatOptions]) -> Question[None]:
    """Ask a model, and have the answer as it comes: `async with client.stream(…) as stream`."""
    body = {**_chat_body(messages, model, options), **STREAMED}
    return _question("/v1/chat/completions", body, options, read_nothing)


def complete(prompt: str, *, model: str, **options: Unpack[TextOptions]) -> Question[InferenceResponse]:
    """Let a model go on with a text (`/v1/completions`)."""
    _know(options, TextOptions)
    return _question("/v1/completions", _body(model, options, prompt=prompt), options, read_completion)


def stream_complete(prompt: str, *, model: str, **options: Unpack[TextOptions]) -> Question[None]:
    """The same, as it comes."""
    _know(options, TextOptions)
    return _question("/v1/completions", _body(model, options, prompt=prompt, **STREAMED), options, read_nothing)


def embed(input: str | Sequence[str], *, model: str, **options: Unpack[EmbedOptions]) -> Question[Embeddings]:
    """The vectors of texts, in their order."""
    _know(options, EmbedOptions)
    # Text, not base64: OpenAI's default, and each server's.
    return _question("/v1/embeddings", _body(model, options, input=input), options, read_embeddings)


def infer(request: InferenceRequest, **wishes: Unpack[Wishes]) -> Question[InferenceResponse]:
    """`chat`, with the question as one value."""
    _know(wishes, Wishes)
    return chat(_conversation(request), model=request.model, **_options(request), **wishes)


def infer_stream(request: InferenceRequest, **wishes: Unpack[Wishes]) -> Question[None]:
    """`stream`, with the question as one value."""
    _know(wishes, Wishes)
    return stream(_conversation(request), model=request.model, **_options(request), **wishes)


# -- how it is written -------------------------------------------------------------------------------------------

STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
IN_THE_BODY = ("pool", "provider", "models")
IN_HEADERS = {
    "priority": "x-hoosh-priority",
    "cache": "x-hoosh-cache",
    "privacy": "x-hoosh-privacy",
    "max_price_usd": "x-hoosh-max-price",
}
NOT_OF_THE_BODY = {*IN_HEADERS, "timeout_s", "extra", "system"}


def take_wishes(options: Mapping[str, Any]) -> dict[str, str]:
    """The headers that `options` ask for.  Raises ValueError for what no header can hold."""
    headers: dict[str, str] = {}
    for name, header in IN_HEADERS.items():
        value = options.get(name)
        if value is not None:
            text = f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, int | float) else str(value)
            if not (text.isascii() and text.isprintable()):
                raise ValueError(f"{name} cannot hold {text[:80]!r}")
            headers[header] = text
    return headers


def _question(path: str, body: Mapping[str, Any], options: Mapping[str, Any], read: Any) -> Question[Any]:
    return Question(
        method="POST",
        path=path,
        read=read,
        repeat="asking",
        body=as_json(body),
        headers=take_wishes(options),
        timeout_s=options.get("timeout_s"),
    )


def _chat_body(messages: Conversation, model: str, options: ChatOptions) -> dict[str, Any]:
    _know(options, ChatOptions)
    said = [Message("user", messages)] if isinstance(messages, str) else list(messages)
    system = options.get("system")
    if system is not None:
        said.insert(0, Message("system", system))
    body = _body(model, options, messages=[message_json(message) for message in said])
    if "tools" in body:
        body["tools"] = [tool_json(tool) for tool in body["tools"]]
    if "tool_choice" in body:
        body["tool_choice"] = choice_json(body["tool_choice"])
    return body


def _body(model: str, options: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """What is None is not said; `extra` has the last word."""
    told = {name: value for name, value in options.items() if name not in NOT_OF_THE_BODY and value is not None}
    return {"model": model, **fields, **told, **(options.get("extra") or {})}


def _know(options: Mapping[str, Any], known: Any) -> None:
    """`**options` would take every name, and a misspelt wish would be none.  Raises TypeError."""
    unknown = options.keys() - known.__optional_keys__
    if unknown:
        raise TypeError(f"unknown argument {min(unknown)!r}; other fields of the body go into `extra`")


def _conversation(request: InferenceRequest) -> Conversation:
    if request.messages:
        return request.messages
    return [*([Message("system", request.system)] if request.system else []), Message("user", request.prompt)]


def _options(request: InferenceRequest) -> dict[str, Any]:
    options = msgspec.structs.asdict(request)
    for name in ("model", "prompt", "system", "messages"):
        del options[name]
    return {name: value for name, value in options.items() if value is not None and value != ()}
