"""The body of a transcription request on its way in: the file goes into an upload as it comes, the rest is kept.

    pieces ──▶ FormReader ──▶ `file` ──▶ Upload (memory, then the disk)
                         └──▶ every other field, in memory, FIELD_BYTES together

A body may also be the file itself, with the fields in the query.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress

import trio

from hoosh.codec.form_reader import FormReader
from hoosh.codec.multipart import FieldHead
from hoosh.dialects.audio import form_boundary, read_bare, sound_ms, transcription_request
from hoosh.errors import BodyTooLarge, InvalidRequest
from hoosh.gateway.account import Account
from hoosh.http.exchange import Exchange
from hoosh.storage.uploads import Upload
from hoosh.values import FileRange, FormPart, TranscriptionRequest

__all__ = ["expected_bytes", "hear"]

FIELD_BYTES = 4 * 1024 * 1024
"""Of all fields but the file: names of speakers come with a few seconds of each one's voice."""
REST_BYTES = 64 * 1024
REST_S = 1.0
"""Of a request that is refused on its way."""


def expected_bytes(exchange: Exchange, max_bytes: int) -> int:
    """How long the client says that its body is; 0 where it does not say.  Raises BodyTooLarge."""
    length = exchange.headers.get(b"content-length") or b""
    size = int(length) if length.isdigit() else 0
    if size > max_bytes:
        raise BodyTooLarge(max_bytes)
    return size


async def hear(exchange: Exchange, account: Account, upload: Upload, max_bytes: int) -> TranscriptionRequest:
    """Receive the whole request.  Raises HooshError: InvalidRequest, BodyTooLarge, Unavailable, StorageError."""
    try:
        return await _hear(exchange, account, upload, max_bytes)
    except BodyTooLarge:
        raise
    except InvalidRequest:
        await _read_rest(exchange)
        raise


async def _read_rest(exchange: Exchange) -> None:
    """A small one is taken before the answer: some clients, and servers that carry us, do badly with an early one.

    Not from those that wait to be told to send (`expect: 100-continue`): they are told now.
    """
    size = 0
    with trio.move_on_after(REST_S), suppress(InvalidRequest):  # the first mistake is the one that is told
        while not exchange.headers.get(b"expect") and size < REST_BYTES and (piece := await exchange.receive()):
            size += len(piece)


async def _hear(exchange: Exchange, account: Account, upload: Upload, max_bytes: int) -> TranscriptionRequest:
    content_type = exchange.headers.get(b"content-type") or b""
    boundary = form_boundary(content_type)
    taker = _Bare(upload, *read_bare(content_type, exchange.query)) if boundary is None else _Form(upload, boundary)
    digest = None if account.witness is None else hashlib.sha256()
    size = 0
    while piece := await exchange.receive():
        size += len(piece)
        if size > max_bytes:
            raise BodyTooLarge(max_bytes)
        if digest is not None:
            digest.update(piece)
        await taker.take(piece)
    account.received_in_pieces(size, None if digest is None else digest.hexdigest())
    parts = tuple(taker.parts(await upload.finish()))
    return transcription_request(account.kind, parts, length_ms=sound_ms(upload.head, upload.size))


class _Bare:
    """The file itself."""

    def __init__(self, upload: Upload, fields: list[FormPart], head: FieldHead) -> None:
        self._upload = upload
        self._fields = fields
        self._head = head

    async def take(self, piece: bytes) -> None:
        await self._upload.write(piece)

    def parts(self, file: bytes | FileRange) -> list[FormPart]:
        return [*self._fields, _part(self._head, file)]


class _Form:
    """A form with a field called `file`."""

    def __init__(self, upload: Upload, boundary: bytes) -> None:
        self._upload = upload
        self._reader = FormReader(boundary)
        self._fields: list[tuple[FieldHead, bytearray]] = []
        self._file_at: int | None = None
        """Among the fields."""
        self._is_in_file = False
        self._field_bytes = 0

    async def take(self, piece: bytes) -> None:
        for event in self._reader.feed(piece):
            match event:
                case bytes() if self._is_in_file:
                    await self._upload.write(event)
                case bytes():
                    self._keep(event)
                case FieldHead():
                    self._begin(event)

    def _begin(self, head: FieldHead) -> None:
        self._is_in_file = head.name == "file"
        if self._is_in_file:
            if self._file_at is not None:
                raise InvalidRequest("The form must hold one `file`, and it holds several.", param="file")
            self._file_at = len(self._fields)
        self._fields.append((head, bytearray()))

    def _keep(self, data: bytes) -> None:
        head, kept = self._fields[-1]
        self._field_bytes += len(data)
        if self._field_bytes > FIELD_BYTES:
            message = f"The fields of the form beside `file` must not be longer than {FIELD_BYTES} bytes together."
            raise InvalidRequest(message, param=head.name[:64], code="string_above_max_length")
        kept += data

    def parts(self, file: bytes | FileRange) -> list[FormPart]:
        self._reader.close()
        return [
            _part(head, file if at == self._file_at else bytes(data)) for at, (head, data) in enumerate(self._fields)
        ]


def _part(head: FieldHead, data: bytes | FileRange) -> FormPart:
    return FormPart(head.name, data, head.filename, head.media_type)
