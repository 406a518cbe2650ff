"""Messages in our own words, written for an upstream of OpenAI's family.

    Message ──▶ {"role", "content", "tool_calls", …}        one, except
    tool results ──▶ one `tool` message each; what they show besides text follows in a `user` message

Thoughts go back only where the vendor takes them; signatures only to whom they belong (OpenRouter passes on all).

Source: wire notes 2.1, 2.4, 2.5, 2.8, 2.14.  Raises InvalidRequest for what this vendor cannot be told.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from hoosh.dialects.openai.family import Quirks
from hoosh.dialects.openai.reasoning import format_of
from hoosh.dialects.openai.thought_chunks import with_chunks
from hoosh.errors import InvalidRequest
from hoosh.values import (
    AudioPart,
    CacheMark,
    Capability,
    DataSource,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

__all__ = ["lacking", "marked", "unsupported", "upstream_id", "write_history"]

ID_CHARS_MAX = 40
"""OpenAI takes no longer ids of tool calls."""

NO_ARGUMENTS = ("", "null")
"""Some models write `null` for a tool that takes none; who parses it again wants an object."""

_short_id = re.compile(r"[A-Za-z0-9]{9}")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

SIGNING = frozenset({"anthropic", "gemini"})
"""Whose thoughts are told in full, never as a summary."""

Written = dict[str, Any]


def unsupported(what: str, param: str = "messages") -> InvalidRequest:
    return InvalidRequest(f"This provider does not take {what}.", param=param, code="unsupported_parameter")


def lacking(capability: Capability, what: str, param: str = "messages") -> InvalidRequest:
    message = f"This provider does not take {what}: it lacks the capability `{capability}`."
    return InvalidRequest(message, param=param, code="unsupported_parameter")


def upstream_id(call_id: str, quirks: Quirks) -> str:
    """The id of a tool call as this vendor takes it: another one only where it must be, and always the same one."""
    if quirks.short_ids:
        if _short_id.fullmatch(call_id):
            return call_id
        number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "replace")).digest()[:8], "big")
        return "".join([_DIGITS[number // 62**place % 62] for place in range(9)])
    if len(call_id) <= ID_CHARS_MAX:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:24]


def write_history(messages: Sequence[Message], quirks: Quirks) -> list[Written]:
    written: list[Written] = []
    shown: list[Part] = []  # by tools, and not text: told after the last of their results
    last_user = max((at for at, message in enumerate(messages) if message.role is Role.USER), default=-1)
    for at, message in enumerate(messages):
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        if shown and not results:
            written.append({"role": "user", "content": _content(shown, quirks)})
            shown = []
        for result in results:
            written.append(_tool_message(result, quirks))
            shown.extend(part for part in result.parts if not isinstance(part, TextPart))
        parts = [part for part in message.parts if not isinstance(part, ToolResultPart)]
        if parts or not results:
            thinks = not quirks.thoughts_in_loops_only or at > last_user
            written.append(_message(message, parts, quirks, thinks=thinks))
    if shown:
        written.append({"role": "user", "content": _content(shown, quirks)})
    if quirks.prefix and written and written[-1]["role"] == "assistant" and "tool_calls" not in written[-1]:
        written[-1]["prefix"] = True
    return written


def _message(message: Message, parts: Sequence[Part], quirks: Quirks, *, thinks: bool) -> Written:
    role = message.role
    if role is Role.ASSISTANT:
        written = _assistant(parts, quirks, thinks=thinks)
    else:
        said_as = "system" if role is Role.DEVELOPER and not quirks.developer else role.value
        written = {"role": said_as, "content": _content(parts, quirks)}
    if message.name is not None and quirks.only is None:
        written["name"] = message.name
    return written


def _tool_message(result: ToolResultPart, quirks: Quirks) -> Written:
    texts = [part for part in result.parts if isinstance(part, TextPart)]
    if texts and result.cache is not None:
        texts[-1] = replace(texts[-1], cache=result.cache)  # a `tool` message has no other place for it
    content = _content(texts, quirks)
    if not texts and result.parts:
        content = "(The result is shown in the next message.)"  # an empty result would say that there is none
    return {"role": "tool", "tool_call_id": upstream_id(result.call_id, quirks), "content": content}


# -- what the assistant said -------------------------------------------------------------------------------------


def _assistant(parts: Sequence[Part], quirks: Quirks, *, thinks: bool) -> Written:
    written: Written = {"role": "assistant"}
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
    refusals = [part.text for part in parts if isinstance(part, RefusalPart)]
    sounds = [part for part in parts if isinstance(part, OpaquePart) and _is_sound(part)]
    said: list[Part] = [
        TextPart(part.text) if isinstance(part, RefusalPart) else part
        for part in parts
        if not isinstance(part, (ToolCallPart, ReasoningPart))
        and part not in sounds
        and not (quirks.refusals and isinstance(part, RefusalPart))
    ]
    written["content"] = _content(said, quirks) if said else (None if calls or refusals or sounds else "")
    if sounds:
        if Capability.AUDIO_INPUT in quirks.cannot:
            raise lacking(Capability.AUDIO_INPUT, "audio")
        written["audio"] = _decoded(sounds[-1])
    if refusals and quirks.refusals:
        written["refusal"] = "".join(refusals)
    if thoughts and thinks:
        _write_thoughts(written, thoughts, quirks)
    if calls:
        if quirks.only is not None:
            raise lacking(Capability.TOOLS, "tool calls")
        written["tool_calls"] = [_tool_call(call, quirks) for call in calls]
        if written["content"] is None and quirks.thought_chunks:
            written["content"] = ""  # Mistral takes no null
    return written


def _is_sound(part: OpaquePart) -> bool:
    """What the model said aloud before: OpenAI keeps it, and is told its id."""
    return part.dialect == "openai" and part.kind == "audio"


def _tool_call(call: ToolCallPart, quirks: Quirks) -> Written:
    arguments = "{}" if call.arguments in NO_ARGUMENTS else call.arguments
    function = {"name": call.name, "arguments": arguments}
    written: Written = {"id": upstream_id(call.id, quirks), "type": "function", "function": function}
    if call.signature and quirks.signs_calls:
        written["extra_content"] = {"google": {"thought_signature": call.signature}}
    return written


def _write_thoughts(written: Written, thoughts: list[ReasoningPart], quirks: Quirks) -> None:
    if quirks.thought_details:
        details = [{**entry, "index": at} for at, thought in enumerate(thoughts) for entry in _details(thought)]
        if details:
            written["reasoning_details"] = details
        return
    text = "".join([thought.text for thought in thoughts])
    if not text:
        return
    if quirks.thought_chunks:
        written["content"] = with_chunks(written["content"], text)
        return
    for field in quirks.thoughts:
        written[field] = text


def _details(thought: ReasoningPart) -> Iterable[Written]:
    """OpenRouter's entries for one thought, which share an index.  OpenAI's text beside data is a summary of it."""
    said: Written = {"format": format_of(thought.origin)} if thought.origin else {}
    if thought.id:
        said["id"] = thought.id
    if thought.text and thought.data and thought.origin not in SIGNING:
        yield {"type": "reasoning.summary", "summary": thought.text, **said}
    elif thought.text or thought.signature:
        signed = {"signature": thought.signature} if thought.signature else {}
        yield {"type": "reasoning.text", "text": thought.text, **signed, **said}
    if thought.data:
        yield {"type": "reasoning.encrypted", "data": thought.data, **said}


# -- content -----------------------------------------------------------------------------------------------------


def _content(parts: Sequence[Part], quirks: Quirks) -> Any:
    """One text is a string; several, or anything else, are parts."""
    if not parts:
        return ""
    if all(isinstance(part, TextPart) for part in parts):
        texts = [part for part in parts if isinstance(part, TextPart)]
        marked = quirks.cache_marks and any(part.cache is not None for part in texts)
        if quirks.only is not None:
            return "\n\n".join([part.text for part in texts])
        if len(texts) == 1 and not marked:
            return texts[0].text
    return [_part(part, quirks) for part in parts]


def _part(part: Part, quirks: Quirks) -> Written:
    match part:
        case TextPart():
            return marked({"type": "text", "text": part.text}, part.cache, quirks)
        case ImagePart():
            return marked(_image(part, quirks), part.cache, quirks)
        case AudioPart():
            if Capability.AUDIO_INPUT in quirks.cannot:
                raise lacking(Capability.AUDIO_INPUT, "audio")
            audio = part.base64 if quirks.bare_audio else {"data": part.base64, "format": part.format}
            return {"type": "input_audio", "input_audio": audio}
        case FilePart():
            return marked(_file(part, quirks), part.cache, quirks)
        case OpaquePart(dialect="openai"):
            return {"type": part.kind, **_decoded(part)}
        case OpaquePart():
            raise unsupported(f"`{part.kind}` parts of {part.dialect}'s own language")
        case _:
            raise unsupported("such parts in this place")


def _decoded(part: OpaquePart) -> Written:
    whole = msgspec.json.decode(part.raw)
    return whole if isinstance(whole, dict) else {}


def marked(written: Written, cache: CacheMark | None, quirks: Quirks) -> Written:
    """`written` with the mark that a part or tool carries, for a vendor who takes it."""
    if cache is not None and quirks.cache_marks:
        written["cache_control"] = {"type": "ephemeral", **({"ttl": cache.ttl} if cache.ttl else {})}
    return written


def _image(part: ImagePart, quirks: Quirks) -> Written:
    if Capability.VISION in quirks.cannot:
        raise lacking(Capability.VISION, "images")
    match part.source:
        case UrlSource(url=url):
            pass
        case DataSource():
            url = _data_url(part.source, "image/png")
        case FileSource():
            raise unsupported("images kept as files at another provider")
    detail = {"detail": part.detail} if part.detail else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def _file(part: FilePart, quirks: Quirks) -> Written:
    source = part.source
    if isinstance(source, DataSource) and source.media_type.startswith("text/"):
        return {"type": "text", "text": _text_inside(source)}
    if Capability.FILES in quirks.cannot:
        raise lacking(Capability.FILES, "files")
    named = {"filename": part.filename} if part.filename else {}
    if quirks.document_urls:
        if isinstance(source, FileSource):
            return {"type": "file", "file_id": source.file_id}
        url = source.url if isinstance(source, UrlSource) else _data_url(source, "application/pdf")
        return {"type": "document_url", "document_url": url, **({"document_name": part.filename} if named else {})}
    if isinstance(source, FileSource):
        return {"type": "file", "file": {"file_id": source.file_id}}
    if isinstance(source, DataSource):
        name = part.filename or "document.pdf"  # data without a name is refused
        return {"type": "file", "file": {"filename": name, "file_data": _data_url(source, "application/pdf")}}
    if not quirks.file_urls:
        raise unsupported("files by URL")
    return {"type": "file", "file": {"filename": part.filename or "document.pdf", "file_data": source.url}}


def _data_url(source: DataSource, otherwise: str) -> str:
    return f"data:{source.media_type or otherwise};base64,{source.base64}"


def _text_inside(source: DataSource) -> str:
    """Everybody reads text; few take it as a file."""
    try:
        return base64.b64decode(source.base64, validate=True).decode()
    except ValueError as error:
        message = "Invalid file: its data is not text in base64."
        raise InvalidRequest(message, param="messages", code="invalid_value") from error
