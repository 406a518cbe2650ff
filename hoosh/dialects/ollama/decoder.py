"""Ollama's stream as events, and its whole reply as one value.

    bytes --NdjsonBlocks--> block --+-- one object a line --> all lines in one call to msgspec
                                    `-- otherwise ----------> line by line: blank ones skipped, odd types forgiven
    lines --Narrator--> events;   done: true is the terminator;   {"error": …} ends it;   what is no line breaks it

Objects that say nothing we know (progress, what later versions add) are skipped.
"""

from __future__ import annotations

import msgspec

from hoosh.codec.ndjson import LINE_BYTES_MAX, NdjsonBlocks, is_regular, split_lines
from hoosh.dialects.contract import Ending
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.ollama.chat_answer import Narrator, line_error
from hoosh.dialects.ollama.wire import Line, read_line
from hoosh.dialects.replies import fold
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import ChatReply, ReplyEvent, Usage

__all__ = ["OllamaDecoder", "decode_chat"]

_decode_lines = msgspec.json.Decoder(Line).decode_lines


class OllamaDecoder:
    """A `StreamDecoder` for `/api/chat`; it reads `/api/generate` too."""

    __slots__ = ("_blocks", "_narrator", "_provider", "error")

    def __init__(self, *, provider: str, max_line_bytes: int = LINE_BYTES_MAX) -> None:
        self.error: UpstreamError | None = None
        self._provider = provider
        self._blocks = NdjsonBlocks(max_line_bytes=max_line_bytes)
        self._narrator = Narrator()

    @property
    def usage(self) -> Usage | None:
        return self._narrator.usage

    @property
    def has_content(self) -> bool:
        return self._narrator.has_content

    @property
    def terminated(self) -> bool:
        return self._narrator.is_done

    @property
    def has_finished(self) -> bool:
        return self._narrator.is_done and self.error is None

    def feed(self, data: bytes) -> list[ReplyEvent]:
        events: list[ReplyEvent] = []
        if self._narrator.is_done or self.error is not None:
            return events
        block = self._blocks.feed(data)
        if not block:
            return events
        for line in self._read(block):
            if not self._take(line, events):
                break
        return events

    def close(self) -> tuple[list[ReplyEvent], Ending]:
        """A last line that lacks only its end counts; half a line does not."""
        events: list[ReplyEvent] = []
        rest = self._blocks.close().strip()
        if rest and not self._narrator.is_done and self.error is None:
            line = read_line(rest)
            if line is not None:
                self._take(line, events)
        if self.error is not None:
            return events, Ending.FAILED
        return events, Ending.COMPLETE if self._narrator.is_done else Ending.CUT

    def _read(self, block: bytes) -> list[Line] | list[Line | None]:
        count = is_regular(block)
        if count:
            try:
                lines = _decode_lines(block)
                if len(lines) == count:
                    return lines
            except UNREADABLE:
                pass
        return [read_line(line) for line in split_lines(block)]

    def _take(self, line: Line | None, events: list[ReplyEvent]) -> bool:
        """False: nothing after this line counts."""
        if line is None:
            self.error = _not_a_line(self._provider)
            return False
        if line.error:
            self.error = line_error(line.error, provider=self._provider)
            return False
        self._narrator.tell(line, events)
        return not self._narrator.is_done


def _not_a_line(provider: str) -> UpstreamBroke:
    return UpstreamBroke("The upstream sent a line that Ollama's protocol does not have.", provider=provider)


def decode_chat(body: bytes, *, provider: str) -> ChatReply:
    """A whole reply.  A body of several lines is a stream that nobody asked for, and is added up."""
    line = read_line(body)
    if line is None:
        return _decode_lines_as_whole(body, provider)
    if line.error:
        raise line_error(line.error, provider=provider)
    if line.done is False or (line.message is None and line.response is None and line.image is None):
        raise UpstreamBroke("The upstream's answer holds no message.", provider=provider)
    narrator = Narrator()
    events: list[ReplyEvent] = []
    narrator.tell(line, events)
    if not narrator.is_done:
        narrator.end(line, events)
    return fold(events)


def _decode_lines_as_whole(body: bytes, provider: str) -> ChatReply:
    decoder = OllamaDecoder(provider=provider, max_line_bytes=max(LINE_BYTES_MAX, len(body)))
    events = decoder.feed(body)
    rest, ending = decoder.close()
    if decoder.error is not None:
        raise decoder.error
    if ending is not Ending.COMPLETE:
        raise UpstreamBroke("The upstream's answer ends before it is whole.", provider=provider)
    return fold([*events, *rest])
