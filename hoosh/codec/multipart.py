"""`multipart/form-data`: a whole body to its fields and back.

    --boundary CRLF headers CRLF CRLF data CRLF --boundary … CRLF --boundary-- epilogue

Of a body that is held whole fields are views, and nothing is copied.  One that comes piece by piece is read by
`form_reader.py`, to the same fields and with the same limits.  Neither is werkzeug's decoder: the hot door would wait
150 ms for its import.

A boundary counts only at the beginning of a line and when nothing but blanks or `--` follows it; a file may hold
anything else.  Number and size of headers and fields are limited; whatever else is wrong is InvalidRequest.

Sources: RFC 2046, section 5.1.1; RFC 7578; WHATWG HTML, "multipart/form-data encoding algorithm" (how `"`, CR and LF
are written in names); RFC 5987 (`filename*`, which RFC 7578 forbids and some clients send).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from msgspec import Struct

from hoosh.errors import InvalidRequest
from hoosh.values import FileRange, FormPart, Pieces

__all__ = [
    "CUT",
    "FIELDS",
    "HEADLESS",
    "HEAD_BYTES",
    "PADDING",
    "TOO_MANY",
    "FieldHead",
    "boundary_of",
    "encode_form",
    "form_frame",
    "form_pieces",
    "form_type",
    "new_boundary",
    "parse_form",
    "read_head",
]

HEAD_BYTES = 8 * 1024
"""Of the headers of one field."""
FIELDS = 256
PADDING = 64
"""Blanks that may follow a boundary on its line (RFC 2046: transport padding)."""
NAME_CHARS = 1024

TOO_MANY = f"The form has more than {FIELDS} fields."
CUT = "The form is cut: its last boundary is missing."
HEADLESS = "A field of the form has no headers, or too many."

_boundary = re.compile(rb"multipart/form-data\s*;(?:.*;)?\s*boundary\s*=\s*(?:\"([^\"]*)\"|([^\s;\"]+))", re.I | re.S)
_boundary_sign = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, bchars
_parameter = re.compile(r"\s*;\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))", re.S)
_escaped = re.compile(r"\\([\"\\])")  # only these: some browsers send a whole Windows path, unescaped


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary that a content type names; None for another type, or a boundary that cannot be one."""
    if len(content_type) > NAME_CHARS or (found := _boundary.match(content_type.strip())) is None:
        return None
    boundary = found[1] if found[1] is not None else found[2]
    return boundary if _boundary_sign.fullmatch(boundary) else None


def parse_form(body: bytes, boundary: bytes) -> tuple[FormPart, ...]:
    """The fields in order; what stands before the first boundary and after the last is not looked at.

    Raises InvalidRequest.
    """
    delimiter = b"--" + boundary
    parts: list[FormPart] = []
    view = memoryview(body)
    start, is_last = _next_boundary(body, delimiter, 0)[1:]
    while not is_last:
        end, after, is_last = _next_boundary(body, b"\r\n" + delimiter, start)
        if len(parts) == FIELDS:
            raise InvalidRequest(TOO_MANY)
        parts.append(_part(body, view, start, end))
        start = after
    return tuple(parts)


def _next_boundary(body: bytes, delimiter: bytes, position: int) -> tuple[int, int, bool]:
    """Where the next boundary begins, where what follows it begins, and whether it was the last."""
    at = body.find(delimiter, position)
    while at >= 0:
        end = at + len(delimiter)
        if at == 0 or delimiter[:1] == b"\r" or body[at - 1 : at] == b"\n":
            if body.startswith(b"--", end):
                return at, len(body), True
            line_end = body.find(b"\r\n", end, end + PADDING)
            if line_end >= 0 and not body[end:line_end].strip(b" \t"):
                return at, line_end + 2, False
        at = body.find(delimiter, end)
    raise InvalidRequest(CUT)


def _part(body: bytes, view: memoryview, start: int, end: int) -> FormPart:
    head_end = body.find(b"\r\n\r\n", start, min(end, start + HEAD_BYTES))
    if head_end < 0:
        raise InvalidRequest(HEADLESS)
    head = read_head(body[start:head_end])
    return FormPart(head.name, view[head_end + 4 : end], head.filename, head.media_type)


