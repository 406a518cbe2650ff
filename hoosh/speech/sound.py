"""Sound files as blocks of 16 kHz mono: WAV of any rate, width and channels, FLAC, MP3, Ogg (Vorbis, Opus).

What a file is, its first bytes say, never its name.  libsndfile decodes and soxr resamples, block by block.  For the
child: files are strangers' and the libraries native.

Sources: RFC 9639 (FLAC), RFC 3533 (Ogg), RIFF/WAVE and RF64 (EBU Tech 3306), ISO 14496-12 (`ftyp`); soundfile's and
soxr's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soundfile
import soxr

from hoosh.speech.windows import RATE_HZ, Samples

__all__ = ["SUPPORTED", "BadSound", "Sound"]

SUPPORTED = "WAV, FLAC, MP3 and Ogg (Vorbis, Opus)"
KINDS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "MPEG"})
BLOCK_VALUES = 1 << 18
"""Numbers in a block, all channels together."""
RATES_HZ = range(1_000, 768_001)
MAX_CHANNELS = 64
HEAD_BYTES = 512
"""Enough for the first packet of an Ogg file."""
OGG_PAGE_BYTES = 27
OTHER_KINDS = {
    b"ftyp": "an MP4 or M4A file",
    b"\x1aE\xdf\xa3": "a WebM or Matroska file",
    b"FORM": "an AIFF file",
    b"caff": "a CAF file",
    b"#!AMR": "an AMR file",
    b"0&\xb2u": "a WMA file",
    b".snd": "an AU file",
}


class BadSound(Exception):
    """A file that cannot be listened to.  `fault` is one of `unsupported`, `invalid`, `too_long`."""

    def __init__(self, fault: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class Sound:
    """An open file.  `total_s` is what its header says, None where it says nothing."""

    def __init__(self, path: str, *, max_audio_s: float) -> None:
        """Raises BadSound, OSError."""
        _check_kind(path)
        self._max_audio_s = max_audio_s
        try:
            self._file = soundfile.SoundFile(path)
        except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError):
            message = "The header of the file cannot be read: it is broken, or tells of a codec that is not supported."
            raise BadSound("invalid", message) from None
        rate_hz, channels = self._file.samplerate, self._file.channels
        if self._file.format not in KINDS:
            raise _unsupported(f"{self._file.format[:20]} sound")
        if rate_hz not in RATES_HZ or not 1 <= channels <= MAX_CHANNELS:
            raise BadSound("invalid", f"The file is broken: {channels} channels of {rate_hz} Hz.")
        frames = self._file.frames
        self.total_s = frames / rate_hz if 0 < frames < 1 << 48 else None
        if self.total_s is not None and self.total_s > max_audio_s:
            raise self._too_long()

    def blocks(self) -> Iterator[Samples]:
        """The rest of it.  Raises BadSound, also where it turns out to be longer than it may be, or empty."""
        rate_hz = self._file.samplerate
        frames = max(1, BLOCK_VALUES // self._file.channels)
        resample = None if rate_hz == RATE_HZ else soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="float32")
        read = 0
        while True:
            block = self._read(frames)
            read += len(block)
            if read > self._max_audio_s * rate_hz:
                raise self._too_long()
            if resample is not None:
                is_last = len(block) < frames
                yield resample.resample_chunk(block, last=is_last)
            else:
                yield block
            if len(block) < frames:
                break
        if not read:
            raise BadSound("invalid", "The file holds no sound.")

    def close(self) -> None:
        self._file.close()

    def _read(self, frames: int) -> Samples:
        """One channel: the mean of all.  What is no number, or louder than full, is made harmless."""
        try:
            block = self._file.read(frames, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError, ValueError):
            raise BadSound("invalid", "The file is broken: its sound cannot be decoded.") from None
        block = np.clip(np.nan_to_num(block, copy=False), -1.0, 1.0)
        mono: Samples = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
        return np.ascontiguousarray(mono)

    def _too_long(self) -> BadSound:
        return BadSound("too_long", f"The recording is longer than the {self._max_audio_s:g} seconds allowed here.")


def _check_kind(path: str) -> None:
    """Raises BadSound where the first bytes are of no kind that is decoded here, OSError."""
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise BadSound("invalid", "The file is empty.")
    if head.startswith((b"RIFF", b"RIFX", b"RF64")):
        if len(head) < 12 or head[8:12] == b"WAVE":
            return
        raise _unsupported("a RIFF file that is no WAVE")
    is_mpeg = head.startswith(b"ID3") or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2)
    if head.startswith(b"OggS"):
        _check_ogg(head)
        return
    if head.startswith(b"fLaC") or is_mpeg:
        return
    for sign, what in OTHER_KINDS.items():
        if head.startswith(sign) or (sign == b"ftyp" and head[4:8] == sign):
            raise _unsupported(what)
    raise _unsupported("no sound file that is known here")


def _check_ogg(head: bytes) -> None:
    """Raises BadSound where the first page holds another codec.  A page: 27 bytes, sizes of segments, segments."""
    if len(head) < OGG_PAGE_BYTES:
        return
    packet = head[OGG_PAGE_BYTES + head[OGG_PAGE_BYTES - 1] :]
    if packet and not packet.startswith((b"\x01vorbis", b"OpusHead")):
        raise _unsupported("an Ogg file without Vorbis or Opus")


def _unsupported(what: str) -> BadSound:
    return BadSound("unsupported", f"The file is {what}; supported are {SUPPORTED}.")
