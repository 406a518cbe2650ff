"""An OpenAI-family stream as events of a reply.

    bytes ─SseBlocks─▶ whole events ─┬─ all plain: one JSON list, decoded in one call ─┬─▶ Telling ─▶ events
                                  └─ otherwise one by one: [DONE], errors, oddities ┘

This is the hot path of a translated stream; the tap does the same to bytes that only pass.

* The finish reason is noted and told at the end: OpenRouter sends it twice, and an error may follow it.
* Usage likewise: the last one counts, wherever it sits (finish chunk, chunk without choices, every chunk, `x_groq`).
* Only choice 0 is read: whoever wants several is not translated.

Whose vendor does what: wire notes 2.1, 2.4 to 2.14, 2.17.
"""

from __future__ import annotations

from hoosh.codec.sse import EventTooLarge
from hoosh.codec.sse_blocks import EVENT_BYTES_MAX, SseBlocks
from hoosh.dialects.contract import Ending
from hoosh.dialects.faults import error_in
from hoosh.dialects.loose_json import UNREADABLE, read_loosely
from hoosh.dialects.openai.chunks import (
    Answer,
    ChoicePiece,
    ChunkRead,
    Piece,
    decode_chunk,
    decode_chunks,
    usage_of,
)
from hoosh.dialects.openai.frames import cut_events, read_event
from hoosh.dialects.openai.telling import BROKEN_OFF, Telling, finished
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import ReplyEvent, ReplyStarted, Usage, UsageReported

__all__ = ["OpenAIDecoder"]


