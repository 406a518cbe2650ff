"""The content of an answer, block by block, as our events.  A whole block is one that is opened full and closed.

text                  TextDelta…, at its end an Annotation for each citation, over the text of the block
thinking              ReasoningDelta…, at its end ReasoningSealed with the signature
redacted_thinking     ReasoningSealed with the data
tool_use              ToolCallStarted, ToolCallDelta…; calls are numbered by themselves, from 0
anything else         OpaqueOutput at its end: the block with its deltas put in (server tools, compaction, …)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hoosh.dialects.loose_json import UNREADABLE, encode_safely
from hoosh.values import (
    Annotation,
    OpaqueOutput,
    ReasoningDelta,
    ReasoningSealed,
    ReplyEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    new_call_id,
)

__all__ = ["Block", "Content", "OpaqueBlock", "word"]

ORIGIN = "anthropic"


def word(value: object) -> str:
    return value if isinstance(value, str) else ""


class Block:
    """An open block of a type that has nothing to tell at its end."""

    __slots__ = ()

    def close(self, content: Content, out: list[ReplyEvent]) -> None:
        pass


class TextBlock(Block):
    __slots__ = ("citations", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.citations: list[Mapping[str, Any]] = []

    def close(self, content: Content, out: list[ReplyEvent]) -> None:
        for citation in self.citations:
            title = word(citation.get("title")) or word(citation.get("document_title"))
            url = word(citation.get("url")) or word(citation.get("source"))
            out.append(Annotation(url, title, self.start, content.text_chars, word(citation.get("cited_text"))))


class ThinkingBlock(Block):
    __slots__ = ("signature",)

    def __init__(self, signature: str) -> None:
        self.signature = signature

    def close(self, content: Content, out: list[ReplyEvent]) -> None:
        if self.signature:
            out.append(ReasoningSealed(ORIGIN, self.signature))


class CallBlock(Block):
    """`given` are arguments that came with the start: they count where no fragment follows."""

    __slots__ = ("given", "index", "is_told")

    def __init__(self, index: int, given: str) -> None:
        self.index = index
        self.given = given
        self.is_told = False

    def close(self, content: Content, out: list[ReplyEvent]) -> None:
        if self.given and not self.is_told:
            out.append(ToolCallDelta(self.index, self.given))


class OpaqueBlock(Block):
    __slots__ = ("block", "input", "raw")

    def __init__(self, block: dict[str, Any], raw: Raw | None) -> None:
        self.block = block
        self.raw = raw
        self.input: list[str] = []

    def absorb(self, delta: Mapping[str, Any]) -> None:
        """Put in what a delta adds: texts grow, anything else is replaced."""
        for name, value in delta.items():
            if name == "partial_json":
                self.input.append(word(value))
            elif name != "type":
                before = self.block.get(name)
                both = isinstance(before, str) and isinstance(value, str)
                self.block[name] = f"{before}{value}" if both else value
                self.raw = None

    def close(self, content: Content, out: list[ReplyEvent]) -> None:
        if arguments := "".join(self.input):
            self.block["input"] = _json_or_text(arguments)
            self.raw = None
        raw = Raw(encode_safely(self.block)) if self.raw is None else self.raw
        out.append(OpaqueOutput(ORIGIN, word(self.block.get("type")), raw))


class Content:
    """The blocks that are open.  Events are put at the end of `out`."""

    __slots__ = ("blocks", "calls", "has_content", "opaque", "text_chars")

    def __init__(self) -> None:
        self.blocks: dict[int, Block] = {}
        self.calls = 0
        self.has_content = False
        self.opaque = 0  # how many blocks that only Anthropic knows have been opened
        self.text_chars = 0

    def open(self, index: int, block: dict[str, Any], out: list[ReplyEvent], raw: Raw | None = None) -> None:
        self.close(index, out)
        match block.get("type"):
            case "text":
                opened = TextBlock(self.text_chars)
                self.blocks[index] = opened
                self.text(word(block.get("text")), out)
                citations = block.get("citations")
                for citation in citations if isinstance(citations, list) else ():
                    self.cite(opened, citation)
            case "thinking":
                self.blocks[index] = ThinkingBlock(word(block.get("signature")))
                self.thinking(word(block.get("thinking")), out)
            case "redacted_thinking":
                self.has_content = True
                out.append(ReasoningSealed(ORIGIN, data=word(block.get("data"))))
            case "tool_use":
                self._open_call(index, block, out)
            case _:
                self.has_content = True
                self.opaque += 1
                self.blocks[index] = OpaqueBlock(block, raw)

    def _open_call(self, index: int, block: Mapping[str, Any], out: list[ReplyEvent]) -> None:
        self.has_content = True
        call_id = word(block.get("id")) or new_call_id()
        out.append(ToolCallStarted(self.calls, call_id, word(block.get("name"))))
        self.blocks[index] = CallBlock(self.calls, _arguments(block.get("input")))
        self.calls += 1

    def text(self, text: str, out: list[ReplyEvent]) -> None:
        if text:
            self.text_chars += len(text)
            self.has_content = True
            out.append(TextDelta(text))

    def thinking(self, text: str, out: list[ReplyEvent]) -> None:
        if text:
            self.has_content = True
            out.append(ReasoningDelta(text))

    def arguments(self, index: int, fragment: str, out: list[ReplyEvent]) -> None:
        block = self.blocks.get(index)
        if isinstance(block, CallBlock):
            if fragment:
                block.is_told = True
                out.append(ToolCallDelta(block.index, fragment))
        elif isinstance(block, OpaqueBlock):
            block.input.append(fragment)

    def sign(self, index: int, signature: str) -> None:
        block = self.blocks.get(index)
        if isinstance(block, ThinkingBlock) and signature:
            block.signature = signature

    def cite(self, block: Block | None, citation: object) -> None:
        if isinstance(block, TextBlock) and isinstance(citation, dict):
            block.citations.append(citation)

    def close(self, index: int, out: list[ReplyEvent]) -> None:
        block = self.blocks.pop(index, None)
        if block is not None:
            block.close(self, out)

    def close_all(self, out: list[ReplyEvent]) -> None:
        for index in list(self.blocks):
            self.close(index, out)


def _arguments(given: object) -> str:
    """JSON text; "" for none."""
    if isinstance(given, Raw):
        text = bytes(given).decode("utf-8", "replace")
        return "" if text in ("{}", "null") else text
    return encode_safely(given).decode() if given else ""


def _json_or_text(arguments: str) -> object:
    """What a truncated call leaves behind is no JSON: it stays as text."""
    try:
        msgspec.json.decode(arguments)
        return Raw(arguments.encode())
    except UNREADABLE:
        return arguments
