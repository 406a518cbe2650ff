"""Media types by first bytes, bare and in base64."""

from __future__ import annotations

from base64 import b64encode

import pytest

from hoosh.dialects.sniffing import media_type_in, media_type_of


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"BM\x1a\0\0\0\0\0\0\0", "image/bmp"),
        (b"%PDF-1.4", "application/pdf"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0AVI LIST", ""),
        (b"RIFF", ""),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"BMW,Audi\n1,2", ""),
        (b"ID3,Audi\n1,2", ""),
        (b"", ""),
    ],
)
def test_first_bytes_show_the_media_type(data: bytes, media_type: str):
    assert media_type_of(data) == media_type
    for rest in (b"", b"\0", b"\0" * 100):
        base64 = b64encode(data + rest).decode()
        assert media_type_in(base64) == media_type_in(base64.rstrip("=")) == media_type


@pytest.mark.parametrize("text", ["?", "A", "\ud800", "é" * 40, "=", "A" * 33])
def test_what_is_no_base64_shows_nothing(text: str):
    assert media_type_in(text) == ""
