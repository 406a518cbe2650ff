"""How long a recording is, by its header: WAV, FLAC and MP3.

    WAV     bytes of samples / (rate · channels · bytes of a sample)       the file's own end counts, not its word
    FLAC    samples / rate, as STREAMINFO says, where so few samples could fill the file
    MP3     frames · samples of a frame / rate, where a Xing or Info header counts the frames; else all of them are as
            long as the first, which is what players take them for

Anything else has no length here: whoever transcribes it may tell.

Sources: Microsoft's "Multiple channel audio data and WAVE files"; RFC 9639, section 8.2 (STREAMINFO); ISO 11172-3,
section 2.4.2.3 and ISO 13818-3 (MPEG audio's frame header); LAME's `VbrTag.c` (the place of the Xing header); ID3v2.4,
section 3.1.
"""

from __future__ import annotations

from itertools import islice

from hoosh.dialects.audio.sound import samples_bytes, wav_chunks

__all__ = ["sound_ms"]

MAX_MS = 1_000 * 3600 * 1_000
"""A thousand hours: what says more has not counted."""
PLAIN = frozenset({1, 3, 6, 7, 0xFFFE})
"""WAV formats whose samples have a fixed size: PCM, IEEE float, A-law, µ-law, and extensible."""
CHUNKS_MAX = 256
"""Before the samples of a WAV."""
FLAC_METADATA_BYTES = 8 * 1024 * 1024
"""Pictures and tables, beside the samples."""


def sound_ms(head: bytes, size: int) -> int | None:
    """Milliseconds of a file of `size` bytes that begins with `head`; None where that is not certain."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        found = _wav_ms(head, size)
    elif head[:4] == b"fLaC":
        found = _flac_ms(head, size)
    else:
        found = _mp3_ms(head, size)
    return found if found is not None and 0 < found <= MAX_MS else None


def _wav_ms(head: bytes, size: int) -> int | None:
    second_bytes = 0
    for kind, start, told in islice(wav_chunks(head), CHUNKS_MAX):
        if kind == b"fmt ":
            second_bytes = _second_bytes(head[start : start + 16])
        elif kind == b"data":
            samples = samples_bytes(told, size - start)
            return samples * 1000 // second_bytes if second_bytes else None
    return None


def _second_bytes(fmt: bytes) -> int:
    if len(fmt) < 16 or int.from_bytes(fmt[:2], "little") not in PLAIN:
        return 0
    channels, rate = int.from_bytes(fmt[2:4], "little"), int.from_bytes(fmt[4:8], "little")
    return rate * channels * (int.from_bytes(fmt[14:16], "little") // 8)


def _flac_ms(head: bytes, size: int) -> int | None:
    """STREAMINFO comes first: 10 bytes, then rate (20 bits), channels - 1 (3), bits - 1 (5), samples (36)."""
    if len(head) < 26 or head[4] & 0x7F:
        return None
    packed = int.from_bytes(head[18:26], "big")
    rate, channels = packed >> 44, (packed >> 41 & 0x7) + 1
    bits, samples = (packed >> 36 & 0x1F) + 1, packed & 0xFFFFFFFFF
    if not rate or not samples or size > samples * channels * (bits + 8) // 8 + FLAC_METADATA_BYTES:
        return None
    return samples * 1000 // rate


MPEG1 = 3
LAYER_3 = 1
RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)


def _mp3_ms(head: bytes, size: int) -> int | None:
    at = 0
    if head[:3] == b"ID3" and len(head) > 10:
        at = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    frame = head[at : at + 4]
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return None
    version, layer, rate_at = frame[1] >> 3 & 3, frame[1] >> 1 & 3, frame[2] >> 2 & 3
    kbits = (KBITS_1 if version == MPEG1 else KBITS_2)[frame[2] >> 4]
    if version not in RATES or layer != LAYER_3 or rate_at == 3 or not kbits:
        return None
    is_mono = frame[3] >> 6 == 3
    side_bytes = (17 if is_mono else 32) if version == MPEG1 else (9 if is_mono else 17)
    tag = head[at + 4 + side_bytes :][:12]
    if len(tag) == 12 and tag[:4] in (b"Xing", b"Info") and tag[7] & 1:
        samples = int.from_bytes(tag[8:12], "big") * (1152 if version == MPEG1 else 576)
        return samples * 1000 // RATES[version][rate_at]
    return (size - at) * 8 // kbits