class FieldHead(Struct, frozen=True):
    """What the headers of a field say."""

    name: str
    filename: str | None = None
    media_type: str | None = None


def read_head(block: bytes) -> FieldHead:
    """From the lines of a field's headers, without the blank one behind them.  Raises InvalidRequest."""
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n"):
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    disposition = headers.get("content-disposition", "")
    parameters = _parameters(disposition)
    name = parameters.get("name", "")
    if not name or len(name) > NAME_CHARS:
        raise InvalidRequest("A field of the form has no name, or too long a one.")
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise InvalidRequest("A field of the form has a transfer encoding, which RFC 7578 does not allow.")
    return FieldHead(name, _filename(parameters), headers.get("content-type"))


def _parameters(disposition: str) -> dict[str, str]:
    """What follows `form-data`, up to where it makes no sense any more."""
    kind, _, _ = disposition.partition(";")
    found: dict[str, str] = {}
    position = len(kind)
    if kind.strip().lower() == "form-data":
        # One after the other: a search would look again from every `;` of an unended quotation.
        while (pair := _parameter.match(disposition, position)) is not None:
            quoted = pair[2]
            found.setdefault(pair[1].lower(), pair[3] if quoted is None else _escaped.sub(r"\1", quoted))
            position = pair.end()
    return found


def _filename(parameters: dict[str, str]) -> str | None:
    extended = parameters.get("filename*", "")
    charset, _, rest = extended.partition("'")
    _, apostrophe, encoded = rest.partition("'")
    if apostrophe and charset.lower() == "utf-8":
        return unquote(encoded)[:NAME_CHARS]
    filename = parameters.get("filename")
    return None if filename is None else filename[:NAME_CHARS]


# -- writing -----------------------------------------------------------------------------------------------------


def new_boundary() -> bytes:
    """128 bits of chance: no body holds it."""
    return b"hoosh-" + secrets.token_hex(16).encode()


def form_type(boundary: bytes) -> bytes:
    return b"multipart/form-data; boundary=" + boundary


def encode_form(parts: Iterable[FormPart], boundary: bytes) -> bytes:
    """The body.  Its one copy of each file is the one in the result.  Raises TypeError for what lies in a file."""
    return b"".join(_written(parts, boundary))  # type: ignore[arg-type]


def form_pieces(parts: Iterable[FormPart], boundary: bytes) -> bytes | Pieces:
    """The body, with what lies in files left there."""
    pieces: list[bytes | FileRange] = []
    held: list[bytes | memoryview] = []
    for piece in _written(parts, boundary):
        if isinstance(piece, FileRange):
            pieces += [b"".join(held), piece]
            held = []
        else:
            held.append(piece)
    end = b"".join(held)
    return Pieces.of([*pieces, end]) if pieces else end


def form_frame(fields: Iterable[FormPart], file: FormPart, boundary: bytes) -> tuple[bytes, bytes]:
    """What stands before the data of `file`, which comes last in its form, and what behind it."""
    end = b"--%b--\r\n" % boundary
    return encode_form(fields, boundary).removesuffix(end) + _opening(file, boundary), b"\r\n" + end


def _written(parts: Iterable[FormPart], boundary: bytes) -> Iterator[bytes | memoryview | FileRange]:
    for part in parts:
        yield _opening(part, boundary)
        yield part.data
        yield b"\r\n"
    yield b"--%b--\r\n" % boundary


def _opening(part: FormPart, boundary: bytes) -> bytes:
    head = f'Content-Disposition: form-data; name="{_quoted(part.name)}"'
    if part.filename is not None:
        head += f'; filename="{_quoted(part.filename)}"'
    if part.media_type is not None:
        head += f"\r\nContent-Type: {_line(part.media_type)}"
    return b"--%b\r\n%b\r\n\r\n" % (boundary, head.encode("utf-8", "replace"))


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "")
