"""The tap on an OpenAI stream: event bytes go through untouched, and what must be counted is counted on the way.

    feed --hold back an unfinished event--> block of whole events --+-- all plain --> out, as it came
                                                                    `-- otherwise --> one by one: kept, hidden, ended

This is the hot path.  A block that looks like `data: {…}⏎⏎data: {…}⏎⏎` becomes one JSON list and is decoded in
one call, which checks every event's syntax and reads finish reasons, usage and errors.  (Tried instead: searching
the bytes for `"usage":{`, `"error"`, `"finish_reason":"`.  Four searches cost as much as decoding, and see less.)
Whatever is not that plain — comments, CRLF, names, the terminator, broken JSON, usage to hide, an error, and the
events before the first content — is taken apart event by event, so a block decides nothing that an event would not:
the same bytes come out wherever the upstream's were cut.

What is not passed on:
* the terminator and what follows it (the relay writes its own), an in-band error (it is `error`);
* usage that only we asked for: an event with usage and no choices.  Usage on an event with choices stays;
  where the cost is told, the last usage that the client gets says it;
* an event that is not a JSON object (counted in `malformed`): clients die of it;
* `id:` and `retry:` lines, and events without data but their comments: OpenAI's SDK crashes on them.

Whose vendor does what: wire notes 2.1, 2.4 to 2.13, 2.17.  Line ends: WHATWG HTML, section 9.2.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

from hoosh.codec.sse import EventTooLarge
from hoosh.codec.sse_blocks import EVENT_BYTES_MAX, SseBlocks, blank_line
from hoosh.dialects.clean_events import read_event
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.costs import cost_of, tell_cost
from hoosh.dialects.faults import error_in
from hoosh.dialects.loose_json import JSON_SPACE, UNREADABLE
from hoosh.dialects.openai.choices import choices_asked
from hoosh.dialects.openai.early import early_end
from hoosh.dialects.openai.opening import OpeningChoice, decode_opening, loads, read_leniently, says_something
from hoosh.dialects.openai.thought_chunks import has_list, without_chunks
from hoosh.dialects.openai.wire import Choice, Chunk, read_usage
from hoosh.errors import UpstreamError
from hoosh.values import Call, Usage

__all__ = ["EVENT_BYTES_MAX", "OpenAITap"]

_decode = msgspec.json.Decoder(Chunk).decode
_decode_list = msgspec.json.Decoder(list[Chunk]).decode


class OpenAITap:
    """A `StreamTap`.  `malformed` counts the events left out.

    `thought_chunks`: the content may be Mistral's list of chunks, which clients get as texts.
    """

    __slots__ = (
        "_begins_open",
        "_blocks",
        "_call",
        "_finished",
        "_joint",
        "_lead",
        "_max",
        "_provider",
        "_sample",
        "_seen",
        "_stamp",
        "_tells_cost",
        "_thought_chunks",
        "_usage_told",
        "chunks",
        "error",
        "has_content",
        "malformed",
        "terminated",
        "usage",
    )

    def __init__(
        self,
        call: Call,
        stamp: Stamp,
        *,
        provider: str,
        thought_chunks: bool = False,
        max_event_bytes: int = EVENT_BYTES_MAX,
    ) -> None:
        self.usage: Usage | None = None
        self.chunks = 0
        self.has_content = False
        self.terminated = False
        self.error: UpstreamError | None = None
        self.malformed = 0
        self._provider = provider
        self._call = call
        self._stamp = stamp
        self._tells_cost = stamp.cost_of is not None
        self._usage_told = False
        self._sample = b""  # one of the first chunks: what all of them say
        self._thought_chunks = thought_chunks
        self._max = max_event_bytes
        self._blocks = SseBlocks(max_event_bytes)
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._begins_open = False  # the first choice did not come with its finish reason
        self._speak(b"data: ")

    def _speak(self, lead: bytes) -> None:
        self._lead = lead
        self._joint = b"\n\n" + lead

    @property
    def has_finished(self) -> bool:
        """Google's OpenAI language and others repeat the finish reason in every chunk, from the first one on."""
        if self.error is not None or self.terminated:
            return self.error is None
        if not (self._begins_open and self._seen <= self._finished):
            return False
        return len(self._seen) >= choices_asked(self._call) and b"{" not in self._blocks.rest

    def feed(self, data: bytes) -> bytes:
        """What may go on to the client of what has come.  Raises ProtocolViolation on an event over the limit."""
        if self.terminated or self.error is not None:
            return b""
        data = self._blocks.feed(data)
        if not data:
            return b""
        return data if self._is_plain(data) else self._sift(data)

    def close(self) -> tuple[bytes, Ending]:
        """The stream is over.  An event that lacks only its blank line counts; half an event does not."""
        rest = self._blocks.close()
        if self.terminated or self.error is not None:
            return b"", self._verdict()
        event = rest.rstrip(b"\r\n")
        if event:
            malformed = self.malformed
            rest = self._sift(event + b"\n\n")
            if not event.endswith(b"}"):
                self.malformed = malformed  # cut off, not malformed
        return rest, self._verdict()

    def finish_early(self, usage: Usage) -> bytes | None:
        if self.error is not None:
            return None
        unfinished = sorted(self._seen - self._finished) if self._seen else [0]
        has_counted = self._usage_told or (self.usage is not None and not unfinished)
        told = usage if self._call.include_usage and not has_counted else None
        return early_end(self._call, self._stamp, self._sample, unfinished, told)

    def _verdict(self) -> Ending:
        if self.error is not None:
            return Ending.FAILED
        whole = self.terminated or (self._seen and self._seen <= self._finished)
        return Ending.COMPLETE if whole else Ending.CUT

    def _is_plain(self, block: bytes) -> bool:
        """Every event of the block is a plain chunk to be passed on; then it is counted.  False changes nothing."""
        lead = self._lead
        if not (self.has_content and block.endswith(b"}\n\n") and block.startswith(lead) and len(block) <= self._max):
            return False
        if self._thought_chunks and has_list(block):
            return False
        if block.find(b"\r") >= 0:  # white space to JSON, the end of a line to the client
            return False
        try:
            if block.find(b"\n", 0, -2) < 0:
                chunks = [_decode(block[len(lead) : -2])]
            else:
                events = block[len(lead) : -2].split(self._joint)
                text = b",".join(events)
                chunks = _decode_list(b"[%b]" % text)
                # As many objects as events and no line end left: the list is our events and nothing else.
                if len(chunks) != len(events) or text.find(b"\n") >= 0:
                    return False
        except UNREADABLE:
            return False
        return self._count_plain(chunks)

    def _count_plain(self, chunks: list[Chunk]) -> bool:
        usages = []
        seen = self._seen
        for chunk in chunks:
            choices = chunk.choices
            if chunk.error or chunk.x_groq or not choices:
                return False
            if chunk.usage:
                if self._tells_cost and _is_last_word(choices):
                    return False
                usages.append(chunk.usage)
            for choice in choices:
                if choice.finish_reason or choice.index not in seen:
                    self._note(choice)
        # Some count on every chunk: the last that makes sense is enough.
        self.usage = next((found for usage in reversed(usages) if (found := read_usage(usage)) is not None), self.usage)
        self.chunks += len(chunks)
        return True

    def _note(self, choice: Choice) -> None:
        if not self._seen:
            self._begins_open = not choice.finish_reason
        self._seen.add(choice.index)
        if choice.finish_reason:
            self._finished.add(choice.index)

    def _count_usage(self, usage: object) -> None:
        self.usage = read_usage(usage) or self.usage  # repeated, never added

    def _sift(self, block: bytes) -> bytes:
        """A block that is not plain as a whole: what may pass of it.

        What is special comes first or last, nearly always; if it is in the middle, half by half finds it.
        """
        return self._pass_pieces(block, _ends)

    def _pass_pieces(self, block: bytes, cut: Callable[[bytes], list[bytes]]) -> bytes:
        pieces = cut(block)
        if len(pieces) == 1:
            return self._pass_event(block)
        kept = []
        for piece in pieces:
            if self.terminated or self.error is not None:
                break
            kept.append(piece if self._is_plain(piece) else self._pass_pieces(piece, _halves))
        return b"".join(kept)

    def _pass_event(self, event: bytes) -> bytes:
        """What may pass of one event; `event` ends with its blank line and may begin with further ones."""
        if len(event) > self._max:
            raise EventTooLarge(self._max)
        body = event.lstrip(b"\r\n")
        blank = event[: len(event) - len(body)]
        name, data, clean = _fields(body)
        if data is None:
            return blank + clean
        chunk = self._take_in(name, data)
        if chunk is None:
            return blank
        if self.has_content:
            self.chunks += 1
        if body.startswith(b"data:{"):
            self._speak(b"data:")
        told = self._told(chunk, data)
        return blank + clean if told is data else b"%bdata: %b\n\n" % (blank, told)

    def _told(self, chunk: Chunk, data: bytes) -> bytes:
        """The JSON of one chunk as the client gets it."""
        if self._thought_chunks and has_list(data):
            data = without_chunks(data)
        if chunk.usage and self._tells_cost and _is_last_word(chunk.choices or ()):
            cost = cost_of(self._stamp, read_usage(chunk.usage))
            return data if cost is None else tell_cost(data, cost)
        return data

    def _take_in(self, name: bytes, data: bytes) -> Chunk | None:
        """What one event says; None where it does not go on to the client."""
        if data.startswith(b"[DONE]"):
            self.terminated = True
            return None
        chunk = self._read(data)
        if name == b"error" or (chunk is not None and _is_error(chunk, data)):
            if chunk is not None:
                self._count_usage(chunk.usage)
            self.error = error_in(loads(data), provider=self._provider)
            return None
        if chunk is None:
            self.malformed += 1
            return None
        if chunk.choices and not self.has_content:
            self._sample = data
        return chunk if self._count(chunk) else None

    def _count(self, chunk: Chunk) -> bool:
        """Count one chunk.  False: it is usage that only we asked for."""
        for choice in chunk.choices or ():
            self._note(choice)
            if not self.has_content and isinstance(choice, OpeningChoice):
                self.has_content = says_something(choice)
        if chunk.usage:
            self._count_usage(chunk.usage)
            if not chunk.choices:
                self._usage_told = self._call.include_usage
                return self._usage_told
        elif isinstance(chunk.x_groq, dict):
            self._count_usage(chunk.x_groq.get("usage"))
        return True

    def _read(self, data: bytes) -> Chunk | None:
        """One event's JSON; None when it is not an object."""
        try:
            return _decode(data) if self.has_content else decode_opening(data)
        except UNREADABLE:
            return read_leniently(data)


