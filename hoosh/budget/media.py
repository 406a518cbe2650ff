"""What images, sounds and documents in a body would cost, found without reading the body as JSON.

A body is looked at as the strings between its quotes: a long one in base64 is a file, and its first bytes tell what
of.  That is the same in every language, and a hostile body costs no more than two passes over it.

    … "url" : "data:image/png;base64,iVBORw0…" , "detail" : "low" …      85 tokens, and none of its bytes are text

Images are counted by their size where the header tells it.  Sources: OpenAI's guide to vision (85 tokens, and 170 for
each tile of 512 points of high detail), Anthropic's (a token for 750 square points, 1 568 points at most on a side);
the headers: PNG (RFC 2083, section 4.1.1), GIF89a, JPEG (ITU T.81, annex B), WebP (RFC 9649).
"""

from __future__ import annotations

import binascii

from msgspec import Struct

__all__ = ["IMAGE_TOKENS", "Media", "image_size", "image_tokens", "media_in"]

IMAGE_TOKENS = 1_000
"""Of a picture whose size is not known: 1 000 × 750 points at Anthropic, six tiles at OpenAI."""
LOW_DETAIL_TOKENS = 85
TILE_TOKENS = 170
TILE_POINTS, WIDE_POINTS, NARROW_POINTS = 512, 2048, 768
ANTHROPIC_POINTS, ANTHROPIC_TOKENS, POINTS_PER_TOKEN = 1568, 1_600, 750
DATA_BYTES_PER_TOKEN = 100
"""Of sound, documents and sealed thoughts in base64."""

DATA_BYTES_MIN = 64
"""A shorter string is an id or a word."""
STRINGS_MAX, QUOTES_MAX = 20_000, 300_000
"""Of a body with more strings only the large ones are looked at, of one with more quotes nothing: a hostile body shall
not take long."""
LARGE_BYTES = 1_024
IMAGES_MAX = 64
"""Whose headers are read; further ones are taken to be of the usual size."""
HEADER_CHARS = 65_536
"""Of an image's base64 that are looked at: a JPEG says its size behind its colour profile and its preview."""
SEGMENTS_MAX = 64

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\\"
_LOW = [b"detail", b"low"]
_URL_KEYS = frozenset({b"url", b"image_url", b"file_url"})
_FILE_KEYS = frozenset({b"file_id", b"fileUri"})


class Media(Struct, frozen=True, gc=False):
    """`tokens` of all media, and how many bytes they take that are no text."""

    tokens: int
    bytes: int


def media_in(raw: bytes, language: str) -> Media:
    """What there is in a part of a body.  Images are counted as the vendor of `language` counts them."""
    if raw.count(b'"') > QUOTES_MAX:
        return Media(0, 0)
    strings = raw.split(b'"')
    if len(strings) > STRINGS_MAX:
        strings = [string for string in strings if len(string) >= LARGE_BYTES]
    tokens = data_bytes = files = 0
    for at, string in enumerate(strings):
        if len(string) >= DATA_BYTES_MIN and (start := _data_start(string)) is not None:
            files += 1
            tokens += _data_tokens(string, start, language, is_low=_is_low(strings, at), reads=files <= IMAGES_MAX)
            data_bytes += len(string)
        elif string[:4] == b"http" and at > 1 and strings[at - 2] in _URL_KEYS:
            tokens += LOW_DETAIL_TOKENS if _is_low(strings, at) else IMAGE_TOKENS
        elif len(string) < DATA_BYTES_MIN and string in _FILE_KEYS:
            tokens += IMAGE_TOKENS
    return Media(tokens, data_bytes)


def _data_start(string: bytes) -> int | None:
    """Where base64 begins in it; None where it is not base64."""
    start = string.find(b",", 0, 256) + 1 if string[:5] == b"data:" else 0
    return None if string[start : start + 256].translate(None, _BASE64) else start


def _is_low(strings: list[bytes], at: int) -> bool:
    """Whether `"detail": "low"` stands behind a string, or before its key."""
    behind, before = strings[at + 2 : at + 5 : 2], strings[max(0, at - 6) : max(0, at - 3) : 2]
    return behind == _LOW or before == _LOW


def _data_tokens(string: bytes, start: int, language: str, *, is_low: bool, reads: bool) -> int:
    head = _decoded(string[start : start + 64])
    if _is_image(head) or string[:11] == b"data:image/":
        if is_low:
            return LOW_DETAIL_TOKENS
        size = image_size(_decoded(string[start : start + HEADER_CHARS])) if reads else None
        return IMAGE_TOKENS if size is None else image_tokens(*size, language)
    tokens = len(string) // DATA_BYTES_PER_TOKEN
    return max(IMAGE_TOKENS, tokens) if head[:5] == b"%PDF-" else tokens


def _decoded(base64: bytes) -> bytes:
    """As much as can be read of it: b"" where it is not base64 after all."""
    tidy = base64.replace(b"\\/", b"/")
    try:
        return binascii.a2b_base64(tidy[: len(tidy) & ~3])
    except ValueError:
        return b""


# -- how large, and what that costs ------------------------------------------------------------------------------


def _is_image(head: bytes) -> bool:
    return head[:4] in (b"\x89PNG", b"GIF8") or head[:3] == b"\xff\xd8\xff" or head[8:12] == b"WEBP"


def image_size(head: bytes) -> tuple[int, int] | None:
    """Width and height as the header says; None where it says none, or nonsense."""
    size = None
    if head[:4] == b"\x89PNG" and head[12:16] == b"IHDR" and len(head) >= 24:
        size = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    elif head[:4] == b"GIF8" and len(head) >= 10:
        size = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    elif head[:2] == b"\xff\xd8":
        size = _jpeg_size(head)
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        size = _webp_size(head)
    return size if size is not None and min(size) > 0 else None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """From the first frame header, hopping over the segments before it."""
    at = 2
    for _ in range(SEGMENTS_MAX):
        if len(head) < at + 9 or head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None


def image_tokens(width: int, height: int, language: str) -> int:
    """Of a picture in full detail."""
    if language == "anthropic":
        scale = min(1.0, ANTHROPIC_POINTS / max(width, height))
        return min(ANTHROPIC_TOKENS, int(width * scale * height * scale) // POINTS_PER_TOKEN + 1)
    scale = min(1.0, WIDE_POINTS / max(width, height))
    scale = min(scale, NARROW_POINTS / min(width, height))
    across, down = (-(-max(1, int(side * scale)) // TILE_POINTS) for side in (width, height))
    return LOW_DETAIL_TOKENS + TILE_TOKENS * across * down
