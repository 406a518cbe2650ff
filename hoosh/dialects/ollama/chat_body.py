"""A ChatRequest as the body of `POST /api/chat`.

    messages    text is one string; images are bare base64 beside it; thoughts go back as `thinking`, whoever had them;
                a tool's result is a message of its own, with the tool's name
    sampling    in `options`, and only what the client has set: the model's own defaults are its author's choice
    reasoning   `think`: a level where the client named one, else a switch, else nothing

Refused, because Ollama would answer something else than was asked: `tool_choice` required or by name (it ignores
both), `n` above 1, log probabilities, audio, files, and images by URL.  `tool_choice: none` sends no tools.

A message holds texts and images apart, so their order is kept by beginning a new message where they take turns.
Ollama shows a model the images of a message before its text, whichever came first.

Source: wire notes 2.9; Ollama's API documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hoosh.dialects.contract import Outgoing
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.ollama.wire import CHAT_PATH, NO_OPTIONS, ModelOptions, OllamaExtension
from hoosh.errors import InvalidRequest
from hoosh.values import (
    ChatRequest,
    DataSource,
    Effort,
    ImagePart,
    JsonFormat,
    Message,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Role,
    SchemaFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolMode,
    ToolResultPart,
)

__all__ = ["encode_chat"]


class OutFunction(Struct):
    index: int
    name: str
    arguments: Raw


class OutCall(Struct):
    id: str
    function: OutFunction


class OutMessage(Struct, omit_defaults=True):
    role: str
    content: str
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[OutCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class OutDefinition(Struct, omit_defaults=True):
    name: str
    parameters: Raw
    description: str | None = None


class OutTool(Struct):
    function: OutDefinition
    type: str = "function"


class OutBody(Struct, omit_defaults=True):
    model: str
    messages: list[OutMessage]
    stream: bool
    tools: list[OutTool] | None = None
    format: Raw | str | None = None
    think: bool | str | None = None
    options: ModelOptions | None = None
    keep_alive: int | float | str | None = None
    truncate: bool | None = None
    shift: bool | None = None


NO_EXTENSION = OllamaExtension()
NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')

LEVELS: dict[Effort, bool | str] = {
    Effort.NONE: False,
    Effort.MINIMAL: "low",
    Effort.LOW: "low",
    Effort.MEDIUM: "medium",
    Effort.HIGH: "high",
    Effort.XHIGH: "high",
    Effort.MAX: "max",
}

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def encode_chat(request: ChatRequest, *, model: str) -> Outgoing:
    """Raises InvalidRequest."""
    _refuse_the_impossible(request)
    extension = next((one for one in request.extensions if isinstance(one, OllamaExtension)), NO_EXTENSION)
    if extension.only_here:
        raise _unsupported(f"`{extension.only_here[0]}` in a chat", extension.only_here[0])
    options = _options(request, extension.options)
    body = OutBody(
        model,
        _messages(request.messages),
        request.stream,
        _tools(request) or None,
        _format(request),
        None if request.reasoning is None else _think(request.reasoning),
        None if options == NO_OPTIONS else options,
        extension.keep_alive,
        extension.truncate,
        extension.shift,
    )
    return Outgoing(CHAT_PATH, msgspec.json.encode(body))


def _refuse_the_impossible(request: ChatRequest) -> None:
    sampling, choice = request.sampling, request.tool_choice
    if sampling.n > 1:
        raise _unsupported("more than one reply at a time", "n")
    if sampling.logprobs or sampling.top_logprobs:
        raise _unsupported("log probabilities through this gateway", "logprobs")
    if choice is not None and choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED):
        raise _unsupported("a tool choice that forces a call: it can only be `auto` or `none`", "tool_choice")


def _unsupported(what: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"Ollama does not support {what}.", param=param, code="unsupported_parameter")


def _options(request: ChatRequest, own: ModelOptions) -> ModelOptions:
    sampling = request.sampling
    return replace(
        own,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        seed=sampling.seed,
        stop=tuple(text for text in sampling.stop if text) or None,  # "" would stop before the first word
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        num_predict=own.num_predict if sampling.max_tokens is None else sampling.max_tokens,
    )


def _format(request: ChatRequest) -> Raw | str | None:
    match request.reply_format:
        case JsonFormat():
            return "json"
        case SchemaFormat() as told:
            return told.schema
        case None:
            return None


def _think(reasoning: Reasoning) -> bool | str | None:
    if reasoning.enabled is False:
        return False
    if reasoning.effort is not None:
        return LEVELS[reasoning.effort]
    if reasoning.budget_tokens is not None:
        return reasoning.budget_tokens != 0
    return reasoning.enabled


def _tools(request: ChatRequest) -> list[OutTool]:
    choice = request.tool_choice
    if choice is not None and choice.mode is ToolMode.NONE:
        return []
    allowed = () if choice is None else choice.allowed
    return [_tool(tool) for tool in request.tools if not allowed or tool.name in allowed]


def _tool(tool: Tool) -> OutTool:
    return OutTool(OutDefinition(tool.name, tool.parameters or NO_PARAMETERS, tool.description))


# -- messages ----------------------------------------------------------------------------------------------------


def _messages(messages: Iterable[Message]) -> list[OutMessage]:
    names: dict[str, str] = {}  # of the tools, by call
    out: list[OutMessage] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                names[part.id] = part.name
        if message.role is Role.ASSISTANT:
            out.append(_assistant(message.parts))
        else:
            out.extend(_spoken(message, names))
    return out


def _spoken(message: Message, names: dict[str, str]) -> Iterator[OutMessage]:
    """What system, user and tools say."""
    results = [part for part in message.parts if isinstance(part, ToolResultPart)]
    yield from (_result(part, names) for part in results)
    others = [part for part in message.parts if not isinstance(part, ToolResultPart)]
    if others or not results:
        role = "system" if message.role is Role.DEVELOPER else message.role.value
        yield from (_turn(role, parts) for parts in _turns(others))


def _turns(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Texts and images in turns: (text, image), (text, image), …, or the other way round."""
    first_is_image = bool(parts) and isinstance(parts[0], ImagePart)
    turn: list[Part] = []
    for part in parts:
        begins = isinstance(part, ImagePart) is first_is_image
        if turn and begins and isinstance(turn[-1], ImagePart) is not first_is_image:
            yield turn
            turn = []
        turn.append(part)
    yield turn


