"""Forms that are held whole, as the requests that the gateway makes of them piece by piece."""

from __future__ import annotations

from hoosh.codec.multipart import parse_form
from hoosh.dialects.audio import form_boundary, read_bare, transcription_request
from hoosh.values import CallKind, FormPart, TranscriptionRequest

__all__ = ["read_transcription"]


def read_transcription(kind: CallKind, content_type: bytes, query: str, body: bytes) -> TranscriptionRequest:
    """Raises InvalidRequest."""
    boundary = form_boundary(content_type)
    if boundary is not None:
        return transcription_request(kind, parse_form(body, boundary))
    fields, head = read_bare(content_type, query)
    return transcription_request(kind, (*fields, FormPart("file", body, head.filename, head.media_type)))
