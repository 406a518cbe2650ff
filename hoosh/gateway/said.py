"""What a client has been told so far, kept in case the upstream breaks off.

    keep(sent) ──a list──▶ condensed, when both are 48 KiB: read as the client reads it ──▶ its text, ≤ 32 KiB
                                                                                     └─▶ anything but text: given up

Kept is what goes out to the client, in its language: the same bytes in the same order, whoever made them, so that
`text` is what the client has, to the sign, also where a second upstream has gone on already.  Comments need not be
kept.  A chunk costs a list's append; reading is put off until it is needed, or there is too much of it: most answers
are over before.
"""

from __future__ import annotations

from hoosh.dialects.contract import DownstreamDialect, Stamp, StreamEncoder
from hoosh.dialects.sent import SentStream, sent_stream
from hoosh.errors import ProtocolViolation
from hoosh.values import Call, ReplyEvent, ReplyStarted, TextDelta, UsageReported

__all__ = ["KEPT_BYTES_MAX", "TEXT_BYTES_MAX", "Said"]

KEPT_BYTES_MAX = 48 * 1024
PIECE_BYTES = 41
"""What a piece takes besides its bytes: an object's head, and its place in the list."""
TEXT_BYTES_MAX = 32 * 1024
"""Of UTF-8.  A longer answer is not continued: to be told again it would cost as much as it is worth."""

PLAIN = (TextDelta, ReplyStarted, UsageReported)


class Said:
    """One stream in `language`, one of `dialects.sent.LANGUAGES`."""

    __slots__ = ("_is_given_up", "_language", "_raw", "_room", "_stream", "_text")

    def __init__(self, language: str) -> None:
        self._language = language
        self._stream: SentStream | None = None  # made when there is something to read: most streams never break
        self._raw: list[bytes] = []
        self._room = KEPT_BYTES_MAX
        self._text = bytearray()  # UTF-8: one sign beyond Latin makes a str four times as large
        self._is_given_up = False

    def keep(self, sent: bytes) -> None:
        """Whole events, as a tap gives them, in their order."""
        self._raw.append(sent)
        self._room -= len(sent) + PIECE_BYTES
        if self._room < 0:
            self._condense()

    def text(self) -> str | None:
        """The stream has broken off: all that has been said.  None where it cannot be continued, which stays so."""
        self._condense()
        if not self._is_given_up and not self._reader().pause():
            self._give_up()
        return None if self._is_given_up else self._text.decode()

    def encoder(self, downstream: DownstreamDialect, call: Call, stamp: Stamp) -> StreamEncoder:
        """One that writes what follows.  Only after `text` has said what that is."""
        return self._reader().encoder(downstream, call, stamp, self._text.decode())

    def _reader(self) -> SentStream:
        if self._stream is None:
            self._stream = sent_stream(self._language)
        return self._stream

    def _condense(self) -> None:
        raw = b"".join(self._raw)
        self._raw.clear()
        if raw and not self._is_given_up:
            try:
                self._take(self._reader().read(raw))
            except ProtocolViolation:  # one event is too large for whoever reads it
                self._give_up()
        self._room = KEPT_BYTES_MAX - len(self._text)

    def _take(self, events: list[ReplyEvent]) -> None:
        try:
            for event in events:
                if isinstance(event, TextDelta):
                    self._text += event.text.encode()
                elif not isinstance(event, PLAIN):
                    self._give_up()
                    return
        except UnicodeEncodeError:  # half of a surrogate pair
            self._give_up()
        if len(self._text) > TEXT_BYTES_MAX:
            self._give_up()

    def _give_up(self) -> None:
        self._is_given_up = True
        self._text = bytearray()