def _ends(block: bytes) -> list[bytes]:
    """The first event of a block, the last three, and what is between; each event where lines end in CR."""
    size = len(block)
    if block.find(b"\r") >= 0:
        cuts = [match.end() for match in blank_line.finditer(block)]
    else:
        first = block.find(b"\n\n") + 2
        cuts, end = [], size
        while len(cuts) < 3 and (at := block.rfind(b"\n\n", 0, end - 2) + 2) > first:
            cuts.append(at)
            end = at
        cuts = [first, *reversed(cuts)]
    return [block[start:end] for start, end in pairwise((0, *cuts, size)) if start < end]


def _halves(block: bytes) -> list[bytes]:
    """A block cut between two events near its middle; itself where it is one event."""
    half = len(block) // 2
    end = block.rfind(b"\n\n", 0, half + 1) + 2
    if end < 2:
        end = block.find(b"\n\n", half) + 2
    return [block[:end], block[end:]] if 2 <= end < len(block) else [block]


def _fields(event: bytes) -> tuple[bytes, bytes | None, bytes]:
    """Name and data of an event, None for no data, and the event without what clients choke on."""
    if event.startswith(b"data:") and event.count(b"\n") == 2 and event.endswith(b"\n\n") and b"\r" not in event:
        text = event[5:].strip(JSON_SPACE)  # one line: nearly always
        return (b"", text, event) if text else (b"", None, b"")
    return read_event(event)


def _is_error(chunk: Chunk, data: bytes) -> bool:
    """An error under the key `error`, or (Mistral, older vLLM) flat."""
    if chunk.error:
        return True
    if chunk.choices is not None or chunk.usage:
        return False
    whole = loads(data)
    return isinstance(whole, dict) and whole.get("object") == "error"


def _is_last_word(choices: Sequence[Choice]) -> bool:
    """Usage at the end, not (some count on every chunk) on the way there."""
    return not choices or any(choice.finish_reason for choice in choices)