def _turn(role: str, parts: Iterable[Part]) -> OutMessage:
    texts, images = _texts_and_images(parts)
    return OutMessage(role, "\n\n".join(texts), images=images or None)


def _texts_and_images(parts: Iterable[Part]) -> tuple[list[str], list[str]]:
    texts, images = [], []
    for part in parts:
        if isinstance(part, TextPart | RefusalPart):
            texts.append(part.text)
        elif isinstance(part, ImagePart):
            images.append(_image(part))
        else:
            raise _unsupported(f"message content of type `{part.__struct_config__.tag}`", "messages")
    return texts, images


def _image(part: ImagePart) -> str:
    if not isinstance(part.source, DataSource):
        raise _unsupported("images by URL or file id: they must come as data", "messages")
    return part.source.base64


def _result(part: ToolResultPart, names: dict[str, str]) -> OutMessage:
    texts, images = _texts_and_images(part.parts)
    name = part.name or names.get(part.call_id)
    return OutMessage(
        "tool", "\n\n".join(texts), images=images or None, tool_name=name, tool_call_id=part.call_id or None
    )


def _assistant(parts: Iterable[Part]) -> OutMessage:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[OutCall] = []
    images: list[str] = []
    for part in parts:
        match part:
            case TextPart() | RefusalPart():
                texts.append(part.text)
            case ReasoningPart():
                thoughts.append(part.text)
            case ToolCallPart():
                calls.append(OutCall(part.id, OutFunction(len(calls), part.name, _arguments(part))))
            case ImagePart():
                images.append(_image(part))
            case _:
                raise _unsupported(f"assistant content of type `{part.__struct_config__.tag}`", "messages")
    thinking = "".join(thoughts)
    return OutMessage("assistant", "".join(texts), thinking or None, images or None, calls or None)


def _arguments(call: ToolCallPart) -> Raw:
    text = call.arguments.strip()
    raw = b"{}" if text in ("", "null") else text.encode()
    try:
        _decode_object(raw)
    except UNREADABLE as error:
        message = f"The arguments of tool call `{call.id}` are not a JSON object, as Ollama wants them."
        raise InvalidRequest(message, param="messages", code="invalid_value") from error
    return Raw(raw)
