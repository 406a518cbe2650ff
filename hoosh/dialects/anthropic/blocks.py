"""Our parts as Anthropic's content blocks, one by one.

Left out, because the API refuses them or nobody there could use them: empty texts, reasoning that is not signed by
Anthropic, a picture's `detail`, signatures of Gemini's calls.  Raises InvalidRequest for what cannot be said.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from hoosh.dialects.anthropic.extension import AnthropicPart
from hoosh.dialects.anthropic.wire import (
    ABSENT,
    Base64Source,
    CacheControl,
    DocumentBlock,
    FileIdSource,
    ImageBlock,
    RedactedThinkingBlock,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from hoosh.dialects.loose_json import UNREADABLE, encode_safely
from hoosh.dialects.sniffing import media_type_in
from hoosh.errors import InvalidRequest
from hoosh.values import (
    AudioPart,
    CacheMark,
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from hoosh.values import UrlSource as UrlOf

__all__ = ["block_of", "text_block", "unsupported"]

ORIGIN = "anthropic"

_bad_in_id = re.compile(r"[^a-zA-Z0-9_-]")
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_citations = msgspec.json.Decoder(list[dict[str, Any]]).decode

TEXTUAL = frozenset({"application/json", "application/xml", "application/x-yaml", "application/javascript"})

NO_EXTENSION = AnthropicPart()


def unsupported(what: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"{what} cannot be sent to Anthropic.", param=param, code="unsupported_parameter")


def block_of(part: Part) -> Any:
    """The block that says `part`, None where there is nothing to say."""
    match part:
        case TextPart():
            return text_block(part)
        case RefusalPart():
            return TextBlock(part.text) if part.text else None
        case ImagePart():
            return ImageBlock(_image_source(part.source), _cache(part.cache))
        case FilePart():
            return _document(part)
        case ReasoningPart():
            return _thinking(part)
        case ToolCallPart():
            extension = _extension(part.extension)
            arguments = _arguments(part)
            return ToolUseBlock(_id(part.id), part.name, arguments, _cache(part.cache), extension.caller)
        case ToolResultPart():
            content = _result(part.parts)
            return ToolResultBlock(_id(part.call_id), content, part.is_error or None, _cache(part.cache))
        case AudioPart():
            raise unsupported("Audio", "messages")
        case OpaquePart():
            if part.dialect != ORIGIN:
                raise unsupported(f"A part of type `{part.kind}`", "messages")
            return part.raw


def text_block(part: TextPart) -> TextBlock | None:
    if not part.text:
        return None
    return TextBlock(part.text, _cache(part.cache), _citations(_extension(part.extension).citations))


def _extension(extension: object) -> AnthropicPart:
    return extension if isinstance(extension, AnthropicPart) else NO_EXTENSION


def _citations(raw: Raw) -> Raw:
    """What another provider found has no index that Anthropic could read."""
    if raw is ABSENT or b'"encrypted_index"' not in bytes(raw):
        return raw
    try:
        citations = _decode_citations(raw)
    except UNREADABLE:
        return raw
    own = [citation for citation in citations if citation.get("encrypted_index") != ""]
    return raw if len(own) == len(citations) else Raw(encode_safely(own)) if own else ABSENT


def _cache(mark: CacheMark | None) -> CacheControl | None:
    return None if mark is None else CacheControl(mark.ttl)


def _id(call_id: str) -> str:
    """The API takes letters, digits, `_` and `-`; other vendors' ids hold more."""
    return _bad_in_id.sub("_", call_id) or "_"


def _thinking(part: ReasoningPart) -> ThinkingBlock | RedactedThinkingBlock | None:
    if part.origin != ORIGIN:
        return None
    if part.data:
        return RedactedThinkingBlock(part.data)
    return ThinkingBlock(part.text, part.signature) if part.signature else None


def _arguments(part: ToolCallPart) -> Raw:
    text = part.arguments.strip()
    if text in ("", "null"):
        return Raw(b"{}")
    try:
        raw = text.encode()
        _decode_object(raw)
    except UNREADABLE as error:
        message = f"The arguments of the call of `{part.name}` are not a JSON object, as Anthropic wants them."
        raise InvalidRequest(message, param="messages", code="invalid_value") from error
    return Raw(raw)


def _result(parts: Iterable[Part]) -> Raw:
    blocks = [block for part in parts if (block := block_of(part)) is not None]
    if len(blocks) == 1 and isinstance(blocks[0], TextBlock) and blocks[0].cache_control is None:
        return Raw(encode_safely(blocks[0].text))
    return Raw(encode_safely(blocks)) if blocks else ABSENT


# -- media -------------------------------------------------------------------------------------------------------


def _image_source(source: Source) -> Base64Source | UrlSource | FileIdSource:
    match source:
        case UrlOf():
            return UrlSource(source.url)
        case DataSource():
            return Base64Source(source.media_type or media_type_in(source.base64) or "image/jpeg", source.base64)
        case FileSource():
            return _file_id(source)


def _document(part: FilePart) -> DocumentBlock | ImageBlock:
    extension = _extension(part.extension)
    cache = _cache(part.cache)
    source = part.source
    if isinstance(source, DataSource):
        media_type = source.media_type.partition(";")[0].strip().lower()
        if media_type in ("", "application/octet-stream"):
            media_type = media_type_in(source.base64) or _by_name(part.filename)
        if media_type.startswith("image/"):
            return ImageBlock(Base64Source(media_type, source.base64), cache)
        wire: Any = _document_source(media_type, source.base64)
    else:
        wire = UrlSource(source.url) if isinstance(source, UrlOf) else _file_id(source)
    return DocumentBlock(wire, part.filename, extension.context, extension.citations, cache)


def _document_source(media_type: str, data: str) -> Base64Source | TextSource:
    if media_type == "application/pdf":
        return Base64Source(media_type, data)
    if not media_type.startswith("text/") and media_type not in TEXTUAL:
        raise unsupported(f"A file of type `{media_type or 'unknown'}`", "messages")
    try:
        return TextSource(base64.b64decode(data, validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("A text file is not UTF-8 in base64.", param="messages", code="invalid_value") from error


def _file_id(source: FileSource) -> FileIdSource:
    if not source.file_id.startswith("file_"):
        raise unsupported("A file that is kept at another provider", "messages")
    return FileIdSource(source.file_id)


def _by_name(filename: str | None) -> str:
    """Text, where the name ends like one."""
    ending = (filename or "").rpartition(".")[2].lower()
    return "text/plain" if ending in ("txt", "md", "csv", "json", "xml", "html", "yaml", "yml", "py", "log") else ""