class OpenAIDecoder:
    """A `StreamDecoder`.  `needs_reason`: a terminator without a finish reason before it hides an error (Synapse)."""

    __slots__ = (
        "_begins_open",
        "_blocks",
        "_choice",
        "_finish",
        "_joint",
        "_lead",
        "_max",
        "_needs_reason",
        "_provider",
        "_started",
        "_telling",
        "error",
        "terminated",
        "usage",
    )

    def __init__(self, *, provider: str, needs_reason: bool = False, max_event_bytes: int = EVENT_BYTES_MAX) -> None:
        self.usage: Usage | None = None
        self.terminated = False
        self.error: UpstreamError | None = None
        self._provider = provider
        self._needs_reason = needs_reason
        self._max = max_event_bytes
        self._blocks = SseBlocks(max_event_bytes)
        self._telling = Telling()
        self._started = False
        self._begins_open = False  # the first chunk did not come with a finish reason
        self._finish = ""
        self._choice: ChoicePiece | None = None  # the one that named it
        self._speak(b"data: ")

    def _speak(self, lead: bytes) -> None:
        self._lead = lead
        self._joint = b"\n\n" + lead

    @property
    def has_content(self) -> bool:
        return self._telling.said

    @property
    def has_finished(self) -> bool:
        """Some repeat the finish reason in every chunk, from the first one on."""
        if self._is_over():
            return not self._failed()
        return bool(self._begins_open and self._finish) and b"{" not in self._blocks.rest

    def feed(self, data: bytes) -> list[ReplyEvent]:
        """What has been said.  Raises ProtocolViolation on an event over the limit."""
        out: list[ReplyEvent] = []
        if self._is_over():
            return out
        block = self._blocks.feed(data)
        if block:
            self._take_block(block, out)
            if self.terminated and not self._failed():
                self._end(out)
        return out

    def close(self) -> tuple[list[ReplyEvent], Ending]:
        """The stream is over.  An event that lacks only its blank line counts; half an event does not."""
        out: list[ReplyEvent] = []
        if self._is_over():
            return out, Ending.FAILED if self._failed() else Ending.COMPLETE
        rest = self._blocks.close().rstrip(b"\r\n")
        if rest:
            self._take_rest(rest, out)
        if self._failed():
            return out, Ending.FAILED
        if not self.terminated and not self._finish:
            return out, Ending.CUT
        self._end(out)
        return out, Ending.COMPLETE

    def _failed(self) -> bool:
        return self.error is not None

    def _is_over(self) -> bool:
        return self.terminated or self.error is not None

    def _take_rest(self, rest: bytes, out: list[ReplyEvent]) -> None:
        _, data = read_event(rest)
        if data is not None and (data.startswith(b"[DONE]") or isinstance(read_loosely(data), dict)):
            self._take_event(rest, out)

    def _end(self, out: list[ReplyEvent]) -> None:
        self._start(None, out)
        self._telling.end(out)
        if self.usage is not None:
            out.append(UsageReported(self.usage))
        stop = None if self._choice is None else self._choice.stop_reason
        out.append(finished(self._finish, has_calls=self._telling.has_calls, stop=stop))

    def _start(self, answer: Answer | None, out: list[ReplyEvent]) -> None:
        if not self._started:
            self._started = True
            self._begins_open = answer is not None and not any(one.finish_reason for one in answer.choices or ())
            out.append(ReplyStarted() if answer is None else ReplyStarted(answer.id or "", answer.model or ""))

    def _take_block(self, block: bytes, out: list[ReplyEvent]) -> None:
        chunks = self._plain_chunks(block)
        if chunks is not None:
            for chunk in chunks:
                self._take(chunk, out)
                if self.error is not None:
                    break
            return
        for event in cut_events(block):
            self._take_event(event, out)
            if self._is_over():
                break

    def _plain_chunks(self, block: bytes) -> list[ChunkRead] | None:
        """The chunks of a block that holds plain events only; None where one must look closer."""
        lead = self._lead
        if not (self._started and block.endswith(b"}\n\n") and block.startswith(lead) and len(block) <= self._max):
            return None
        events = block[len(lead) : -2].split(self._joint)
        text = b",".join(events)
        try:
            chunks = decode_chunks(b"[%b]" % text)
        except UNREADABLE:
            return None
        # As many objects as events and no line end left: the list is our events and nothing else.
        if len(chunks) != len(events) or text.find(b"\n") >= 0 or text.find(b"\r") >= 0:
            return None
        for chunk in chunks:
            if chunk.error or chunk.choices is None:
                return None
        return chunks

    def _take_event(self, event: bytes, out: list[ReplyEvent]) -> None:
        if len(event) > self._max:
            raise EventTooLarge(self._max)
        name, data = read_event(event.lstrip(b"\r\n"))
        if data is None:
            return
        if data.startswith(b"[DONE]"):
            self._terminate()
            return
        answer = decode_chunk(data)
        if name == b"error" or (answer is not None and _is_error(answer, data)):
            if answer is not None:
                self.usage = usage_of(answer) or self.usage
            self.error = error_in(read_loosely(data), provider=self._provider)
        elif answer is None:
            self._break("The upstream's stream holds an event that is not a JSON object.")
        else:
            if answer.choices or answer.usage:
                self._start(answer, out)
            if event.startswith(b"data:{"):
                self._speak(b"data:")
            self._take(answer, out)

    def _terminate(self) -> None:
        self.terminated = True
        if self._needs_reason and not self._finish:
            self._break("The upstream ended its stream without a finish reason: it failed.")

    def _take(self, chunk: ChunkRead, out: list[ReplyEvent]) -> None:
        if chunk.usage is not None or chunk.x_groq is not None:
            self.usage = usage_of(chunk) or self.usage  # repeated, never added
        for choice in chunk.choices or ():
            if choice.index:
                continue
            piece = choice.delta
            if piece is not None:
                self._telling.take(piece, out)
            elif choice.text:
                self._telling.take(Piece(choice.text), out)
            if choice.finish_reason:
                self._note_finish(choice)

    def _note_finish(self, choice: ChoicePiece) -> None:
        if choice.finish_reason in BROKEN_OFF:
            if choice.error:
                self.error = error_in({"error": choice.error}, provider=self._provider)
            else:
                self._break(f"The upstream broke its answer off: {choice.finish_reason}.")
        elif not self._finish:
            self._finish = choice.finish_reason or ""
            self._choice = choice

    def _break(self, why: str) -> None:
        self.error = UpstreamBroke(why, provider=self._provider)


def _is_error(answer: Answer, data: bytes) -> bool:
    """An error under the key `error`, or flat (Mistral, older vLLM, FastAPI)."""
    if answer.error:
        return True
    if answer.choices is not None or answer.usage:
        return False
    whole = read_loosely(data)
    return isinstance(whole, dict) and (answer.object == "error" or "message" in whole or "detail" in whole)
