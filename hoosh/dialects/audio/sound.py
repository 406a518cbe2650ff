"""What kind of sound some bytes are, by their beginning; and WAV's header.

Servers label sound carelessly: Piper says text/html, others say audio/wav of an MP3.  The bytes decide.  Raw PCM and
Opus-less fragments have no mark: there the label counts, then what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from hoosh.dialects.sniffing import media_type_of

__all__ = [
    "MEDIA_TYPES",
    "WavFormat",
    "is_page",
    "samples_bytes",
    "sound_type",
    "speech_type",
    "wav_chunks",
    "wav_format",
]

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
OTHER_NAMES = {
    **dict.fromkeys(("audio/x-wav", "audio/wave", "audio/vnd.wave"), "audio/wav"),
    **dict.fromkeys(("audio/mp3", "audio/x-mpeg", "audio/mpeg3", "audio/x-mp3"), "audio/mpeg"),
    **dict.fromkeys(("audio/opus", "audio/x-opus", "audio/vorbis"), "audio/ogg"),
    **dict.fromkeys(("audio/aacp", "audio/x-aac"), "audio/aac"),
    **dict.fromkeys(("audio/m4a", "audio/x-m4a"), "audio/mp4"),
    "audio/x-flac": "audio/flac",
}
RAW = frozenset({"audio/pcm", "audio/l16", "audio/raw", "audio/basic", "audio/mulaw", "audio/pcmu", "audio/pcma"})
"""Samples and nothing else."""


def sound_type(data: bytes) -> str | None:
    """The media type that the first bytes show, or None."""
    media_type = "audio/mp4" if data[4:8] == b"ftyp" else media_type_of(data)
    return media_type if media_type.startswith("audio/") else None


def is_page(data: bytes) -> bool:
    """HTML, JSON or XML where sound should be."""
    return data.lstrip()[:1] in (b"<", b"{") and data[:64].isascii()


def speech_type(response_format: str | None, media_type: str, first: bytes) -> str | None:
    """What to call the sound that begins with `first`; None where it is none."""
    label = media_type.partition(";")[0].strip().lower()
    by_magic = sound_type(first)
    if label.startswith("audio/"):
        if is_page(first):
            return None
        is_told = by_magic is None or OTHER_NAMES.get(label, label) == by_magic
        # What has no header may begin like anything of two bytes.
        return media_type if is_told or (label in RAW and first[:1] == b"\xff") else by_magic
    if by_magic is not None:
        return by_magic
    if label == "text/event-stream":
        return media_type
    if not first or is_page(first) or label.startswith("text/"):
        return None
    return MEDIA_TYPES.get(response_format or "mp3", "application/octet-stream")


class WavFormat(Struct, frozen=True):
    rate_hz: int
    channels: int
    bits: int
    start: int
    """Where the samples begin."""
    end: int


def wav_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Of a RIFF file that begins with `data`: each chunk's name, where its content begins, and how long it calls it."""
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        yield kind, at + 8, size
        at += 8 + size + size % 2


def samples_bytes(told: int, there: int) -> int:
    """Of a WAV's samples.  One that was written as it was made has no length: then they go on to the end."""
    return min(told, there) if 0 < told < 0xFFFFFF00 else there


def wav_format(data: bytes) -> WavFormat | None:
    """How a whole WAV is made; None for what is none, or is not linear PCM."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    made = b""
    for kind, start, size in wav_chunks(data):
        if kind == b"fmt ":
            made = data[start : start + 16]
        elif kind == b"data":
            if len(made) < 16 or int.from_bytes(made[:2], "little") not in (1, 0xFFFE):
                return None
            end = start + samples_bytes(size, len(data) - start)
            rate, bits = int.from_bytes(made[4:8], "little"), int.from_bytes(made[14:16], "little")
            return WavFormat(rate, int.from_bytes(made[2:4], "little"), bits, start, end)
    return None
