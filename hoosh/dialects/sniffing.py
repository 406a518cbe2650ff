"""The media type of a file, by its first bytes: for those who do not say it, and those who say it wrongly.

"" where they show none: text has no mark, nor has raw sound.
"""

from __future__ import annotations

import binascii

__all__ = ["media_type_in", "media_type_of"]

MAGIC = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3\x02", "audio/mpeg"),
    (b"ID3\x03", "audio/mpeg"),
    (b"ID3\x04", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"\xff\xfa", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "audio/webm"),
)
BASE64_CHARS = 32
"""Of those that are looked at."""


def media_type_of(data: bytes) -> str:
    if data[:4] in (b"RIFF", b"RF64"):
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp"}.get(data[8:12], "")
    if data[:2] == b"BM" and data[6:10] == bytes(4):
        return "image/bmp"
    return next((media_type for magic, media_type in MAGIC if data.startswith(magic)), "")


def media_type_in(base64: str) -> str:
    """Of a file in base64."""
    head = base64[:BASE64_CHARS]
    try:
        return media_type_of(binascii.a2b_base64(head + "=" * (-len(head) % 4)))
    except ValueError:  # not base64, or not even ASCII
        return ""
