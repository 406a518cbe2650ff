"""Reply events as a Responses stream, and as the whole response that its last event tells.

    response.created, response.in_progress            held back until there is something to say
      per item: blocks.py                             one item a block; calls stay open, their deltas interleave
    response.completed | response.incomplete          in `finish`, with everything

Nothing follows the last event: this dialect has no `[DONE]`.  A whole reply is told to the same encoder, and its last
event's response is the answer: streamed or not, a client gets the same items.

Left out: sound, and blocks that only another dialect knows.  Source: wire notes 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Raw

from hoosh.dialects.contract import Stamp
from hoosh.dialects.loose_json import encode_safely, quote
from hoosh.dialects.responses.blocks import (
    Block,
    CallBlock,
    ImageBlock,
    RefusalBlock,
    TextBlock,
    ThoughtBlock,
    Told,
)
from hoosh.dialects.responses.shell import shell_of
from hoosh.dialects.responses.wire import item_id, response_id, seal_thought, usage_json
from hoosh.dialects.signatures import sign_id
from hoosh.values import (
    Annotation,
    Call,
    Finished,
    FinishReason,
    MediaOutput,
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

__all__ = ["Keep", "ResponseEncoder"]

Keep = Callable[[str, bytes, bytes], None]
"""Called once at the end, with the response's id, its JSON and that of its output."""

INCOMPLETE = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}


