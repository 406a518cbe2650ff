"""A call in Ollama's language as a ChatRequest.

    messages            /api/chat: as they are; images are bare base64, their kind is seen from their first bytes
    system, prompt      /api/generate: a system message, and a user's with the images
    options             into Sampling what others know too, the rest into the OllamaExtension
    think               a switch or a level; who switches it on wants to see the thoughts

Ids.  Older clients send none with calls and results.  A call without one is numbered, and a result without one answers
the first call still open of its tool's name, else the first still open at all: Ollama's clients send them in order.
A signature that we have put into an id is taken out again.

`suffix`, `template`, `raw` and `context` of `/api/generate` shape the prompt by hand: they are demands that only an
Ollama upstream can meet.  `truncate` and `shift` matter to nobody else.
"""

from __future__ import annotations

import binascii
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hoosh.dialects.bodies import raw_of
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.ollama.wire import NO_OPTIONS, ModelOptions, OllamaExtension
from hoosh.dialects.signatures import read_id
from hoosh.dialects.sniffing import media_type_of
from hoosh.errors import InvalidRequest
from hoosh.values import (
    Call,
    CallKind,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingRequest,
    ImagePart,
    JsonFormat,
    Message,
    Part,
    Reasoning,
    ReasoningPart,
    Role,
    Sampling,
    SchemaFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["chat_request", "embedding_request"]


NULL = Raw(b"null")  # msgspec has no `Raw | None`


class InFunction(Struct):
    name: str
    arguments: Raw = Raw(b"{}")


class InCall(Struct):
    function: InFunction
    id: str | None = None


class InMessage(Struct):
    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[InCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    name: str | None = None


class InDefinition(Struct):
    name: str
    description: str | None = None
    parameters: Raw = NULL


class InTool(Struct):
    function: InDefinition


class InChat(Struct):
    """The fields of both routes, but the model."""

    messages: list[InMessage] | None = None
    tools: list[InTool] | None = None
    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None
    format: Raw = NULL
    think: bool | str | None = None
    options: ModelOptions | None = None
    keep_alive: int | float | str | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class InEmbed(Struct):
    input: str | list[str] | None = None
    prompt: str | None = None
    dimensions: int | None = None


ROLES = {role.value: role for role in Role}
EFFORTS = {effort.value: effort for effort in Effort}
ONLY_HERE = ("suffix", "template", "raw", "context", "width", "height", "steps")
UNSAID = frozenset({b"null", b'""', b"[]", b"false", b"0"})

# Options come as floats where integers are meant, from clients in JavaScript.
_decode_chat = msgspec.json.Decoder(InChat, strict=False).decode
_decode_embed = msgspec.json.Decoder(InEmbed).decode


def chat_request(call: Call) -> ChatRequest:
    """Raises InvalidRequest."""
    asked: InChat = _read(call, _decode_chat)
    is_prompt = call.kind is CallKind.COMPLETION
    messages = _prompt(asked) if is_prompt else _Reading().messages(asked.messages or ())
    options = asked.options or NO_OPTIONS
    return ChatRequest(
        call.model,
        messages,
        call.stream,
        tools=() if is_prompt else tuple(_tool(tool) for tool in asked.tools or ()),
        reply_format=_format(asked.format),
        reasoning=_reasoning(asked.think),
        sampling=_sampling(options, asked, call.max_tokens),
        extensions=_extensions(call, asked, options),
    )


def embedding_request(call: Call) -> EmbeddingRequest:
    """Raises InvalidRequest."""
    asked: InEmbed = _read(call, _decode_embed)
    given = asked.prompt if asked.input is None else asked.input
    inputs = (given,) if isinstance(given, str) else tuple(given or ())
    return EmbeddingRequest(call.model, inputs, asked.dimensions)


def _read(call: Call, decode: Any) -> Any:
    try:
        return decode(msgspec.json.encode(call.fields))
    except UNREADABLE as error:
        where = str(error).rpartition("$.")[2].rstrip("`") if "$." in str(error) else None
        param = where.split(".")[0].split("[")[0] if where else None
        raise InvalidRequest(f"Invalid request: {error}", param=param, code="invalid_type") from error


# -- messages ----------------------------------------------------------------------------------------------------


def _prompt(asked: InChat) -> tuple[Message, ...]:
    """`/api/generate` as a conversation."""
    parts: list[Part] = [TextPart(asked.prompt)] if asked.prompt else []
    parts += [_image(text, "images") for text in asked.images or ()]
    messages = [Message(Role.SYSTEM, (TextPart(asked.system),))] if asked.system else []
    return (*messages, Message(Role.USER, tuple(parts)))


class _Reading:
    """Reads messages in order, and remembers which calls are still open."""

    def __init__(self) -> None:
        self._calls = 0
        self._open: list[ToolCallPart] = []

    def messages(self, told: Any) -> tuple[Message, ...]:
        return tuple(self._message(message) for message in told)

    def _message(self, told: InMessage) -> Message:
        role = ROLES.get(told.role)
        if role is None:
            names = ", ".join(ROLES)
            raise InvalidRequest(
                f"invalid role: {told.role!r}, must be one of [{names}]", param="messages", code="invalid_value"
            )
        if role is Role.TOOL:
            return Message(role, (self._result(told),))
        parts: list[Part] = [ReasoningPart(told.thinking)] if told.thinking else []
        if told.content:
            parts.append(TextPart(told.content))
        parts += [_image(text, "messages") for text in told.images or ()]
        parts += [self._call(call) for call in told.tool_calls or ()]
        return Message(role, tuple(parts))

    def _call(self, told: InCall) -> ToolCallPart:
        self._calls += 1
        call_id, signature = read_id(told.id) if told.id else (f"call_{self._calls}", "")
        part = ToolCallPart(call_id, told.function.name, _arguments(told.function.arguments), signature)
        self._open.append(part)
        return part

    def _result(self, told: InMessage) -> ToolResultPart:
        name = told.tool_name or told.name or ""
        call = self._answered(read_id(told.tool_call_id)[0] if told.tool_call_id else "", name)
        parts: list[TextPart | ImagePart] = [TextPart(told.content or "")]
        parts += [_image(text, "messages") for text in told.images or ()]
        return ToolResultPart(call.id, tuple(parts), name or call.name)

    def _answered(self, call_id: str, name: str) -> ToolCallPart:
        """The call that a result belongs to; one that was never made where there is none."""
        if call_id:
            found = next((call for call in self._open if call.id == call_id), None)
        else:
            found = next((call for call in self._open if call.name == name), None)
            if found is None and not name:
                found = next(iter(self._open), None)
        if found is not None:
            self._open.remove(found)
            return found
        if not call_id:
            self._calls += 1
            call_id = f"call_{self._calls}"
        return ToolCallPart(call_id, name, "{}")


def _arguments(raw: Raw) -> str:
    """JSON text.  A string is JSON text already, as OpenAI's clients write it."""
    text = bytes(raw)
    if text[:1] != b'"':
        return "{}" if text == b"null" else text.decode()
    try:
        return msgspec.json.decode(text, type=str) or "{}"
    except UNREADABLE as error:
        raise InvalidRequest(f"Invalid request: {error}", param="messages", code="invalid_value") from error


def _image(text: str, param: str) -> ImagePart:
    """An image from its bare base64; a `data:` URL is forgiven."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    text = "".join(text.split())
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError as error:  # not ASCII, or not base64
        raise InvalidRequest("illegal base64 data in images", param=param, code="invalid_value") from error
    return ImagePart(DataSource(media_type_of(data), text))


# -- settings ----------------------------------------------------------------------------------------------------


def _tool(told: InTool) -> Tool:
    function = told.function
    parameters = None if function.parameters == NULL else function.parameters
    return Tool(function.name, function.description, parameters)


def _format(raw: Raw) -> JsonFormat | SchemaFormat | None:
    text = bytes(raw)
    if text in (b"null", b'""'):
        return None
    if text == b'"json"':
        return JsonFormat()
    if text[:1] == b"{":
        return SchemaFormat(raw)
    raise InvalidRequest('invalid format: expected "json" or a JSON schema', param="format", code="invalid_value")


def _reasoning(think: bool | str | None) -> Reasoning | None:
    if think is None or think == "":
        return None
    if isinstance(think, bool):
        return Reasoning(enabled=think, summary="auto" if think else None)
    effort = EFFORTS.get(think)
    if effort is None:
        message = f'invalid think value: {think!r} (must be "high", "medium", "low", "max", true, or false)'
        raise InvalidRequest(message, param="think", code="invalid_value")
    thinks = effort is not Effort.NONE
    return Reasoning(effort, enabled=thinks, summary="auto" if thinks else None)


def _sampling(options: ModelOptions, asked: InChat, max_tokens: int | None) -> Sampling:
    stop = options.stop or ()
    return Sampling(
        options.temperature,
        options.top_p,
        options.top_k,
        options.min_p,
        options.seed,
        (stop,) if isinstance(stop, str) else stop,
        options.presence_penalty,
        options.frequency_penalty,
        max_tokens,
        logprobs=bool(asked.logprobs),
        top_logprobs=asked.top_logprobs if asked.logprobs else None,
    )


def _extensions(call: Call, asked: InChat, options: ModelOptions) -> tuple[OllamaExtension, ...]:
    unbounded = options.num_predict if options.num_predict is not None and options.num_predict < 1 else None
    own = replace(
        options,
        temperature=None,
        top_p=None,
        top_k=None,
        min_p=None,
        seed=None,
        stop=None,
        presence_penalty=None,
        frequency_penalty=None,
        num_predict=unbounded,
    )
    fields = dict(call.fields)
    only_here = ONLY_HERE if call.kind is CallKind.COMPLETION else ()
    demands = tuple(name for name in only_here if (raw := raw_of(fields, name)) is not None and raw not in UNSAID)
    extension = OllamaExtension(asked.keep_alive, own, asked.truncate, asked.shift, demands)
    return () if extension == OllamaExtension() else (extension,)
