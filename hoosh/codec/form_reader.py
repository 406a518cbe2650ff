"""`multipart/form-data` as it comes: pieces of a body in, fields out, wherever the pieces are cut.

    feed(piece) ──▶ FieldHead, data, data, FIELD_END, FieldHead, …

    PREAMBLE ──boundary──▶ HEAD ──blank line──▶ DATA ──boundary──▶ HEAD …      any ──last boundary──▶ EPILOGUE

The fields are those that `parse_form` finds in the whole body, and so are the limits; what is wrong with a form is told
as soon as it is seen, so of a form that is also cut the one thing may be told for the other.  At most a field's head
and a boundary with its padding are held back; everything else of a field is handed on with the piece it came in.

Sources: as `multipart.py`.
"""

from __future__ import annotations

from enum import Enum

from hoosh.codec.multipart import CUT, FIELDS, HEAD_BYTES, HEADLESS, PADDING, TOO_MANY, FieldHead, read_head
from hoosh.errors import InvalidRequest

__all__ = ["FIELD_END", "FormEvent", "FormReader"]

FormEvent = FieldHead | bytes | None
FIELD_END = None
"""Stands behind a field's data."""
BLANK_LINE = b"\r\n\r\n"


class Place(Enum):
    PREAMBLE = "preamble"
    HEAD = "head"
    DATA = "data"
    EPILOGUE = "epilogue"


class FormReader:
    """Reads one form.  After an error it is of no use any more."""

    def __init__(self, boundary: bytes) -> None:
        self._first = b"--" + boundary
        self._delimiter = b"\r\n--" + boundary
        self._place = Place.PREAMBLE
        self._rest = b""
        """What has come and is not decided yet."""
        self._looked = 0
        """So much of it cannot begin a boundary."""
        self._before = b"\n"
        """The sign before `_rest`, of the preamble: a boundary stands at the beginning of a line."""
        self._fields = 0

    def feed(self, piece: bytes) -> list[FormEvent]:
        """Raises InvalidRequest."""
        events: list[FormEvent] = []
        if self._place is Place.EPILOGUE:
            return events
        self._rest = self._rest + piece if self._rest else piece
        while self._step(events):
            pass
        return events

    def close(self) -> None:
        """The body has come to its end.  Raises InvalidRequest where its last boundary has not come."""
        if self._place is not Place.EPILOGUE:
            raise InvalidRequest(CUT)

    def _step(self, events: list[FormEvent]) -> bool:
        """Go on by one boundary or one head.  False: more must come first."""
        match self._place:
            case Place.PREAMBLE:
                return self._skip_preamble()
            case Place.HEAD:
                return self._take_head(events)
            case Place.DATA:
                return self._take_data(events)
            case Place.EPILOGUE:
                self._rest = b""
                return False

    def _skip_preamble(self) -> bool:
        behind = self._find(self._first)
        if behind is None:
            self._drop(self._looked)
            return False
        self._pass_boundary(behind)
        return True

    def _take_head(self, events: list[FormEvent]) -> bool:
        """A boundary before the end of the head is one too early."""
        behind = self._find(self._delimiter)
        end = self._rest.find(BLANK_LINE, 0, HEAD_BYTES)
        if end < 0 or end + len(BLANK_LINE) > self._looked:
            if behind is not None or (end < 0 and len(self._rest) >= HEAD_BYTES):
                raise InvalidRequest(HEADLESS)
            return False
        if self._fields == FIELDS:
            raise InvalidRequest(TOO_MANY)
        self._fields += 1
        events.append(read_head(self._rest[:end]))
        self._drop(end + len(BLANK_LINE))
        self._place = Place.DATA
        return True

    def _take_data(self, events: list[FormEvent]) -> bool:
        behind = self._find(self._delimiter)
        if self._looked:
            events.append(self._rest[: self._looked])
        if behind is None:
            self._drop(self._looked)
            return False
        events.append(FIELD_END)
        self._pass_boundary(behind)
        return True

    # -- boundaries ------------------------------------------------------------------------------------------------

    def _find(self, delimiter: bytes) -> int | None:
        """Where what follows the next boundary begins, LAST for the last one; None where none is certain yet.

        `_looked` is then where it begins, or where one may.
        """
        rest, start = self._rest, self._looked
        at = rest.find(delimiter, start)
        while at >= 0:
            start = at + len(delimiter)
            if delimiter is self._delimiter or (rest[at - 1 : at] if at else self._before) == b"\n":
                behind = _behind(rest, start)
                if behind != NONE:
                    self._looked = at
                    return None if behind == UNDECIDED else behind
            at = rest.find(delimiter, start)
        self._looked = max(start, len(rest) - len(delimiter) + 1)
        return None

    def _drop(self, size: int) -> None:
        if size:
            self._before = self._rest[size - 1 : size]
            self._rest = self._rest[size:]
            self._looked -= size

    def _pass_boundary(self, behind: int) -> None:
        if behind == LAST:
            self._place = Place.EPILOGUE
        else:
            self._rest, self._looked = self._rest[behind:], 0
            self._place = Place.HEAD


LAST, NONE, UNDECIDED = -1, -2, -3


def _behind(data: bytes, end: int) -> int:
    """What a delimiter that ends at `end` is: a boundary, and then what follows it begins where this says."""
    if data.startswith(b"--", end):
        return LAST
    line_end = data.find(b"\r\n", end, end + PADDING)
    if line_end >= 0:
        return NONE if data[end:line_end].strip(b" \t") else line_end + 2
    begun = data[end : end + PADDING]
    is_open = len(begun) < PADDING and (begun == b"-" or begun.strip(b" \t") in (b"", b"\r"))
    return UNDECIDED if is_open else NONE
