"""Mistral's content as a list of chunks, in which it thinks; other clients and servers know texts.

    {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."}]}
    {"content": "Yes.", "reasoning_content": "Hm."}

Source: wire notes 2.4; Mistral's documentation of reasoning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from hoosh.dialects.loose_json import UNREADABLE, read_loosely
from hoosh.dialects.openai.chunks import text_of
from hoosh.values import ReasoningDelta, RefusalDelta, ReplyEvent, TextDelta

__all__ = ["has_list", "told_chunks", "with_chunks", "without_chunks"]

_list_content = re.compile(rb'"content"\s*:\s*\[')


def has_list(data: bytes) -> bool:
    """Some content in this JSON may be a list; text cannot look like it, because its quotes are escaped."""
    return _list_content.search(data) is not None


def told_chunks(content: Iterable[Any]) -> Iterable[ReplyEvent]:
    """The events of a list: references and other kinds of chunks say nothing by themselves."""
    for chunk in content:
        if isinstance(chunk, str):
            if text := text_of(chunk):
                yield TextDelta(text)
        elif not isinstance(chunk, dict):
            continue
        elif chunk.get("type") == "thinking":
            thought = chunk.get("thinking")
            pieces = thought if isinstance(thought, list) else [{"text": thought}]
            if text := "".join([text_of(piece.get("text")) or "" for piece in pieces if isinstance(piece, dict)]):
                yield ReasoningDelta(text)
        elif chunk.get("type") == "refusal":
            if text := text_of(chunk.get("refusal")):
                yield RefusalDelta(text)
        elif text := text_of(chunk.get("text")):
            yield TextDelta(text)


def without_chunks(data: bytes) -> bytes:
    """A reply or chunk whose contents are texts.  What does not read comes back as it is."""
    whole = read_loosely(data)
    choices = whole.get("choices") if isinstance(whole, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        for name in ("message", "delta"):
            said = choice.get(name) if isinstance(choice, dict) else None
            if isinstance(said, dict) and isinstance(said.get("content"), list):
                _flatten(said)
    try:
        return msgspec.json.encode(whole)
    except UNREADABLE:  # a lone surrogate
        return data


def _flatten(said: dict[str, Any]) -> None:
    events = list(told_chunks(said["content"]))
    thought = "".join([event.text for event in events if isinstance(event, ReasoningDelta)])
    text = "".join([event.text for event in events if isinstance(event, TextDelta)])
    said["content"] = text if text or not thought else None
    if thought:
        said["reasoning_content"] = thought


def with_chunks(content: Any, thought: str) -> list[Any]:
    """`content` with `thought` before it."""
    chunks: list[Any] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}]
    if isinstance(content, list):
        return chunks + content
    return [*chunks, {"type": "text", "text": content}] if content else chunks
