"""Our events as the stream of a client who speaks Anthropic's language.

    message_start → per block: content_block_start, deltas, content_block_stop → message_delta

`message_start` waits for the end of the batch of events that starts the reply, or for the first of the content, so that
it can tell the prompt's tokens where the upstream has said them.  One block is open at a time.  The exception: a call
whose arguments are not whole JSON yet when something else begins stays open, because the upstream may be telling
several calls by turns; clients go by the index.

Frequent deltas are a prefix made once a block, the text as JSON, and a suffix.  Left out: media that the model made,
citations without an address, blocks of other dialects.

Source: wire notes 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from hoosh.dialects.anthropic.decoder import loads
from hoosh.dialects.anthropic.replies import citation_of, usage_of
from hoosh.dialects.anthropic.seals import sealed
from hoosh.dialects.anthropic.stops import stop_reason_of
from hoosh.dialects.anthropic.whole import event_of, told
from hoosh.dialects.contract import Stamp
from hoosh.dialects.loose_json import UNREADABLE, quote
from hoosh.dialects.signatures import sign_id
from hoosh.values import (
    Annotation,
    Finished,
    FinishReason,
    OpaqueOutput,
    ReasoningDelta,
    ReasoningSealed,
    RefusalDelta,
    ReplyEvent,
    ReplyStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

__all__ = ["PING", "AnthropicEncoder", "early_end"]

PING = b'event: ping\ndata: {"type":"ping"}\n\n'

_encode = msgspec.json.encode

DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
END = b"}}\n\n"
STOP_BLOCK = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'

TEXT_BLOCK = {"type": "text", "text": ""}
THINKING_BLOCK = {"type": "thinking", "thinking": "", "signature": ""}


class _OpenCall:
    __slots__ = ("block", "fragments", "prefix")

    def __init__(self, block: int) -> None:
        self.block = block
        self.prefix = DELTA % (block, b"input_json_delta", b"partial_json")
        self.fragments: list[str] = []

    def is_whole(self) -> bool:
        try:
            msgspec.json.decode("".join(self.fragments))
        except UNREADABLE:
            return False
        return True


class AnthropicEncoder:
    """A `StreamEncoder`."""

    __slots__ = (
        *(
            "_block",
            "_called",
            "_calls",
            "_finish",
            "_kind",
            "_model",
            "_next",
            "_prefix",
            "_refused",
            "_stamp",
            "_started",
        ),
        *("_usage", "chunks"),
    )

    def __init__(self, stamp: Stamp) -> None:
        self.chunks = 0
        self._stamp = stamp
        self._model = stamp.model
        self._started = False
        self._next = 0  # index of the next block
        self._kind = ""  # of the block that is open, besides calls: text, thinking or none
        self._block = 0
        self._prefix = b""
        self._calls: dict[int, _OpenCall] = {}
        self._refused = False
        self._called = False
        self._usage: Usage | None = None
        self._finish = Finished(FinishReason.STOP)

    def encode(self, events: Sequence[ReplyEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if isinstance(event, TextDelta):
                if self._kind != "text":
                    self._open_text(out)
                out += (self._prefix, quote(event.text), END)
                self.chunks += 1
            elif isinstance(event, ReasoningDelta):
                if self._kind != "thinking":
                    self._open_thinking(out)
                out += (self._prefix, quote(event.text), END)
                self.chunks += 1
            else:
                self._take(event, out)
        if events and not self._started:
            self._start(out)
        return b"".join(out)

    def finish(self) -> bytes:
        out: list[bytes] = []
        self._start(out)
        self._close(out)
        for index in list(self._calls):
            self._close_call(index, out)
        reason = stop_reason_of(self._finish, refused=self._refused, called=self._called)
        delta = {"stop_reason": reason, "stop_sequence": self._finish.stop_sequence, "stop_details": None}
        out.append(event_of("message_delta", delta=delta, usage=usage_of(self._usage, self._stamp)))
        return b"".join(out)

    def _take(self, event: ReplyEvent, out: list[bytes]) -> None:
        match event:
            case ToolCallDelta():
                self._tell_arguments(event, out)
            case ToolCallStarted():
                self._open_call(event, out)
            case RefusalDelta():
                self._refused = True
                if self._kind != "text":
                    self._open_text(out)
                out += (self._prefix, quote(event.text), END)
                self.chunks += 1
            case ReasoningSealed():
                self._seal(event, out)
            case Annotation():
                if event.url and self._kind == "text":
                    delta = {"type": "citations_delta", "citation": citation_of(event)}
                    out.append(event_of("content_block_delta", index=self._block, delta=delta))
            case OpaqueOutput(dialect="anthropic"):
                self._tell_block(event, out)
            case ReplyStarted():
                self._model = event.model or self._model
            case UsageReported():
                self._usage = event.usage
            case Finished():
                self._finish = event

    def _start(self, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        message: dict[str, Any] = {
            "id": f"msg_{self._stamp.reply_id}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": usage_of(self._usage),
        }
        out.append(event_of("message_start", message=message))

    # -- blocks --------------------------------------------------------------------------------------------------

    def _begin(self, block: object, out: list[bytes]) -> int:
        self._start(out)
        self._close(out)
        for index in [index for index, call in self._calls.items() if call.is_whole()]:
            self._close_call(index, out)
        at = self._next
        self._next += 1
        out.append(event_of("content_block_start", index=at, content_block=block))
        if at == 0:
            out.append(PING)
        return at

    def _open_text(self, out: list[bytes]) -> None:
        self._block = self._begin(TEXT_BLOCK, out)
        self._kind = "text"
        self._prefix = DELTA % (self._block, b"text_delta", b"text")

    def _open_thinking(self, out: list[bytes]) -> None:
        self._block = self._begin(THINKING_BLOCK, out)
        self._kind = "thinking"
        self._prefix = DELTA % (self._block, b"thinking_delta", b"thinking")

    def _close(self, out: list[bytes]) -> None:
        if self._kind:
            self._kind = ""
            out.append(STOP_BLOCK % self._block)

    def _seal(self, event: ReasoningSealed, out: list[bytes]) -> None:
        """The end of a thought; of one that has no text if none is open."""
        kept = sealed(event.origin, event.signature, event.data, event.id)
        if event.data and self._kind != "thinking":
            self._stop(self._begin({"type": "redacted_thinking", "data": kept}, out), out)
            self.chunks += 1
            return
        if kept:
            if self._kind != "thinking":
                self._open_thinking(out)
            out += (DELTA % (self._block, b"signature_delta", b"signature"), quote(kept), END)
            self.chunks += 1
        if self._kind == "thinking":
            self._close(out)

    def _stop(self, block: int, out: list[bytes]) -> None:
        out.append(STOP_BLOCK % block)

    def _open_call(self, event: ToolCallStarted, out: list[bytes]) -> None:
        call_id = sign_id(event.id, event.signature)
        at = self._begin({"type": "tool_use", "id": call_id, "name": event.name, "input": {}}, out)
        call = self._calls[event.index] = _OpenCall(at)
        self._called = True
        out += (call.prefix, b'""', END)
        self.chunks += 1

    def _tell_arguments(self, event: ToolCallDelta, out: list[bytes]) -> None:
        """`null`, which some models write for no arguments, would make `input` no object."""
        call = self._calls.get(event.index)
        if call is not None and event.arguments and (call.fragments or event.arguments != "null"):
            call.fragments.append(event.arguments)
            out += (call.prefix, quote(event.arguments), END)
            self.chunks += 1

    def _close_call(self, index: int, out: list[bytes]) -> None:
        self._stop(self._calls.pop(index).block, out)

    def _tell_block(self, event: OpaqueOutput, out: list[bytes]) -> None:
        block = loads(bytes(event.raw))
        if not isinstance(block, dict):
            return
        opening, deltas = told(block)
        at = self._begin(opening, out)
        out += [event_of("content_block_delta", index=at, delta=delta) for delta in deltas]
        self._stop(at, out)
        self.chunks += 1


def early_end(stamp: Stamp, blocks: Iterable[int], usage: Usage, *, begun: bool) -> bytes:
    """The end of another's stream, at the limit: the `blocks` that are open stop, and so does the message.

    A block that is cut stays so (a call's `input`, a thought without its signature): clients go by `max_tokens`.
    """
    if not begun:
        encoder = AnthropicEncoder(stamp)
        return encoder.encode((UsageReported(usage), Finished(FinishReason.LENGTH))) + encoder.finish()
    delta = {"stop_reason": "max_tokens", "stop_sequence": None}
    stops = [STOP_BLOCK % at for at in blocks]
    return b"".join([*stops, event_of("message_delta", delta=delta, usage=usage_of(usage, stamp))])
