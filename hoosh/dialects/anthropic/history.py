"""A client's messages, as ours.

    system (text or blocks)             → the first message, role system; a `system` turn stays where it is
    user with tool results and more     → a tool message, then a user message
    thinking, redacted_thinking         → reasoning, with the seals of other providers opened
    tool_use                            → a call; its id may carry a signature of Gemini's
    blocks that only Anthropic knows    → OpaquePart (server tools and their results, search results, …)

Raises InvalidRequest, with the path of the mistake as Anthropic writes it: `messages.0.content.1.text`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.anthropic.extension import AnthropicPart
from hoosh.dialects.anthropic.seals import open_seal
from hoosh.dialects.anthropic.wire import (
    ABSENT,
    Base64Source,
    CacheControl,
    ContentSource,
    DocumentBlock,
    FileIdSource,
    ImageBlock,
    InputSource,
    RedactedThinkingBlock,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    UrlSource,
    given,
)
from hoosh.dialects.signatures import read_id
from hoosh.errors import InvalidRequest
from hoosh.values import (
    CacheMark,
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Role,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from hoosh.values import UrlSource as UrlOf

__all__ = ["decode", "mark_of", "messages_of", "system_of"]

T = TypeVar("T")

ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
DIALECT = "anthropic"


class Kind(Struct):
    type: str


_decode_turns = msgspec.json.Decoder(list[Turn]).decode
_decode_blocks = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_kind = msgspec.json.Decoder(Kind).decode

BLOCKS: dict[str, Callable[[Any], Any]] = {
    str(block.__struct_config__.tag): msgspec.json.Decoder(block).decode
    for block in (
        *(TextBlock, ImageBlock, DocumentBlock, ThinkingBlock, RedactedThinkingBlock),
        *(ToolUseBlock, ToolResultBlock),
    )
}


def decode(decoder: Callable[[Any], T], raw: Any, path: str) -> T:
    """Raises InvalidRequest, naming `path`."""
    try:
        return decoder(raw)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{path}: {error}", param=path, code="invalid_type") from error
    except RecursionError as error:
        raise InvalidRequest(f"{path}: it is nested too deeply.", param=path, code="invalid_json") from error
    except ValueError as error:
        raise InvalidRequest(f"{path}: {error}", param=path, code="invalid_json") from error


def mark_of(cache: CacheControl | None) -> CacheMark | None:
    return None if cache is None else CacheMark(cache.ttl)


def system_of(raw: Raw) -> tuple[Message, ...]:
    """The field `system`, as the first message; none where it says nothing."""
    parts = _parts(raw, "system")
    for at, part in enumerate(parts):
        if not isinstance(part, TextPart):
            raise InvalidRequest(f"system.{at}.type: only text is allowed here.", param="system", code="invalid_value")
    return (Message(Role.SYSTEM, parts),) if parts else ()


def messages_of(raw: Raw) -> tuple[Message, ...]:
    messages: list[Message] = []
    for at, turn in enumerate(decode(_decode_turns, raw, "messages")):
        path = f"messages.{at}"
        role = ROLES.get(turn.role)
        if role is None:
            message = f"{path}.role: Input should be 'user', 'assistant' or 'system'"
            raise InvalidRequest(message, param=f"{path}.role", code="invalid_value")
        parts = _parts(turn.content, f"{path}.content")
        results = tuple(part for part in parts if isinstance(part, ToolResultPart))
        if results and role is Role.USER:
            messages.append(Message(Role.TOOL, results))
            parts = tuple(part for part in parts if not isinstance(part, ToolResultPart))
            if not parts:
                continue
        messages.append(Message(role, parts))
    return tuple(messages)


def _parts(content: Raw, path: str) -> tuple[Part, ...]:
    raw = bytes(content)
    if raw[:1] == b'"':
        text = decode(_decode_text, content, path)
        return (TextPart(text),) if text else ()
    blocks = decode(_decode_blocks, content, path)
    return tuple(_part(block, f"{path}.{at}") for at, block in enumerate(blocks))


def _part(raw: Raw, path: str) -> Part:
    kind = decode(_decode_kind, raw, path).type
    decoder = BLOCKS.get(kind)
    if decoder is None:
        return OpaquePart(DIALECT, kind, raw)
    match decode(decoder, raw, path):
        case TextBlock() as block:
            return TextPart(block.text, mark_of(block.cache_control), _extension(citations=given(block.citations)))
        case ImageBlock() as block:
            return ImagePart(_source(block.source, path), cache=mark_of(block.cache_control))
        case DocumentBlock() as block:
            return _document(block, raw, path)
        case ThinkingBlock() as block:
            return open_seal(block.thinking, block.signature, redacted=False)
        case RedactedThinkingBlock() as block:
            return open_seal("", block.data, redacted=True)
        case ToolUseBlock() as block:
            call_id, signature = read_id(block.id)
            extension = _extension(caller=given(block.caller))
            arguments = bytes(block.input).decode()
            return ToolCallPart(call_id, block.name, arguments, signature, mark_of(block.cache_control), extension)
        case ToolResultBlock() as block:
            return _result(block, path)
    raise AssertionError(kind)


def _extension(**fields: Any) -> AnthropicPart | None:
    said = {name: value for name, value in fields.items() if value is not None and value is not ABSENT}
    return AnthropicPart(**said) if said else None


def _result(block: ToolResultBlock, path: str) -> ToolResultPart:
    content = given(block.content)
    parts = () if content is ABSENT else _parts(content, f"{path}.content")
    allowed: Any = tuple(part for part in parts if isinstance(part, TextPart | ImagePart | FilePart | OpaquePart))
    if len(allowed) != len(parts):
        raise InvalidRequest(f"{path}.content: such a block is not allowed in a tool's result.", param=path)
    call_id, _ = read_id(block.tool_use_id)
    return ToolResultPart(call_id, allowed, is_error=block.is_error is True, cache=mark_of(block.cache_control))


def _document(block: DocumentBlock, raw: Raw, path: str) -> FilePart | OpaquePart:
    source = block.source
    if isinstance(source, ContentSource):
        return OpaquePart(DIALECT, "document", raw)
    extension = _extension(citations=given(block.citations), context=block.context)
    return FilePart(_source(source, path), block.title, mark_of(block.cache_control), extension)


def _source(source: InputSource, path: str) -> Source:
    match source:
        case Base64Source():
            return DataSource(source.media_type, source.data)
        case UrlSource():
            return UrlOf(source.url)
        case FileIdSource():
            return FileSource(source.file_id)
        case TextSource():
            return DataSource(source.media_type, base64.b64encode(source.data.encode()).decode())
    raise InvalidRequest(f"{path}.source: such a source is not allowed here.", param=path, code="invalid_value")