class ResponseEncoder:
    """A `StreamEncoder`.  After `finish`, `body` is the whole response."""

    __slots__ = (
        "_block",
        "_calls",
        "_chars",
        "_finished",
        "_is_begun",
        "_keep",
        "_kind",
        "_output",
        "_shell",
        "_stamp",
        "_usage",
        "body",
        "chunks",
        "sequence",
    )

    def __init__(self, call: Call, stamp: Stamp, *, keep: Keep | None = None) -> None:
        self.chunks = 0
        self.sequence = 0
        """Of the next event."""
        self.body = b""
        self._keep = keep
        self._stamp = stamp
        self._shell = shell_of(call, stamp)
        self._is_begun = False
        self._output: list[bytes] = []  # the items that are done; b"" at the place of an open one
        self._kind: type[ReplyEvent] | None = None  # of the delta that goes on with `_block`
        self._block: Block | None = None
        self._calls: dict[int, CallBlock] = {}
        self._chars = 0  # of the text blocks that are done
        self._finished = Finished(FinishReason.STOP)
        self._usage: Usage | None = None

    def encode(self, events: Sequence[ReplyEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            kind = type(event)
            if kind is self._kind:
                self._grow(self._block, event.text, out)  # type: ignore[arg-type, union-attr]  # kinds of text only
            elif kind is ToolCallDelta:
                block = self._calls.get(event.index)  # type: ignore[union-attr]
                if block is not None and event.arguments:  # type: ignore[union-attr]
                    self._grow(block, event.arguments, out)  # type: ignore[union-attr]
            else:
                self._take(event, out)
        return b"".join(out)

    def _grow(self, block: Block, text: str, out: list[bytes]) -> None:
        """The hot path: one delta."""
        out.append(b"%b%b%b%d}\n\n" % (block.lead, quote(text), block.tail, self.sequence))
        self.sequence += 1
        self.chunks += 1
        block.pieces.append(text)

    def _take(self, event: ReplyEvent, out: list[bytes]) -> None:
        match event:
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                if event.text:
                    self._turn_to(type(event), out)
                    assert self._block is not None
                    self._grow(self._block, event.text, out)
            case Annotation():
                self._turn_to(TextDelta, out)
                assert isinstance(self._block, TextBlock)
                self._tell(self._block.annotate(event), out)
                self.chunks += 1
            case ReasoningSealed():
                self._seal(event, out)
            case ToolCallStarted():
                self._call(event, out)
            case MediaOutput() if event.media_type.startswith("image/"):
                self._close(out)
                image = ImageBlock(self._place(), self._id("ig"), event.base64)
                self._open(image, out)
                self._end(image, "completed", out)
                self.chunks += 1
            case _:
                self._note(event)

    def _note(self, event: ReplyEvent) -> None:
        """What is told at the beginning or at the end; other blocks are left out."""
        match event:
            case ReplyStarted():
                if event.model:
                    self._shell["model"] = event.model
            case UsageReported():
                self._usage = event.usage
            case Finished():
                self._finished = event

    # -- items ---------------------------------------------------------------------------------------------------

    def _turn_to(self, kind: type[ReplyEvent], out: list[bytes]) -> None:
        """The block that deltas of this kind go on with: the open one, or a new one after it."""
        if self._kind is kind:
            return
        self._close(out)
        at = self._place()
        if kind is TextDelta:
            self._block = TextBlock(at, self._id("msg"), self._chars)
        elif kind is RefusalDelta:
            self._block = RefusalBlock(at, self._id("msg"))
        else:
            self._block = ThoughtBlock(at, self._id("rs"), is_shown=True)
        self._kind = kind
        self._open(self._block, out)

    def _seal(self, event: ReasoningSealed, out: list[bytes]) -> None:
        if isinstance(self._block, ThoughtBlock):
            self._block.sealed = seal_thought(event.origin, event.signature, event.data, event.id)
            self._close(out)
            return
        sealed = seal_thought(event.origin, event.signature, event.data, event.id)
        if sealed is not None:
            self._close(out)
            thought = ThoughtBlock(self._place(), self._id("rs"), is_shown=False, sealed=sealed)
            self._open(thought, out)
            self._end(thought, "completed", out)
            self.chunks += 1

    def _call(self, event: ToolCallStarted, out: list[bytes]) -> None:
        self._close(out)
        earlier = self._calls.get(event.index)
        if earlier is not None:  # not by the contract, but every item must come to its end
            self._end_call(earlier, "completed", out)
        call_id = sign_id(event.id, event.signature)
        self._calls[event.index] = block = CallBlock(self._place(), self._id("fc"), call_id, event.name)
        self._open(block, out)
        self.chunks += 1

    def _end_call(self, block: CallBlock, status: str, out: list[bytes]) -> None:
        if not block.pieces and status == "completed":  # else it is cut, and must not look whole
            self._grow(block, "{}", out)
        self._end(block, status, out)

    def _place(self) -> int:
        return len(self._output)

    def _id(self, kind: str) -> str:
        return item_id(kind, self._stamp.reply_id, len(self._output))

    def _open(self, block: Block, out: list[bytes]) -> None:
        if not self._is_begun:
            self._begin(out)
        self._output.append(b"")
        for told in block.opening():
            self._tell(told, out)

    def _close(self, out: list[bytes], status: str = "completed") -> None:
        """End the text, refusal or thought that is open, if one is."""
        block, self._block, self._kind = self._block, None, None
        if block is not None:
            if isinstance(block, TextBlock):
                self._chars += len(block.text)
            self._end(block, status, out)

    def _end(self, block: Block, status: str, out: list[bytes]) -> None:
        for told in block.ending(status):
            self._tell(told, out)
        self._output[block.at] = encode_safely(block.item(status))

    def _tell(self, told: Told, out: list[bytes]) -> None:
        name, fields = told
        data = encode_safely({"type": name, **fields, "sequence_number": self.sequence})
        out.append(b"event: %b\ndata: %b\n\n" % (name.encode(), data))
        self.sequence += 1

    # -- beginning and end ---------------------------------------------------------------------------------------

    def _begin(self, out: list[bytes]) -> None:
        self._is_begun = True
        for name in ("response.created", "response.in_progress"):
            self._tell((name, {"response": {**self._shell, "status": "in_progress"}}), out)

    def finish(self) -> bytes:
        out: list[bytes] = []
        if not self._is_begun:
            self._begin(out)
        why = INCOMPLETE.get(self._finished.reason)
        last = "completed" if why is None else "incomplete"
        end = len(self._output) - 1  # only what was being said at the end is incomplete
        self._close(out, last if self._block is not None and self._block.at == end else "completed")
        for block in self._calls.values():
            self._end_call(block, last if block.at == end else "completed", out)
        output = b"[" + b",".join(self._output) + b"]"
        response = self._response(last, why, output)
        self.body = encode_safely(response)
        self._tell((f"response.{last}", {"response": Raw(self.body)}), out)
        if self._keep is not None:
            self._keep(response_id(self._stamp.reply_id), self.body, output)
        return b"".join(out)

    def _response(self, status: str, why: str | None, output: bytes) -> dict[str, Any]:
        return {
            **self._shell,
            "status": status,
            "incomplete_details": None if why is None else {"reason": why},
            "output": Raw(output),
            "usage": None if self._usage is None else usage_json(self._usage, self._stamp),
        }

    def failed(self, error: dict[str, Any]) -> dict[str, Any]:
        """The response as far as it has come, for the event that says that it failed."""
        done = b"[" + b",".join(filter(None, self._output)) + b"]"
        return {**self._response("failed", None, done), "error": error}
