"""The items of a Responses input as messages.

    message, also without its type     its role's message
    reasoning, function_call           the assistant's, in one message with what it says before and after
    function_call_output               one message of tool results for a run of them

A turn of the assistant is told as several items; a run of them becomes one message, in their order.  A call's id may
hold a signature of another provider (signatures.py); it is taken out here, and out of the result's id too.

Items that only OpenAI's service makes sense of (hosted tool calls, compaction, programs) are refused.
Source: `openai-openapi.trimmed.json`, schemas InputItem and Item.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hoosh.dialects.mistakes import invalid_value, missing
from hoosh.dialects.responses.wire import unseal_thought
from hoosh.dialects.signatures import read_id
from hoosh.dialects.sources import base64_of, document_source, url_source
from hoosh.errors import InvalidRequest
from hoosh.values import (
    AudioPart,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    Role,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["Item", "read_items"]


class Sound(Struct):
    data: str = ""
    format: str = ""


class Content(Struct):
    """One part of a message, of a tool's output or of a thought: which fields it has depends on its type."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    input_audio: Sound | None = None


class Item(Struct):
    """One item of the input: which fields it has depends on its type."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: str | list[Content] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Content] | None = None
    summary: list[Content] | None = None
    encrypted_content: str | None = None


CONTENT = ("input_text", "output_text", "refusal", "input_image", "input_file", "input_audio")
ROLES = {role.value: role for role in (Role.SYSTEM, Role.DEVELOPER, Role.USER, Role.ASSISTANT)}
THOUGHTS_JOINED_BY = "\n\n"


def read_items(items: Sequence[Item]) -> tuple[Message, ...]:
    """Raises InvalidRequest."""
    messages: list[Message] = []
    parts: list[Part] = []  # of the turn that is being told
    turn: Role | None = None
    for at, item in enumerate(items):
        role, said = _read(item, f"input[{at}]")
        if role is not turn or role not in (Role.ASSISTANT, Role.TOOL):
            if turn is not None and parts:
                messages.append(Message(turn, tuple(parts)))
            parts, turn = [], role
        parts += said
    if turn is not None and parts:
        messages.append(Message(turn, tuple(parts)))
    return tuple(messages)


def _read(item: Item, param: str) -> tuple[Role, list[Part]]:
    """Whose item it is, and what it says."""
    kind = item.type or ("item_reference" if item.role is None and item.id else "message")
    match kind:
        case "message":
            return _message(item, param)
        case "function_call":
            return Role.ASSISTANT, [_call(item, param)]
        case "function_call_output":
            return Role.TOOL, [_result(item, param)]
        case "reasoning":
            text = _thought(item.content) or _thought(item.summary)
            thought = unseal_thought(text, item.encrypted_content, item.id or "")
            return Role.ASSISTANT, [thought] if text or thought.signature or thought.data else []
        case "item_reference":
            message = f"Item with id '{(item.id or '')[:100]}' not found."
            raise InvalidRequest(message, param=f"{param}.id", code="item_not_found")
    message = f"Input items of type '{kind[:64]}' are not available with this model."
    raise InvalidRequest(message, param=f"{param}.type", code="unsupported_parameter")


def _message(item: Item, param: str) -> tuple[Role, list[Part]]:
    role = ROLES.get(item.role or "")
    if item.role is None:
        raise missing(f"{param}.role")
    if role is None:
        raise invalid_value(f"{param}.role", item.role, ROLES)
    if item.content is None:
        raise missing(f"{param}.content")
    return role, _parts(item.content, f"{param}.content")


def _parts(content: str | list[Content], param: str) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(content)]
    return [_part(part, f"{param}[{at}]") for at, part in enumerate(content)]


def _part(part: Content, param: str) -> Part:
    match part.type:
        case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
            return TextPart(_given(part.text, f"{param}.text"))
        case "refusal":
            return RefusalPart(_given(part.refusal, f"{param}.refusal"))
        case "input_image":
            source = _source(part.image_url, part.file_id, f"{param}.image_url")
            return ImagePart(source, part.detail)
        case "input_file":
            return FilePart(_file_source(part, param), part.filename)
        case "input_audio":
            return _sound(part.input_audio, f"{param}.input_audio")
    raise invalid_value(f"{param}.type", part.type, CONTENT)


def _sound(sound: Sound | None, param: str) -> AudioPart:
    if sound is None:
        raise missing(param)
    return AudioPart(base64_of(sound.data, f"{param}.data"), sound.format)


def _given(text: str | None, param: str) -> str:
    if text is None:
        raise missing(param)
    return text


def _source(url: str | None, file_id: str | None, param: str) -> Source:
    if url:
        return url_source(url, param)
    if file_id:
        return FileSource(file_id)
    raise missing(param)


def _file_source(part: Content, param: str) -> Source:
    if not part.file_data:
        return _source(part.file_url, part.file_id, f"{param}.file_data")
    return document_source(part.file_data, part.filename, f"{param}.file_data")


def _call(item: Item, param: str) -> ToolCallPart:
    if not item.name:
        raise missing(f"{param}.name")
    call_id, signature = _call_id(item, param)
    return ToolCallPart(call_id, item.name, item.arguments or "", signature)


def _result(item: Item, param: str) -> ToolResultPart:
    if item.output is None:
        raise missing(f"{param}.output")
    parts = _parts(item.output, f"{param}.output")
    said = tuple(part for part in parts if isinstance(part, TextPart | ImagePart | FilePart))
    if len(said) < len(parts):
        message = "Invalid value: a tool's output is text, images and files."
        raise InvalidRequest(message, param=f"{param}.output", code="invalid_value")
    return ToolResultPart(_call_id(item, param)[0], said, item.name or "")


def _call_id(item: Item, param: str) -> tuple[str, str]:
    if not item.call_id:
        raise missing(f"{param}.call_id")
    return read_id(item.call_id)


def _thought(content: str | list[Content] | None) -> str:
    if isinstance(content, str):
        return content
    return THOUGHTS_JOINED_BY.join([part.text for part in content or () if part.text])
