"""The tap on an Ollama stream: whole lines go through untouched, and what must be counted is counted on the way.

    feed --NdjsonBlocks--> block --+-- one object a line, none special --> out, as it came
                                   `-- otherwise --> line by line: passed, left out, ended

The line with `done: true` is the terminator and holds the usage: it is passed on, because nothing after it can make
the reply less whole.  Not passed on: what follows it, a line with an error (it is `error`), blank lines and lines that
are no JSON object (counted in `malformed`): clients die of both.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hoosh.codec.ndjson import LINE_BYTES_MAX, NdjsonBlocks, is_regular, split_lines
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.ollama.chat_answer import line_error
from hoosh.dialects.ollama.lines import Lines
from hoosh.dialects.ollama.wire import Line, clean_up, read_line, read_usage
from hoosh.errors import UpstreamError
from hoosh.values import Call, Finished, FinishReason, Usage

__all__ = ["OllamaTap"]


class Glimpse(Struct, gc=False):
    """A line, once content has been seen."""

    done: Any = None
    error: Any = None


_decode_glimpses = msgspec.json.Decoder(Glimpse).decode_lines
_decode_glimpse = msgspec.json.Decoder(Glimpse).decode


class OllamaTap:
    """A `StreamTap` for `/api/chat` and `/api/generate`."""

    __slots__ = (
        "_blocks",
        "_kind",
        "_provider",
        "_stamp",
        "chunks",
        "error",
        "has_content",
        "malformed",
        "terminated",
        "usage",
    )

    def __init__(self, call: Call, stamp: Stamp, *, provider: str, max_line_bytes: int = LINE_BYTES_MAX) -> None:
        self.usage: Usage | None = None
        self.chunks = 0
        self.has_content = False
        self.terminated = False
        self.error: UpstreamError | None = None
        self.malformed = 0
        self._kind = call.kind
        self._stamp = stamp
        self._provider = provider
        self._blocks = NdjsonBlocks(max_line_bytes=max_line_bytes)

    @property
    def has_finished(self) -> bool:
        return self.terminated and self.error is None

    def feed(self, data: bytes) -> bytes:
        if self.terminated or self.error is not None:
            return b""
        block = self._blocks.feed(data)
        if not block:
            return b""
        return block if self._is_plain(block) else self._sift(block)

    def close(self) -> tuple[bytes, Ending]:
        rest = self._blocks.close()
        passed = b""
        if not self.terminated and self.error is None and rest.rstrip().endswith(b"}"):
            malformed = self.malformed
            passed = self._sift(rest)
            self.malformed = malformed  # cut off, not malformed
        if self.error is not None:
            return passed, Ending.FAILED
        return passed, Ending.COMPLETE if self.terminated else Ending.CUT

    def finish_early(self, usage: Usage) -> bytes | None:
        if self.error is not None:
            return None
        if self.terminated:
            return b""
        return Lines(self._kind, "", self._stamp).end(Finished(FinishReason.LENGTH), usage)

    def _is_plain(self, block: bytes) -> bool:
        """Every line of the block is to be passed on as it is; then it is counted.  False changes nothing."""
        count = is_regular(block)
        if not (count and self.has_content):
            return False
        try:
            lines = _decode_glimpses(block)
        except UNREADABLE:
            return False
        if len(lines) != count:
            return False
        for line in lines:
            if line.done is True or line.error:
                return False
        self.chunks += count
        return True

    def _sift(self, block: bytes) -> bytes:
        kept = []
        for line in split_lines(block):
            if self.terminated or self.error is not None:
                break
            if self._is_passed(line):
                self.chunks += self.has_content
                kept.append(line + b"\n")
        return b"".join(kept)

    def _is_passed(self, text: bytes) -> bool:
        """Take in what one line says; does it go on to the client?"""
        line = read_line(text) or _glimpse(text)
        if line is None:
            self.malformed += 1
            return False
        if line.error:
            self.error = line_error(line.error, provider=self._provider)
            return False
        self.has_content = self.has_content or _says_something(line)
        if line.done is True:
            self.terminated = True
            self.usage = read_usage(line)
        return True


def _glimpse(text: bytes) -> Line | None:
    """An object with types of its own: the client may know them."""
    try:
        glimpse = _decode_glimpse(clean_up(text))
    except UNREADABLE:
        return None
    return Line(done=glimpse.done, error=glimpse.error)


def _says_something(line: Line) -> bool:
    said = line.message
    if said is not None and (said.content or said.thinking or said.tool_calls or said.images):
        return True
    return bool(line.response or line.thinking or line.tool_calls or line.image)
